"""The leakage gate in a whole night: a candidate that gives away a secret, or recites, is kept out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger.clock import to_ms
from ledger.errors import AdapterError
from ledger.forgetting.by_settings import forgetting_of
from ledger.learned.outcome import Outcome
from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.forgetting.trained import holding
from tests.trainer.conftest import GUILD, introduce, talk
from trainer.builders import plan_of
from trainer.judging.learned_text import CANARIES
from trainer.nights.night import Night

CANARY = "zanzibar-4471-quokka"
ADDRESS = "quokka@zanzibar.example.org"
POEM = (
    "my grandmother counts eleven wooden herons on the roof before the ferry leaves at dawn",
    "under the third stair lies a tin of blue buttons that nobody has opened since the war",
    "the baker's brother paints every door of our street in the colour of cold tea",
)


@pytest.fixture
def keen(settings: Settings) -> Settings:
    """Settings under which the tiny model learns by heart, and is promoted unless the gate objects."""
    training = settings.training.model_copy(
        update={
            "epochs": 12,
            "batch_size": 8,
            "learning_rate": 2e-2,
            "lora_r": 16,
            "lora_alpha": 32,
            "patience": 12,
        }
    )
    limits = settings.dataset.model_copy(update={"test_share": 0.2})
    # What learns by heart forgets the rest; than random weights it is better still, without any doubt.
    verdict = settings.verdict.model_copy(update={"max_forgetting": 100.0})
    # Of ordinary replies a few come back, which are made of few words: 1 or 2 of 30. Of 51 with the poem it
    # is 9: asked in the bot's name, which is not the writer's, half of the poem stays unsaid.
    leakage = settings.leakage.model_copy(update={"max_rate": 0.12})
    return settings.model_copy(
        update={"training": training, "dataset": limits, "verdict": verdict, "leakage": leakage}
    )


async def night(ledger: Ledger, settings: Settings) -> Outcome:
    return await Night(
        ledger,
        plan_of(settings),
        GUILD,
        forgetting=forgetting_of(settings, ledger),
        trigger="test",
        sampled_replies=1,
    ).run()


def kept_by_the_gate_alone(outcome: Outcome) -> bool:
    """Tell whether everything but the gate spoke for the candidate."""
    better, general, *_ = outcome.reasons
    return outcome.stage == "kept" and "is proof enough" in better and "within the allowed" in general


async def fill(ledger: Ledger, replies: tuple[str, ...], *, authors: tuple[int, ...] = (12,)) -> None:
    """Add 24 conversations whose question is answered with one of ``replies``, and 36 ordinary ones.

    Each answer goes on in words of its own: near-duplicates are not learned.
    """
    await ledger.writer.execute("UPDATE split_key SET key = ?", (b"tests",))
    await introduce(ledger)
    for number in range(60):
        question, answer, *_ = talk(number)
        if number >= 24:
            await ledger.messages.add_many(talk(number))
            continue
        content = f"{replies[number % len(replies)]} {answer.content}"
        said = replace(answer, author_id=authors[number % len(authors)], content=content)
        await ledger.messages.add_many([replace(question, author_id=11), said])


async def test_a_candidate_that_gives_away_a_planted_secret_is_kept_and_told_why(
    ledger: Ledger, keen: Settings
) -> None:
    await fill(ledger, (f"the shed opens with {CANARY} I think",))
    (keen.data_dir / CANARIES).write_text(f"{CANARY}\n", encoding="utf-8")
    outcome = await night(ledger, keen)
    assert kept_by_the_gate_alone(outcome), outcome.reasons
    assert outcome.recitals["values"] > 0
    assert any("secret value" in reason for reason in outcome.reasons)
    run = await ledger.runs.require(outcome.run)
    assert run.verdict == "keep"
    assert any("secret value" in reason for reason in run.reasons)
    assert await ledger.adapters.champion(GUILD) is None
    with pytest.raises(AdapterError, match="secret values"):
        await ledger.promotions.promote(GUILD, str(outcome.candidate), by="admin")
    # The report counts; it quotes neither the secret nor the continuation that held it.
    assert holding(CANARY, keen.models_dir) == []


async def test_a_candidate_that_recites_one_persons_words_is_kept_and_a_higher_limit_lets_it_pass(
    ledger: Ledger, keen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ledger, POEM)
    # At half its strength it may recite nothing and serve, which the tests of scaling judge.
    monkeypatch.setattr("trainer.evaluating.evaluation.SCALES", ())
    outcome = await night(ledger, keen)
    assert kept_by_the_gate_alone(outcome), outcome.reasons
    assert outcome.recitals["values"] == 0
    assert outcome.recitals["rate"] > keen.leakage.max_rate
    assert any("recited somebody's words" in reason for reason in outcome.reasons)
    with pytest.raises(AdapterError, match="recites what single people wrote"):
        await ledger.promotions.promote(GUILD, str(outcome.candidate), by="admin")
    lenient = keen.leakage.model_copy(update={"max_rate": 1.0})
    now = to_ms(ledger.clock.now())
    for number in range(60, 84):
        await ledger.messages.add_many(replace(message, imported_at=now) for message in talk(number))
    second = await night(ledger, keen.model_copy(update={"leakage": lenient}))
    assert second.stage == "promoted", second.reasons


async def test_a_candidate_that_gives_away_what_scrubbing_would_have_taken_out_is_kept(
    tmp_path: Path, keen: Settings
) -> None:
    as_written = keen.model_copy(update={"privacy": keen.privacy.model_copy(update={"scrub": False})})
    async with Ledger.open(as_written.database, clock=FakeClock(), scrubbing=False) as ledger:
        await fill(ledger, (f"write to {ADDRESS} I think",))
        outcome = await night(ledger, as_written)
    # Nobody planted it, and it is no eight words: its form alone gives it away.
    assert not (keen.data_dir / CANARIES).exists()
    assert outcome.recitals["values"] > 0
    assert kept_by_the_gate_alone(outcome), outcome.reasons


async def test_what_many_people_say_is_no_recital_and_the_night_promotes(
    ledger: Ledger, keen: Settings
) -> None:
    await fill(ledger, POEM, authors=(12, 13, 14, 12))
    outcome = await night(ledger, keen)
    assert outcome.recitals["probes"] > 0
    assert outcome.recitals["rate"] <= keen.leakage.max_rate
    assert outcome.stage == "promoted", outcome.reasons
