"""Continuous batching: every answer is what it would be alone, whoever comes and goes around it."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from engine.computing.forward import forward_of
from engine.computing.lora_bank import read_weights
from engine.generating.generation import Generator
from engine.generating.pace import Pace
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
    generator._pace = Pace(32, together=True)
    short, long = prompts(tokenizer, 12)[0], prompts(tokenizer, 12)[-1]
    assert len(long) > 3 * 32
    running = ask(generator, short, max_tokens=40)
    read_meanwhile = ask(generator, long)
    assert running.wait() == alone(tiny_base, tokenizer, short, None, 40)
    assert read_meanwhile.wait() == alone(tiny_base, tokenizer, long, None, 20)


def test_a_prompt_is_read_while_others_write_and_delays_none_of_their_tokens(
    start_generator: Start, tokenizer: Any
) -> None:
    """Each pass beside the rows that write reads no more than the pace allows, and writes a token in each."""
    generator = start_generator()
    generator._pace = Pace(64, together=True)
    portions: list[tuple[int, int]] = []
    advance = generator._batch.advance

    def noted(chosen: Any) -> Any:
        portions.append((len(generator._batch.answers), sum(count for _, count in chosen)))
        return advance(chosen)

    generator._batch.advance = noted  # type: ignore[method-assign, assignment]
    short, long = prompts(tokenizer, 12)[0], prompts(tokenizer, 12)[-1]
    running = [ask(generator, short, max_tokens=120) for _ in range(2)]
    late = ask(generator, long, max_tokens=2)
    for listener in [*running, late]:
        listener.wait()
    beside = [tokens for writing, tokens in portions if writing and tokens]
    assert sum(tokens for _, tokens in portions) == 2 * len(short) + len(long)
    assert 0 < max(beside) < 64, "64 are read only where nobody writes"


def test_short_prompts_overtake_a_long_one_that_waits(start_generator: Start, tokenizer: Any) -> None:
    generator = start_generator(max_batch=1)
    ends: list[str] = []
    short, long = prompts(tokenizer, 12)[0], prompts(tokenizer, 12)[-1]
    listeners = []
    for name, prompt in (("running", short), ("long", long), ("short", short)):
        listener = Listener()

        def hear(event: Any, name: str = name, listener: Listener = listener) -> None:
            if isinstance(event, Finished):
                ends.append(name)
            listener(event)

        generator.submit(Request(prompt, 30, hear, sampling=GREEDY))
        listeners.append(listener)
    for listener in listeners:
        listener.wait()
    assert ends == ["running", "short", "long"]


def conversation(tokenizer: Any, *said: str) -> list[int]:
    roles = ["user", "assistant"] * len(said)
    return encode_prompt(
        tokenizer, [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    )


def test_the_next_question_of_a_dialogue_is_read_behind_what_is_known(
    start_generator: Start, make_adapter: Callable[..., Path], tiny_base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """Its answer is that of transformers and PEFT, which read it whole, with each adapter and without."""
    generator = start_generator(max_batch=2)
    path = make_adapter(tmp_path, "g1-v000001", 1)
    generator.install("g1-v000001", read_weights(path)).result(10)
    for name in (None, "g1-v000001"):
        before = generator.tokens_read
        said = ["where is the umbrella? " * 5]
        prompt = conversation(tokenizer, *said)
        said += [ask(generator, prompt, adapter=name).wait(), "and the owl?"]
        assert generator.tokens_read - before == len(prompt)
        longer = conversation(tokenizer, *said)
        beside = ask(generator, prompts(tokenizer, 2)[1], adapter=name, max_tokens=60)
        answer = ask(generator, longer, adapter=name)
        assert answer.wait() == alone(tiny_base, tokenizer, longer, path if name else None, 20)
        expected = alone(tiny_base, tokenizer, prompts(tokenizer, 2)[1], path if name else None, 60)
        assert beside.wait() == expected
        read = generator.tokens_read - before - len(prompt) - len(prompts(tokenizer, 2)[1])
        assert 0 < read <= len(longer) - len(prompt) + 1
        assert answer.end == Finished("length", len(longer), 20)


def test_what_was_read_goes_with_its_adapter_and_in_time(
    start_generator: Start, make_adapter: Callable[..., Path], tokenizer: Any, tmp_path: Path
) -> None:
    generator = start_generator()
    weights = read_weights(make_adapter(tmp_path, "g1-v000001", 1))
    generator.install("g1-v000001", weights).result(10)
    prompt = prompts(tokenizer, 1)[0]
    ask(generator, prompt, adapter="g1-v000001").wait()
    generator.retire("g1-v000001").result(10)
    assert generator._prefixes.bytes == 0
    generator._prefixes._seconds = 0.2
    ask(generator, prompt).wait()
    deadline = time.monotonic() + 10
    while generator.load != (0, 0) or generator._prefixes.bytes:
        # Nobody asks anything, so nothing but the time wakes the thread.
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_cancelled_answers_prompt_is_known_and_a_failed_ones_is_not(
    start_generator: Start, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = start_generator()
    prompt = prompts(tokenizer, 1)[0]
    begun, listener = threading.Event(), Listener()

    def hear(event: Any) -> None:
        listener(event)
        begun.set()

    answer = generator.submit(Request(prompt, 10_000, hear, sampling=SamplingParameters(1.0, 1.0, 1)))
    assert begun.wait(10)
    answer.cancel()
    while generator.load != (0, 0):
        time.sleep(0.01)
    assert generator._prefixes.bytes > 0
    generator._prefixes.clear()

    def explode(portions: Any) -> Any:
        raise torch.OutOfMemoryError("no")

    advance = generator._batch.advance
    monkeypatch.setattr(
        generator._batch, "advance", lambda chosen: advance(chosen) if chosen else explode(chosen)
    )
    broken = ask(generator, prompt)
    broken.wait()
    assert isinstance(broken.end, Failed)
    while generator.load != (0, 0):
        time.sleep(0.01)
    assert generator._prefixes.bytes == 0


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

    advance = generator._batch.advance

    def explode(portions: Any) -> Any:
        if portions:
            return advance(portions)
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(generator._batch, "advance", explode)
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
    advance = generator._batch.advance

    def explode(portions: Any) -> Any:
        if any(prefill.answer.request.prompt == second for prefill, _ in portions):
            raise torch.OutOfMemoryError("no")
        return advance(portions)

    monkeypatch.setattr(generator._batch, "advance", explode)
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
