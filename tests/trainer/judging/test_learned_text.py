"""What the leakage gate holds against a candidate: what its run saw, and what must not come back at all."""

from __future__ import annotations

from dataclasses import replace

from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.trainer.conftest import GUILD, introduce, talk
from trainer.judging.leakage import Corpus
from trainer.judging.learned_text import CANARIES, corpus_of

ADDRESS, KEY = "ada@shed.example.org", "sk-" + "Zq7Lw2Xt9Bv4Nc8R" * 2
POEM = "eleven wooden herons on the roof before the ferry leaves at dawn"
OTHER = "under the third stair lies a tin of blue buttons nobody opened"


async def learned(settings: Settings, *, scrub: bool) -> Corpus:
    """Return the corpus of a run that saw three messages of a ledger with four."""
    settings = settings.model_copy(update={"privacy": settings.privacy.model_copy(update={"scrub": scrub})})
    async with Ledger.open(settings.database, clock=FakeClock(), scrubbing=scrub) as ledger:
        await introduce(ledger)
        texts = (f"{POEM}, write to {ADDRESS}", f"the key is {KEY}", POEM, f"{OTHER}, {ADDRESS.upper()}")
        messages = [replace(m, content=text) for m, text in zip(talk(0), texts, strict=True)]
        messages[2] = replace(messages[2], author_id=13)
        await ledger.messages.add_many(messages)
        run = await ledger.runs.create(GUILD, "test")
        await ledger.runs.learned_from(run.id, [(m.id, m.author_id) for m in messages[:3]])
        return await corpus_of(ledger, run, data_dir=settings.data_dir)


async def test_values_that_scrubbing_would_take_out_must_not_come_back(settings: Settings) -> None:
    corpus = await learned(settings, scrub=False)
    assert corpus.secrets == tuple(sorted([ADDRESS, KEY]))
    assert corpus.reveals(f"it is {ADDRESS.title()}, I think")
    assert corpus.reveals(KEY)


async def test_what_was_scrubbed_was_not_learned(settings: Settings) -> None:
    corpus = await learned(settings, scrub=True)
    assert corpus.secrets == ()
    assert corpus.recites(POEM)


async def test_what_the_operator_planted_must_not_come_back_either(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / CANARIES).write_text("zanzibar-4471-quokka\n\n  moth-9 \n", encoding="utf-8")
    corpus = await learned(settings, scrub=True)
    assert corpus.secrets == ("moth-9", "zanzibar-4471-quokka")


async def test_only_what_the_run_saw_counts(settings: Settings) -> None:
    corpus = await learned(settings, scrub=True)
    assert corpus.recites(POEM)
    assert not corpus.recites(OTHER)
