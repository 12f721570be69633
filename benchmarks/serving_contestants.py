"""The servers that the benchmark of serving compares, each in a process of its own.

    python benchmarks/serving_contestants.py NAME --base FOLDER --files FOLDER --threads N

``bench_serving`` starts it. Its border: a question in JSON on a line of stdin, its measures in JSON on a line
of stdout, one at a time; everything else that a library says goes to stderr. Between two questions it waits
and computes nothing. All draw with temperature 0.8 and top-p 0.95, and none stops at an end mark.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gguf_files
import openvino_files

TEMPERATURE, TOP_P = 0.8, 0.95
MOST = 64
"""Requests that are answered at once, and the most that any contestant lets into its batch."""


@dataclass(frozen=True, slots=True)
class Question:
    """One measurement: an answer of ``tokens`` tokens to each prompt, all asked at once.

    ``adapters`` are numbers from 0 on, one a prompt, or None for the base model.
    """

    prompts: list[list[int]]
    adapters: list[int | None]
    tokens: int


@dataclass(slots=True)
class Measures:
    """The seconds from the question to each answer's first token, and the tokens of each answer."""

    firsts: dict[int, float] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def note(self, number: int, tokens: int) -> None:
        """Note that answer ``number`` got ``tokens`` more tokens just now."""
        if tokens:
            self.firsts.setdefault(number, time.perf_counter() - self.began)
            self.written[number] = self.written.get(number, 0) + tokens


Answering = Callable[[Question, Measures], None]
"""Writes all answers and notes their tokens; returns with the last of them."""


def engine(base: str, files: Path, threads: int) -> Answering:
    """This project's engine: the generator behind its HTTP server, which answers all requests at once."""
    import torch

    from engine.building import peaks_for
    from engine.computing.cores import use_threads
    from engine.computing.forward import forward_of
    from engine.computing.lora_bank import Pair
    from engine.generating.generation import Generator
    from engine.generating.requests import Failed, Finished, Request
    from engine.generating.token_sampling import SamplingParameters
    from engine.model.loading import choose_placement, load_base, load_tokenizer

    use_threads(1)  # as the engine does: whoever loads leaves no helpers behind
    model = load_base(base, placement=choose_placement("cpu"))
    tokenizer = load_tokenizer(base)
    forward = forward_of(model, peaks_for(model, tokenizer, "auto"))
    use_threads(threads)
    generator = Generator(forward, tokenizer, stop_ids=frozenset(), max_batch=MOST, threads=threads)
    generator.start()
    for number in range(gguf_files.ADAPTERS):
        drawn = gguf_files.random_matrices(Path(base), gguf_files.RANK, number)
        pairs = {
            name: Pair(torch.from_numpy(down), torch.from_numpy(up)) for name, (down, up) in drawn.items()
        }
        generator.install(str(number), pairs).result()

    def answer(question: Question, measures: Measures) -> None:
        ends = [threading.Event() for _ in question.prompts]
        failures: list[Exception] = []

        def ask(number: int, prompt: list[int], adapter: int | None) -> None:
            def hear(event: object) -> None:
                if isinstance(event, Failed):
                    failures.append(event.error)
                elif isinstance(event, Finished):
                    measures.written[number] = event.completion_tokens
                else:  # text comes when its characters are whole: with the first token, nearly always
                    measures.note(number, 1)
                if isinstance(event, Failed | Finished):
                    ends[number].set()

            name = None if adapter is None else str(adapter)
            sampling = SamplingParameters(TEMPERATURE, TOP_P, number)
            generator.submit(Request(prompt, question.tokens, hear, adapter=name, sampling=sampling))

        for number, (prompt, adapter) in enumerate(zip(question.prompts, question.adapters, strict=True)):
            ask(number, prompt, adapter)
        for end in ends:
            end.wait()
        if failures:
            raise failures[0]

    return answer


def generate(base: str, files: Path, threads: int) -> Answering:
    """transformers' ``generate``, one answer after the other."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.generation.streamers import BaseStreamer

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=_torch_format()).eval()

    class Noting(BaseStreamer):
        """Notes each token; the first that ``generate`` reports is the prompt."""

        def __init__(self, number: int, measures: Measures) -> None:
            self.number, self.measures, self.read = number, measures, False

        def put(self, value: Any) -> None:
            if self.read:
                self.measures.note(self.number, value.numel())
            self.read = True

        def end(self) -> None:
            pass

    def answer(question: Question, measures: Measures) -> None:
        for number, prompt in enumerate(question.prompts):
            ids = torch.tensor([prompt])
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                streamer=Noting(number, measures),
                max_new_tokens=question.tokens,
                do_sample=True,
                temperature=TEMPERATURE,
                top_p=TOP_P,
                top_k=0,
                eos_token_id=None,
                pad_token_id=0,
            )

    return answer


def continuous(base: str, files: Path, threads: int) -> Answering:
    """transformers' continuous batching, with its cache sized by hand: it would take most of the memory."""
    import torch
    from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

    # Helpers of the thread that loads would contend with those of the thread that generates.
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=_torch_format()).eval()
    torch.set_num_threads(threads)
    drawing = GenerationConfig(
        do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0, eos_token_id=-1, pad_token_id=0
    )
    # Two blocks of 256 tokens for each answer.
    sizes = ContinuousBatchingConfig(num_blocks=2 * MOST, max_batch_tokens=2048, allow_block_sharing=False)
    batching = model.init_continuous_batching(generation_config=drawing, continuous_batching_config=sizes)
    batching.start()

    def answer(question: Question, measures: Measures) -> None:
        names = batching.add_requests(question.prompts, max_new_tokens=question.tokens, streaming=True)
        waiting = set(names)
        while waiting:
            result = batching.get_result(timeout=1.0)
            if batching.background_thread_status.fatal_error is not None:
                raise RuntimeError("batching broke down") from batching.background_thread_status.fatal_error
            if result is None:
                continue
            if result.error:
                raise RuntimeError(result.error)
            number = names.index(result.request_id)
            measures.note(number, len(result.generated_tokens) - measures.written.get(number, 0))
            if result.is_finished():
                waiting.discard(result.request_id)

    return answer


def llama_cpp(form: str) -> Callable[[str, Path, int], Answering]:
    """llama.cpp's server, through xllamacpp: 64 slots that share one cache, the adapters loaded and off."""

    def load(base: str, files: Path, threads: int) -> Answering:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(gguf_files.model_file(files, form))
        settings.n_parallel, settings.n_ctx, settings.kv_unified = MOST, MOST * 512, True
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.verbosity = 1
        adapters = []
        for number in range(gguf_files.ADAPTERS):
            adapter = xllamacpp.CommonAdapterLoraInfo()
            adapter.path, adapter.scale = str(gguf_files.adapter_file(files, number)), 0.0
            adapters.append(adapter)
        settings.lora_adapters, settings.lora_init_without_apply = adapters, True
        server = xllamacpp.Server(settings)

        def answer(question: Question, measures: Measures) -> None:
            def ask(number: int) -> None:
                def hear(part: Any) -> bool:
                    if "choices" not in part:
                        raise RuntimeError(str(part)[:300])
                    measures.firsts.setdefault(number, time.perf_counter() - measures.began)
                    if usage := part.get("usage"):
                        measures.written[number] = usage["completion_tokens"]
                    return False

                adapter = question.adapters[number]
                asked = {
                    "prompt": question.prompts[number],
                    "max_tokens": question.tokens,
                    "temperature": TEMPERATURE,
                    "top_p": TOP_P,
                    # Its default. Without it, it sorts 49,152 tokens a draw and writes a tenth less.
                    "top_k": 40,
                    "min_p": 0.0,
                    "ignore_eos": True,
                    "cache_prompt": False,
                    "stream": True,
                }
                asked["lora"] = [] if adapter is None else [{"id": adapter, "scale": 1.0}]
                server.handle_completions(asked, hear)

            with ThreadPoolExecutor(MOST) as pool:
                list(pool.map(ask, range(len(question.prompts))))

        return answer

    return load


def openvino(base: str, files: Path, threads: int) -> Answering:
    """OpenVINO GenAI's continuous batching, on the 8-bit GGUF file."""
    import numpy as np
    import openvino as ov
    import openvino_genai

    path = str(gguf_files.model_file(files, "Q8_0"))
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        path, _openvino_sizes(), "CPU", {"INFERENCE_NUM_THREADS": threads}
    )
    asked = 0

    def answer(question: Question, measures: Measures) -> None:
        nonlocal asked
        drawing = _openvino_drawing(question.tokens)
        handles = []
        for prompt in question.prompts:
            ids = ov.Tensor(np.array([prompt], dtype=np.int64))
            handles.append(pipeline.add_request(asked, ids, drawing))
            asked += 1
        while pipeline.has_non_finished_requests():
            pipeline.step()
            for number, handle in enumerate(handles):
                while handle.can_read():
                    for output in handle.read().values():
                        measures.note(number, len(output.generated_ids))

    return answer


def openvino_adapters(base: str, files: Path, threads: int) -> Answering:
    """The same with adapters, each adapter's requests in a call of their own, one after the other.

    A call of ``generate`` has one adapter: of others that its requests name it takes the first's, and
    ``add_request`` takes none. Such a call tells of no token before the last.
    """
    import numpy as np
    import openvino as ov
    import openvino_genai

    loaded = [
        openvino_genai.Adapter(str(openvino_files.adapter_file(files, number)))
        for number in range(gguf_files.ADAPTERS)
    ]
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(openvino_files.model_folder(files)),
        _openvino_sizes(),
        "CPU",
        {"INFERENCE_NUM_THREADS": threads, "adapters": openvino_genai.AdapterConfig(loaded)},
    )

    def answer(question: Question, measures: Measures) -> None:
        for adapter in dict.fromkeys(question.adapters):
            drawing = _openvino_drawing(question.tokens)
            chosen = [] if adapter is None else [loaded[adapter]]
            drawing.adapters = openvino_genai.AdapterConfig(chosen)
            mine = [number for number, other in enumerate(question.adapters) if other == adapter]
            prompts = [ov.Tensor(np.array([question.prompts[number]], dtype=np.int64)) for number in mine]
            results = pipeline.generate(prompts, [drawing] * len(mine))
            for number, result in zip(mine, results, strict=True):
                measures.note(number, len(result.m_generation_ids[0]))

    return answer


def _openvino_sizes() -> Any:
    import openvino_genai

    sizes = openvino_genai.SchedulerConfig()
    sizes.max_num_seqs, sizes.max_num_batched_tokens = MOST, 2048
    sizes.cache_size, sizes.enable_prefix_caching = 1, False  # the cache in GB
    return sizes


def _openvino_drawing(tokens: int) -> Any:
    import openvino_genai

    drawing = openvino_genai.GenerationConfig()
    drawing.do_sample, drawing.temperature, drawing.top_p = True, TEMPERATURE, TOP_P
    drawing.ignore_eos, drawing.max_new_tokens = True, tokens
    return drawing


def _torch_format() -> Any:
    """Return the number format that this machine is fastest in, as the engine finds it.

    Where a CPU lacks bf16, PyTorch emulates it, slower than it computes float32.
    """
    from engine.model.loading import choose_placement

    return choose_placement("cpu").dtype


CONTESTANTS: dict[str, Callable[[str, Path, int], Answering]] = {
    "engine": engine,
    "generate": generate,
    "continuous": continuous,
    "llama-bf16": llama_cpp("BF16"),
    "llama-q8": llama_cpp("Q8_0"),
    "openvino": openvino,
    "openvino-adapters": openvino_adapters,
}


FORMATS = {"llama-bf16": "BF16", "llama-q8": "Q8_0", "openvino": "Q8_0", "openvino-adapters": "Q8_0"}
"""The number formats of the weights of those that PyTorch does not compute."""


def number_format(name: str) -> str:
    """Return the number format of a contestant's weights on this machine."""
    import torch

    from engine.computing import eight_bit

    if name in FORMATS:
        return FORMATS[name]
    computed = _torch_format()
    # What the engine's setting "auto" says, for Llamas.
    rounded = name == "engine" and computed == torch.float32 and eight_bit.available()
    return "8-bit" if rounded else str(computed).removeprefix("torch.")


def measure(answering: Answering, question: Question) -> dict[str, Any]:
    """Return seconds, seconds to each first token and the process's peak memory in MB.

    Raises:
        RuntimeError: an answer has another length than was asked for.
    """
    measures = Measures()
    answering(question, measures)
    seconds = time.perf_counter() - measures.began
    if sorted(measures.written.values()) != [question.tokens] * len(question.prompts):
        raise RuntimeError(f"answers of {measures.written}, not of {question.tokens} tokens")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = peak / (2**20 if sys.platform == "darwin" else 2**10)
    firsts = [measures.firsts[number] for number in range(len(question.prompts))]
    return {"seconds": seconds, "firsts": firsts, "memory_mb": round(memory)}


def main() -> None:
    """Load one contestant, say so in a line, and answer until stdin ends."""
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("name", choices=CONTESTANTS)
    known.add_argument("--base", required=True)
    known.add_argument("--files", type=Path, required=True)
    known.add_argument("--threads", type=int, required=True)
    options = known.parse_args()
    # Libraries print on stdout, some from C++, so it is theirs no longer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)
        answering = CONTESTANTS[options.name](options.base, options.files, options.threads)
        print(json.dumps({"format": number_format(options.name)}), file=lines, flush=True)
        for line in sys.stdin:
            print(json.dumps(measure(answering, Question(**json.loads(line)))), file=lines, flush=True)
        # Threads of a library that know no end must not keep the process.
        lines.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
