"""Continuous batching: every answer is what it would be alone, whoever comes and goes around it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from engine.computing.forward import forward_of
from engine.computing.lora_bank import read_weights
from engine.generating.generation import Generator
from engine.generating.requests import Answer, Failed, Finished, Request
from engine.generating.token_sampling import Dice, SamplingParameters
from engine.model.encoding import encode_prompt
from engine.model.loading import choose_placement, load_base
from ledger.errors import AdapterError, EngineBusy
from tests.engine.conftest import Listener

GREEDY = SamplingParameters(temperature=0.0)
Start = Callable[..., Generator]


def ask(generator: Generator, prompt: Sequence[int], **options: Any) -> Listener:
    listener = Listener()
    settings = {"max_tokens": 20, "sampling": GREEDY, **options}
    generator.submit(Request(prompt=prompt, on_event=listener, **settings))
    return listener


def prompts(tokenizer: Any, count: int) -> list[list[int]]:
    questions = [" ".join(["where is the umbrella"] * (1 + n * 3)) + f" {n}" for n in range(count)]
    return [encode_prompt(tokenizer, [{"role": "user", "content": question}]) for question in questions]


def alone(tiny_base: Path, tokenizer: Any, prompt: list[int], adapter: Path | None, tokens: int) -> str:
    """Return the greedy answer as transformers and PEFT write it, without any of our code."""
    model: Any = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        for _ in range(tokens):
            token = model(input_ids=ids).logits[0, -1].argmax()
            if int(token) == tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, token.view(1, 1)], dim=1)
    return str(tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True)).rstrip("\ufffd")


def test_answers_of_a_mixed_batch_are_those_of_peft_alone(
    start_generator: Start, make_adapter: Callable[..., Path], tiny_base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    generator = start_generator(max_batch=4)
    paths = {
        name: make_adapter(tmp_path, name, seed) for name, seed in (("g1-v000001", 1), ("g2-v000001", 2))
    }
    for name, path in paths.items():
        generator.install(name, read_weights(path)).result(10)
    choices = [None, "g1-v000001", "g2-v000001"]
    asked = [(prompt, choices[n % 3], 8 + n * 3) for n, prompt in enumerate(prompts(tokenizer, 8))]
    listeners = [ask(generator, prompt, adapter=name, max_tokens=most) for prompt, name, most in asked]
    for listener, (prompt, name, most) in zip(listeners, asked, strict=True):
        path = None if name is None else paths[name]
        assert listener.wait() == alone(tiny_base, tokenizer, prompt, path, most)


def test_a_long_prompt_read_in_portions_gives_the_same_answer(
    start_generator: Start, tiny_base: Path, tokenizer: Any
) -> None:
    generator = start_generator()
    generator._portion = 32
    short, long = prompts(tokenizer, 12)[0], prompts(tokenizer, 12)[-1]
    assert len(long) > 3 * 32
    running = ask(generator, short, max_tokens=40)
    read_meanwhile = ask(generator, long)
    assert running.wait() == alone(tiny_base, tokenizer, short, None, 40)
    assert read_meanwhile.wait() == alone(tiny_base, tokenizer, long, None, 20)


def test_the_end_says_why_and_counts_tokens(start_generator: Start, tokenizer: Any) -> None:
    listener = ask(start_generator(), prompts(tokenizer, 1)[0], max_tokens=5)
    listener.wait()
    assert listener.end == Finished("length", len(prompts(tokenizer, 1)[0]), 5)


def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator()
    whole = ask(generator, prompts(tokenizer, 1)[0], max_tokens=30).wait()
    stop = whole[len(whole) // 2 :][:3]
    listener = ask(generator, prompts(tokenizer, 1)[0], max_tokens=30, stops=(stop,))
    assert listener.wait() == whole[: whole.index(stop)]
    assert isinstance(listener.end, Finished)
    assert listener.end.reason == "stop"


def test_the_same_seed_draws_the_same_answer_in_any_company(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator()
    prompt = prompts(tokenizer, 1)[0]
    first = ask(generator, prompt, sampling=SamplingParameters(1.0, 0.9, seed=5)).wait()
    crowd = [
        ask(generator, p, sampling=SamplingParameters(1.0, 0.9, seed=n))
        for n, p in enumerate(prompts(tokenizer, 5))
    ]
    again = ask(generator, prompt, sampling=SamplingParameters(1.0, 0.9, seed=5)).wait()
    assert again == first
    assert len({listener.wait() for listener in crowd}) > 1


def test_a_cancelled_request_frees_its_row(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator(max_batch=1)
    first = Listener()
    begun = threading.Event()

    def hear(event: Any) -> None:
        first(event)
        begun.set()

    answer = generator.submit(
        Request(prompts(tokenizer, 1)[0], 10_000, hear, sampling=SamplingParameters(1.0, 1.0, 1))
    )
    second = ask(generator, prompts(tokenizer, 2)[1], max_tokens=3)
    assert begun.wait(10)
    answer.cancel()
    second.wait()
    generator.close(5)
    assert first.end is None
    assert generator.load == (0, 0)


def test_one_request_too_many_is_refused_at_once(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator(max_batch=1, max_waiting=2)
    prompt = prompts(tokenizer, 1)[0]
    accepted = [ask(generator, prompt, max_tokens=200) for _ in range(3)]
    with pytest.raises(EngineBusy, match="2 requests wait already"):
        ask(generator, prompt)
    assert all(listener.wait() for listener in accepted)


def test_a_retired_adapter_ends_its_requests_and_then_leaves(
    start_generator: Start, make_adapter: Callable[..., Path], tokenizer: Any, tmp_path: Path
) -> None:
    generator = start_generator(max_batch=2)
    name = "g1-v000001"
    generator.install(name, read_weights(make_adapter(tmp_path, name, 1))).result(10)
    expected = ask(generator, prompts(tokenizer, 1)[0], adapter=name, max_tokens=60).wait()
    running = [ask(generator, prompts(tokenizer, 1)[0], adapter=name, max_tokens=60) for _ in range(4)]
    gone = generator.retire(name)
    with pytest.raises(AdapterError, match="not loaded"):
        ask(generator, prompts(tokenizer, 1)[0], adapter=name)
    assert [listener.wait() for listener in running] == [expected] * 4
    gone.result(10)
    assert generator.loaded == 0


def test_a_retiring_adapter_can_be_called_back(
    start_generator: Start, make_adapter: Callable[..., Path], tokenizer: Any, tmp_path: Path
) -> None:
    generator = start_generator()
    name = "g1-v000001"
    generator.install(name, read_weights(make_adapter(tmp_path, name, 1))).result(10)
    running = ask(generator, prompts(tokenizer, 1)[0], adapter=name, max_tokens=200)
    generator.retire(name)
    assert generator.revive(name)
    ask(generator, prompts(tokenizer, 1)[0], adapter=name).wait()
    running.wait()
    assert generator.adapters == {name}


def test_a_step_that_fails_breaks_off_its_requests_and_the_next_ones_work(
    start_generator: Start, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = start_generator()
    prompt = prompts(tokenizer, 1)[0]

    def explode() -> None:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(generator._batch, "step", explode)
    broken = ask(generator, prompt)
    broken.wait()
    assert isinstance(broken.end, Failed)
    assert "ran out of GPU memory" in str(broken.end.error)
    monkeypatch.undo()
    assert ask(generator, prompt).wait()


def test_closing_lets_running_answers_end(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator()
    listener = ask(generator, prompts(tokenizer, 1)[0], max_tokens=50)
    generator.close(20)
    assert isinstance(listener.end, Finished)


def test_a_row_whose_numbers_overflow_breaks_off_alone(
    start_generator: Start, make_adapter: Callable[..., Path], tiny_base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    generator = start_generator(max_batch=4)
    sound = make_adapter(tmp_path, "g1-v000001", 1)
    weights = read_weights(sound)
    generator.install("g1-v000001", weights).result(10)
    huge = {
        m: type(p)(torch.full_like(p.down, 1e38), torch.full_like(p.up, 1e38)) for m, p in weights.items()
    }
    generator.install("g9-v000001", huge).result(10)
    asked = list(zip(prompts(tokenizer, 4), [None, "g9-v000001", "g1-v000001", "g9-v000001"], strict=True))
    listeners = [ask(generator, prompt, adapter=name) for prompt, name in asked]
    for listener, (prompt, name) in zip(listeners, asked, strict=True):
        text = listener.wait()
        if name == "g9-v000001":
            assert isinstance(listener.end, Failed)
            assert "g9-v000001 computed is no number" in str(listener.end.error)
        else:
            assert text == alone(tiny_base, tokenizer, prompt, sound if name else None, 20)
    assert generator.load == (0, 0)


@pytest.mark.parametrize("broken", ["draw", "detokeniser"])
def test_whatever_one_request_raises_ends_that_request_alone(
    start_generator: Start, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    generator = start_generator(max_batch=4)
    first, second = prompts(tokenizer, 2)
    expected = ask(generator, first).wait()
    cursed = SamplingParameters(temperature=1.0, seed=13)
    if broken == "draw":
        throw = Dice.throw

        def explode(self: Dice) -> float:
            if self.sampling is cursed:
                raise ValueError("no dice")
            return throw(self)

        monkeypatch.setattr(Dice, "throw", explode)
    else:
        take = Answer.take

        def choke(self: Answer, token: int, stop_ids: frozenset[int]) -> None:
            if self.request.sampling is cursed and self.written == 3:
                raise KeyError(token)
            take(self, token, stop_ids)

        monkeypatch.setattr(Answer, "take", choke)
    fine, bad = ask(generator, first), ask(generator, second, sampling=cursed)
    bad.wait()
    assert isinstance(bad.end, Failed)
    assert fine.wait() == expected
    assert ask(generator, first).wait() == expected


def test_a_prompt_that_cannot_be_read_breaks_off_without_those_who_write(
    start_generator: Start, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = start_generator(max_batch=4)
    first, second = prompts(tokenizer, 2)
    expected = ask(generator, first, max_tokens=60).wait()
    read = generator._batch.read

    def explode(prefill: Any, portion: int) -> bool:
        if any(answer.request.prompt == second for answer in prefill.answers):
            raise torch.OutOfMemoryError("no")
        return read(prefill, portion)

    monkeypatch.setattr(generator._batch, "read", explode)
    running, begun = Listener(), threading.Event()

    def hear(event: Any) -> None:
        running(event)
        begun.set()

    generator.submit(Request(first, 60, hear, sampling=GREEDY))
    assert begun.wait(10)  # read by now, so that the second prompt is read by itself
    bad = ask(generator, second)
    bad.wait()
    assert isinstance(bad.end, Failed)
    assert running.wait() == expected


def test_no_extreme_of_any_setting_ends_the_thread(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator(max_batch=8)
    prompt = prompts(tokenizer, 1)[0]
    extremes = [
        SamplingParameters(top_p=1e-46),
        SamplingParameters(temperature=1e-300),
        SamplingParameters(min_p=1.0, top_p=1e-46, top_k=1),
        SamplingParameters(repetition_penalty=100.0, frequency_penalty=2.0),
        SamplingParameters(repetition_penalty=0.01, presence_penalty=-2.0),
        SamplingParameters(logit_bias=tuple((token, -100.0) for token in range(len(tokenizer)))),
        SamplingParameters(min_tokens=20, logit_bias=((tokenizer.eos_token_id, 100.0),)),
        SamplingParameters(top_k=2**63 - 1, seed=-(2**63)),
    ]
    for listener in [ask(generator, prompt, sampling=sampling) for sampling in extremes]:
        listener.wait()
        assert isinstance(listener.end, Finished)


def test_min_tokens_holds_the_end_back(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator()
    prompt = prompts(tokenizer, 1)[0]
    ends = ((tokenizer.eos_token_id, 100.0),)
    for least in (0, 7):
        listener = ask(generator, prompt, sampling=SamplingParameters(0.0, min_tokens=least, logit_bias=ends))
        listener.wait()
        assert isinstance(listener.end, Finished)
        assert listener.end.completion_tokens == least + 1


def test_a_seed_draws_the_same_with_penalties_in_any_company(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator(max_batch=8)
    prompt = prompts(tokenizer, 1)[0]
    said = SamplingParameters(1.0, 0.9, 5, 50, 0.02, 1.2, 0.3, 0.1)
    first = ask(generator, prompt, sampling=said).wait()
    crowd = [
        ask(generator, p, sampling=SamplingParameters(1.0, seed=n, repetition_penalty=1 + n / 9))
        for n, p in enumerate(prompts(tokenizer, 5))
    ]
    assert ask(generator, prompt, sampling=said).wait() == first
    for listener in crowd:
        listener.wait()


@pytest.mark.gpu
def test_two_adapters_on_a_four_bit_base_answer_together_on_a_gpu(
    make_adapter: Callable[..., Path], tiny_base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    model = load_base(str(tiny_base), placement=choose_placement("cuda", "4bit", "bfloat16"))
    generator = Generator(forward_of(model), tokenizer, stop_ids=frozenset(), max_batch=4)
    generator.start()
    for name, seed in (("g1-v000001", 1), ("g2-v000001", 2)):
        generator.install(name, read_weights(make_adapter(tmp_path, name, seed))).result(60)
    rows = [None, "g1-v000001", "g2-v000001"] * 2
    asked = list(zip(rows, prompts(tokenizer, 6), strict=True))
    listeners = [ask(generator, prompt, adapter=name, max_tokens=12) for name, prompt in asked]
    for listener in listeners:
        listener.wait()
        assert isinstance(listener.end, Finished)
        assert listener.end.completion_tokens == 12
    generator.close(5)
