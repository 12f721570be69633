"""All rules of one night in their order: who is held, what is no target, what is no context."""

from __future__ import annotations

from ledger.people.quarantine import ABUSE, SLOGAN, Detained
from tests.trainer.choosing.villages import NOW, last_day, rudeness, said
from trainer.choosing.choice import PASTE, QUARANTINED, choose
from trainer.choosing.quality import DUPLICATE, LINK_ALONE
from trainer.choosing.server_past import DAY_MS, ServerPast

MORNING = NOW - DAY_MS
NEW = 900
INSULTS = [said(10**9 + n, f"you idiots number {n}", author=NEW, at=MORNING + n * 60_000) for n in range(5)]


def test_a_day_like_any_other_is_learned_whole(village: ServerPast) -> None:
    choice = choose(last_day(), village, now=NOW, toxicity=rudeness)
    assert list(choice.targets) == last_day()
    assert (choice.left_out, choice.suspects, choice.without) == ({}, {}, frozenset())


def test_what_a_suspect_wrote_is_neither_target_nor_context_and_is_counted(village: ServerPast) -> None:
    link = said(10**9 + 50, "https://example.org/shed", author=3, at=MORNING)
    choice = choose([*last_day(), *INSULTS, link], village, now=NOW, toxicity=rudeness)
    assert choice.suspects == {NEW: (ABUSE,)}
    assert choice.counts == {QUARANTINED: 5, LINK_ALONE: 1}
    assert choice.without == {message.id for message in INSULTS}
    assert list(choice.targets) == last_day()


def test_who_is_held_is_not_judged_again_and_keeps_nobody_elses_words_out(village: ServerPast) -> None:
    copied = last_day()[0]
    copy = said(10**9 + 60, copied.content, author=NEW, at=copied.created_at - 1)
    held = {NEW: Detained(1, NEW, MORNING - 1, NOW + DAY_MS, (SLOGAN,))}
    choice = choose([*last_day(), *INSULTS, copy], village, now=NOW, toxicity=rudeness, held=held)
    assert choice.suspects == {}
    assert list(choice.targets) == last_day(), "a copy in quarantine must not take the original's place"
    free = choose([*last_day(), copy], village, now=NOW, toxicity=rudeness)
    assert free.left_out == {copied.id: DUPLICATE}


def test_whom_an_admin_let_in_stays_in_for_those_reasons(village: ServerPast) -> None:
    for reasons, suspects in (((ABUSE,), {}), ((SLOGAN,), {NEW: (ABUSE,)})):
        held = {NEW: Detained(1, NEW, MORNING, NOW + DAY_MS, reasons, allowed_by="99")}
        choice = choose([*last_day(), *INSULTS], village, now=NOW, toxicity=rudeness, held=held)
        assert choice.suspects == suspects


def test_a_paste_in_words_that_nobody_uses_stays_as_context(village: ServerPast) -> None:
    text = " ".join(f"unerhört{chr(97 + n)} vergangen{chr(97 + n)}" for n in range(20))
    paste = said(10**9 + 70, text, author=3, at=MORNING)
    choice = choose([*last_day(), paste], village, now=NOW, toxicity=rudeness)
    assert choice.left_out == {paste.id: PASTE}
    assert paste.id not in choice.without
