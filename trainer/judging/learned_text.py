"""What a run learned from, read back from the ledger for the leakage gate; kept in memory alone."""

from __future__ import annotations

from ledger.records import Run
from ledger.scrubbing import found_values
from ledger.settings import Settings
from ledger.store import Ledger
from trainer.judging.leakage import Corpus
from trainer.nights.night_folders import canaries


async def corpus_of(ledger: Ledger, settings: Settings, run: Run) -> Corpus:
    """Return the messages that the run saw, and what of them must not come back whatever it is.

    Those are the secrets that the operator planted, and values that scrubbing knows but did not take
    out, because it is switched off.
    """
    seen = await ledger.runs.messages_of(run.id)
    learned = [
        (message.author_id, ledger.messages.as_stored(message.content))
        for message in await ledger.messages.of_guild(run.guild_id)
        if message.id in seen
    ]
    private = [value for _, text in learned for _, value in found_values(text)]
    return Corpus(learned, secrets=[*private, *canaries(settings.data_dir)])


__all__ = ["corpus_of"]
