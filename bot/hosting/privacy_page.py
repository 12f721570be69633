"""``python -m bot policy``: the privacy page to publish, and answers for Discord's intent review.

Both are filled in from the settings, so that they describe this very bot.
"""

from __future__ import annotations

from pathlib import Path

from ledger.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "PRIVACY.md"
MISSING = "(not stated yet: fill in [operator] in config.toml)"


def privacy_page(settings: Settings) -> str:
    """Return PRIVACY.md with the operator's answers and the settings in force."""
    text = PAGE.read_text(encoding="utf-8")
    values = {
        "operator_name": settings.operator.name or MISSING,
        "operator_contact": settings.operator.contact or MISSING,
        "operator_location": settings.operator.location or MISSING,
        "discord_permission": settings.policy.discord_permission
        or "none is recorded, so nothing that came through Discord's API is trained on",
        "retention_days": str(settings.retention.days),
        "adapters_kept": str(settings.retention.adapters_kept),
        "adapter_days": str(settings.retention.adapter_days),
        "anchor_weeks": str(settings.retention.anchor_weeks),
        "leavers": (
            f"forgotten after {settings.retention.forget_leavers_after_days} days"
            if settings.retention.forget_leavers_after_days
            else "what they shared is kept for as long as anybody's, unless they have it erased"
        ),
        "forgetting_days": "0" if settings.forgetting.strict else str(settings.forgetting.days),
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def intent_review(settings: Settings) -> str:
    """Return answers to the questions that Discord asks about the Message Content Intent."""
    training = (
        f"Yes, with Discord's permission: {settings.policy.discord_permission}."
        if settings.policy.discord_permission
        else "No. Message content that came through the API is excluded from training by a lock in the "
        "software ([policy] discord_permission is empty). Training uses members' own data packages and "
        "exports that the operator declared lawful to use."
    )
    leavers = (
        f"people who leave are forgotten after {settings.retention.forget_leavers_after_days} days; "
        if settings.retention.forget_leavers_after_days
        else ""
    )
    answers = {
        "Which privileged intents do you need?": "Message Content. Not Server Members, not Presence.",
        "Why do you need message content?": (
            f"{settings.bot.name} takes part in conversations: it answers when it is mentioned, replied to, "
            "or written to in a channel that an admin set for it, and needs the conversation before that to "
            "make sense. Members who opted in have their messages stored."
        ),
        "Do you store message content, and for how long?": (
            f"Of members who opted in with /privacy opt-in, for {settings.retention.days} days. Of nobody "
            "else, and never direct messages. Exports that the operator imports on a stated ground are kept "
            "as long, with that ground, and members erase them by the same command."
        ),
        "Can users opt out and have their data deleted?": (
            "It is opt-in. /privacy opt-out stops it, /privacy forget-me erases everything at once; "
            f"{leavers}deletions and edits in Discord are followed. Model adapters that learned from erased "
            f"messages are deleted {_when_deleted(settings)}."
        ),
        "Is message content used to train machine learning models?": training,
        "Is it shared with anybody?": (
            "No."
            if not settings.engine.url
            else f"Prompts are answered by the operator's model server at {settings.engine.url}."
        ),
        "Where is your privacy policy?": (
            "Printed by this command above; publish it and give its address. Contact: "
            f"{settings.operator.contact or MISSING}."
        ),
    }
    return "\n\n".join(f"### {question}\n\n{answer}" for question, answer in answers.items()) + "\n"


def _when_deleted(settings: Settings) -> str:
    if settings.forgetting.strict:
        return "at once"
    return f"when the next one is promoted, after {settings.forgetting.days} days at the latest"


def policy(settings: Settings) -> str:
    """Return both texts, one after the other."""
    review = "# Discord's privileged intent review\n\n" + intent_review(settings)
    return f"{privacy_page(settings)}\n{review}"
