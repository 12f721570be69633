"""The whole dataset without a file: liked answers among what is learned, and what is counted as left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ledger.learned.teaching import teach_pair
from ledger.records import BotAnswer, Message
from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.trainer.conftest import CHANNEL, GUILD, fill, read, talk
from trainer.builders import dataset_limits_of
from trainer.choosing.liked_answers import LikedAnswer
from trainer.preparing.arranging import GOING_ON, HELD_OUT, NO_ROOM, Arranged, arrange
from trainer.preparing.material import Material, Start

LIMITS = dataset_limits_of(Settings())
ANSWER = 5_000_000


async def arranged(
    ledger: Ledger, liked: Sequence[LikedAnswer] = (), start: Start | None = None
) -> tuple[Arranged, Material]:
    material = replace(await read(ledger), liked=tuple(liked))
    return arrange(material, LIMITS, bot_name="Nightschool", start=start or Start()), material


def liked_after(context: Sequence[Message]) -> LikedAnswer:
    answer = BotAnswer(
        ANSWER, GUILD, CHANNEL, context[-1].author_id, context[-1].id, "on the third shelf", "v1", 1
    )
    return LikedAnswer(tuple(context), answer, (ANSWER + 1,))


async def test_a_liked_answer_is_learned_in_the_bots_name_and_listed_as_its_askers(ledger: Ledger) -> None:
    await fill(ledger, 60)
    found, _ = await arranged(ledger)
    learned = next(
        window.conversation
        for each in found.split.train
        for window in each.windows
        if len(window.target_messages) > 1
    )
    context = talk((learned - 1_000_000) // 10)[:3]
    found, _ = await arranged(ledger, [liked_after(context)])
    [window] = [w for each in found.split.train for w in each.windows if ANSWER in w.authors][:1]
    assert [window.words(target) for target in window.targets] == ["on the third shelf"]
    assert window.turns[-1] == {"role": "assistant", "content": "Nightschool: on the third shelf"}
    assert window.authors[ANSWER] == window.authors[ANSWER + 1] == context[-1].author_id
    assert found.counts["taught"] == 1
    assert found.split.roles()[ANSWER] == "target"


async def test_an_answer_to_a_held_out_question_is_not_learned(ledger: Ledger) -> None:
    await fill(ledger, 60)
    found, _ = await arranged(ledger)
    tested = found.split.test[0].conversation
    context = talk((tested - 1_000_000) // 10)[:1]
    found, _ = await arranged(ledger, [liked_after(context)])
    assert ANSWER not in found.split.roles()


async def test_what_is_left_out_is_counted_by_reason(ledger: Ledger, clock: FakeClock) -> None:
    from datetime import UTC, datetime

    await fill(ledger, 60)
    last = talk(59)[-1].created_at
    clock.set(datetime.fromtimestamp(last / 1000 + 60, UTC))
    found, material = await arranged(ledger)
    left_out = found.counts["left_out"]
    assert left_out[GOING_ON] == 4
    assert left_out[HELD_OUT] >= 4 * 8
    assert NO_ROOM not in left_out
    used = found.counts["train_replies"] + sum(left_out.values())
    assert used >= found.counts["messages"] == len(material.messages) == 240


async def test_a_liked_answer_is_never_scored_as_a_members(ledger: Ledger) -> None:
    from dataclasses import replace

    await fill(ledger, 60)
    context = talk(40)[:1]
    liked = liked_after(context)
    made = replace(liked.answer, created_at=context[0].created_at + 1)
    material = replace(
        await read(ledger),
        liked=(replace(liked, answer=made),),
        last_night=context[0].created_at - 1,
    )
    found = arrange(material, LIMITS, bot_name="Nightschool", start=Start())
    assert found.split.fresh
    assert not any(ANSWER in window.authors for each in found.split.fresh for window in each.windows)
    assert any(ANSWER in window.authors for each in found.split.train for window in each.windows)


def lines_of(found: Arranged, number: int) -> list[str]:
    """Return the text of every turn in which a message is a target, name included."""
    return [
        window.turns[target[0]]["content"]
        for each in found.split.train
        for window in each.windows
        for target in window.targets
        if window.message_of(target) == number
    ]


async def test_a_member_with_the_bots_name_does_not_teach_its_voice(ledger: Ledger) -> None:
    await fill(ledger, 60)
    await ledger.people.ensure_many(GUILD, [(12, "nightSchool", False)])
    found, _ = await arranged(ledger)
    fronts = {
        line.partition(":")[0]
        for each in found.split.train
        for window in each.windows
        for turn in window.turns[1:]
        for line in turn["content"].split("\n")
    }
    assert "another Nightschool" in fronts
    assert not {front for front in fronts if front.casefold() == "nightschool"}


async def test_what_was_taught_long_ago_is_replayed_in_the_bots_name(
    ledger: Ledger, clock: FakeClock
) -> None:
    await fill(ledger, 60)
    await teach_pair(ledger, GUILD, 77, "the admin", number=ANSWER, texts=("how many chairs?", "140 chairs."))
    clock.advance(days=30)
    found, material = await arranged(ledger)
    [answer] = [message.id for message in material.messages if message.content == "140 chairs."]
    known = frozenset(message.id for message in material.messages)
    again, _ = await arranged(ledger, start=Start("v1", known, known, 1))
    assert (found.counts["taught"], again.counts["taught"]) == (1, 0)
    assert set(lines_of(found, answer)) == set(lines_of(again, answer)) == {"Nightschool: 140 chairs."}
