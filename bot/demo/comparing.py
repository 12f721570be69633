"""What a night changed, in answers: the same questions put to what served before and to what serves now.

    comparing = Comparing(services, world, ["what's for dinner tonight?"])
    await comparing.begin()
    services.nights.on_finished(comparing.compare)

Asks through the bot's own queue, in nobody's name and in no channel: what comes back is shown on the page
and stored nowhere. The visitor's own latest questions are asked again, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from bot.demo.world import World
from bot.nights.trainer_process import WatchedNight
from bot.services import Services
from bot.talking.answering import Question
from bot.talking.thinking import Prompt
from ledger.clock import to_ms
from ledger.records import Message
from ledger.talk.prompts import to_prompt

log = logging.getLogger(__name__)

OWN = 2
"""How many of the visitor's own questions are asked again."""
LONGEST = 200
ANSWER_SECONDS = 120.0


class _Slip:
    """A piece of paper to answer on."""

    def __init__(self, number: int) -> None:
        self.channel = -number
        self.text = ""

    async def show(self, text: str) -> None:
        self.text = text

    async def signal(self) -> None:
        """Do nothing: nobody waits."""

    async def withdraw(self) -> None:
        self.text = ""


class Comparing:
    """Keeps the answers of what serves, and shows them beside those of what takes its place."""

    def __init__(self, services: Services, world: World, questions: Sequence[str]) -> None:
        self._services = services
        self._world = world
        self._questions = list(questions)
        self._version: str | None = None
        self._answers: Mapping[str, str] = {}
        self._after = 0
        self._one_at_a_time = asyncio.Lock()

    async def begin(self) -> None:
        """Ask what serves now."""
        async with self._one_at_a_time:
            self._after = max((message.id for message in self._said()), default=0)
            self._version = self._services.serving.version(self._world.guild_id)
            self._answers = await self._ask(self._questions)

    async def compare(self, night: WatchedNight) -> None:
        """Ask again if a night changed what serves, and show both answers."""
        async with self._one_at_a_time:
            version = self._services.serving.version(self._world.guild_id)
            if version == self._version or not self._answers:
                return
            self._world.tell_night("Asking the same questions again…")
            before = {**self._answers, **self._own()}
            after = await self._ask(list(before))
            rows = [
                {"question": question, "before": text, "after": after[question]}
                for question, text in before.items()
            ]
            names = {"before": _name(self._version), "after": _name(version)}
            self._world.show_comparison({"at": self._world.clock.now().isoformat(), **names, "rows": rows})
            self._version, self._answers = version, {each: after[each] for each in self._questions}
            self._after = max((message.id for message in self._said()), default=0)

    def _said(self) -> list[Any]:
        return [
            message for channel in self._world.stage.channels for message in self._world.messages(channel)
        ]

    def _own(self) -> dict[str, str]:
        """Return what the visitor asked since the last change, the newest last, with the answers given."""
        said = {message.id: message for message in self._said()}
        found: dict[str, str] = {}
        for answer in sorted(said.values(), key=lambda message: message.id):
            if answer.author_id != self._world.bot_id or answer.id <= self._after or not answer.reference:
                continue
            asked = said.get(int(answer.reference["message_id"]))
            text = asked.content.replace(f"<@{self._world.bot_id}>", "").strip() if asked else ""
            if 0 < len(text) <= LONGEST and text not in self._questions:
                found[text] = answer.content
        return dict(list(found.items())[-OWN:])

    async def _ask(self, questions: Sequence[str]) -> dict[str, str]:
        """Return each question's answer; what had none in time is empty."""
        slips = {text: _Slip(number) for number, text in enumerate(questions, start=1)}
        for text, slip in slips.items():
            refusal = self._services.answering.ask(self._question(text, slip))
            if refusal is not None:
                log.warning("a question to compare was not taken")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._services.answering.drained()
        except TimeoutError:
            log.warning("not all questions to compare were answered within %.0f s", ANSWER_SECONDS)
        return {text: slip.text for text, slip in slips.items()}

    def _question(self, text: str, slip: _Slip) -> Question:
        guild, bot_name = self._world.stage.guild, self._services.settings.bot.name
        asked = Message(0, guild.id, slip.channel, slip.channel, "", text, to_ms(self._services.clock.now()))

        async def prompt() -> Prompt:
            turns = to_prompt([asked], bot_name=bot_name, guild_name=guild.name)
            return Prompt(turns, {bot_name})

        async def answered(text: str, version: str | None) -> None:
            """Keep nothing."""

        return Question(guild.id, slip.channel, prompt, slip, answered)


def _name(version: str | None) -> str:
    """Return a version as a visitor can read it."""
    return f"version {int(version.rsplit('v', 1)[1])}" if version else "the bare model"


__all__ = ["Comparing"]
