"""What is kept of what is said: nothing of anybody who did not agree, down to the bytes on the disk."""

from __future__ import annotations

from tests.bot.house import MARK, House, StandInEngine
from tests.looking import answers_of


async def test_a_message_of_somebody_who_agreed_is_kept_as_it_was_said(house: House) -> None:
    first = await house.ann.send(house.general, "I love soup")
    second = await house.ann.send(house.general, f"{house.ben.mention} do you?", reply_to=first)
    one, two = await house.kept()
    assert (one.content, one.author_name) == ("I love soup", "ann")
    assert (one.source, one.basis) == ("discord", "opt-in")
    assert (two.id, two.reply_to) == (second.id, first.id)
    assert house.ben.id in two.mentions
    assert two.channel_id == house.general.id


async def test_nothing_of_somebody_who_did_not_agree_reaches_the_disk(
    house: House, engine: StandInEngine
) -> None:
    # The model repeats word for word what it read: the worst that it can do.
    engine.pieces = lambda body: [turn["content"] for turn in body["messages"][1:]]
    mine = await house.ben.send(house.general, f"my secret is {MARK}")
    await house.ben.edit(mine, f"my secret was {MARK}")
    await house.ask(house.ben, f"what do you think of {MARK}?")
    await house.ben.slash(house.general, "ask", question=f"and what is {MARK}?")
    await house.quiet()
    await house.ask(house.ann, "what did ben say?", reply_to=mine)
    await house.ask(house.ann, "and what did you say to ben?", reply_to=house.last()[0])
    await house.ben.react(house.last()[0], "👍")
    thread = house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ben.id)
    await house.env.settle()
    side = next(each for each in house.general.threads if each.id == thread.id)
    await house.ben.send(side, MARK)
    await house.ben.delete(mine)
    await house.ben.slash(house.general, "privacy opt-in")
    await house.ben.slash(house.general, "privacy opt-out")
    await house.ben.send(house.general, MARK)
    assert any(MARK in said for said in house.said())
    assert len(await answers_of(house.services.ledger, house.guild.id)) >= 4
    assert not house.on_disk(MARK)


async def test_bots_webhooks_and_direct_messages_are_never_recorded(house: House) -> None:
    robot = house.guild.add_member(house.env.create_user("robot", bot=True))
    await house.services.ledger.consent.opt_in(house.guild.id, robot.id)
    await robot.send(house.general, f"{MARK} from a bot")
    hook = house.guild.create_webhook(house.general, "news")
    await hook.send(f"{MARK} from a webhook")
    await house.ann.send_dm(f"{MARK} in private")
    await house.quiet()
    await house.ann.slash(house.general, "ask", question=f"{MARK} as a command")
    await house.quiet()
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_a_message_without_text_and_a_service_message_are_not_recorded(house: House) -> None:
    await house.ann.send(house.general, attachments=[("cat.png", b"png")])
    await house.ann.send(house.general, house.me)
    house.env.backend.edit_channel(house.general.id, {"name": "lobby"})  # Discord says so in the channel
    await house.quiet()
    assert await house.kept() == []


async def test_a_channels_new_name_is_noted(house: House) -> None:
    await house.ann.send(house.general, "hello")
    house.env.backend.edit_channel(house.general.id, {"name": "lobby"})
    await house.env.settle()
    channel = await house.services.ledger.channels.get(house.general.id)
    assert channel is not None
    assert channel.name == "lobby"


async def test_two_servers_know_nothing_of_each_other(house: House) -> None:
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    await house.env.settle()
    twin = other.add_member(house.ann.user)
    await twin.send(lobby, MARK)
    assert not house.on_disk(MARK)
    await twin.slash(lobby, "privacy opt-in")
    await twin.send(lobby, "hello")
    assert await house.kept() == []
    assert [m.content for m in await house.services.ledger.messages.of_guild(other.id)] == ["hello"]


async def test_what_was_said_is_in_no_cache_of_the_client(house: House) -> None:
    await house.ann.send(house.general, MARK)
    assert not house.bot.cached_messages
