"""The consent notice: a message with buttons that an admin posts, and what the buttons do.

A button acts for the person who presses it, whoever posted the notice, and works for as long as the message
exists. Consent refers to these very words: whoever changes them has to change their version.
"""

from __future__ import annotations

import discord

from bot.interactions import SafeView
from bot.members.homes import Named
from ledger.people.consent_history import WORDING_VERSION
from ledger.store import Ledger

WORDS = (
    "If you say yes, I keep what you write in this server's channels that I may learn from, and learn "
    "each night to talk like this place. Of those who don't say yes I write down no word that I read here, "
    "and never direct messages of anybody. Older words may have come otherwise: by an export that the "
    "operator of this bot imported and stated a ground for. `/privacy status` shows what I keep of you and "
    "where it came from, `/privacy opt-out` stops it, `/privacy export` hands it to you, "
    "`/privacy forget-me` erases it, imported or not."
)
"""What members agree to, in the version :data:`ledger.people.consent_history.WORDING_VERSION`."""

YES = f"Thank you! From now on I listen. {WORDS}"
NO = (
    "Done: from now on I keep nothing that you write, and learn nothing more from what I have. "
    "`/privacy forget-me` erases that, too."
)


async def opt_in(ledger: Ledger, guild: Named, user_id: int, channel: int | None = None) -> None:
    """Note that the person agrees: for one more channel, or for all of them."""
    await ledger.guilds.ensure(guild.id, guild.name)
    scope: tuple[int, ...] = ()  # no channel in particular means all of them
    if channel is not None:
        # A yes for all channels has an empty scope, too, so that naming one narrows it.
        before = await ledger.consent.current(guild.id, user_id)
        agreed = before.channels if before is not None and before.granted else ()
        scope = tuple(dict.fromkeys((*agreed, channel)))
    await ledger.consent.opt_in(guild.id, user_id, channels=scope)


async def opt_out(ledger: Ledger, guild: Named, user_id: int) -> None:
    """Note that the person does not agree, or no longer does."""
    await ledger.guilds.ensure(guild.id, guild.name)
    await ledger.consent.opt_out(guild.id, user_id)


def notice_embed(bot_name: str) -> discord.Embed:
    """Return the notice itself."""
    embed = discord.Embed(
        title=f"May {bot_name} learn from you?", description=WORDS, colour=discord.Colour.blurple()
    )
    embed.set_footer(text=f"Wording {WORDING_VERSION}. What you write here is not kept until you press Yes.")
    return embed


class ConsentNotice(SafeView):
    """The notice's buttons; one instance serves all notices of all guilds."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(timeout=None)
        self._ledger = ledger

    @discord.ui.button(label="Yes, learn from me", style=discord.ButtonStyle.success, custom_id="consent:yes")
    async def yes(self, interaction: discord.Interaction, button: discord.ui.Button[ConsentNotice]) -> None:
        if interaction.guild is not None:
            await opt_in(self._ledger, interaction.guild, interaction.user.id)
            await interaction.response.send_message(YES, ephemeral=True)

    @discord.ui.button(label="No", style=discord.ButtonStyle.secondary, custom_id="consent:no")
    async def no(self, interaction: discord.Interaction, button: discord.ui.Button[ConsentNotice]) -> None:
        if interaction.guild is not None:
            await opt_out(self._ledger, interaction.guild, interaction.user.id)
            await interaction.response.send_message(NO, ephemeral=True)
