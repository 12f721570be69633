"""What the recorder hears besides messages: reactions to the bot's answers."""

from __future__ import annotations

from tests.bot.house import House


async def test_reactions_of_those_who_agreed_are_kept_with_the_answer_and_taken_back(house: House) -> None:
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ask(house.ann, "hello")
    [answer] = house.last()
    answers = house.services.ledger.answers
    await house.ann.react(answer, "👍")
    await house.ben.react(answer, "👎")
    assert await answers.reactions(answer.id) == {"👍": 1}
    await house.ann.unreact(answer, "👍")
    assert await answers.reactions(answer.id) == {}


async def test_reactions_to_what_members_say_are_nobodys_business(house: House) -> None:
    await house.ann.slash(house.general, "privacy opt-in")
    message = await house.ann.send(house.general, "I love soup")
    await house.ann.react(message, "👍")
    assert await house.services.ledger.answers.reactions(message.id) == {}
