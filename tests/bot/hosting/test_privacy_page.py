"""The policy texts: filled in from the settings, and true to them."""

from __future__ import annotations

from bot.hosting.privacy_page import MISSING, PAGE, intent_review, policy, privacy_page
from bot.members.notice import WORDS
from ledger.settings import ForgettingSection, OperatorSection, PolicySection, RetentionSection, Settings


def test_the_page_has_no_gap_left_and_says_what_the_settings_say() -> None:
    settings = Settings(
        operator=OperatorSection(name="The Lamp Keepers", contact="lamps@example.org", location="a shed"),
        retention=RetentionSection(days=99),
        policy=PolicySection(discord_permission="Dana, 2026-02-03, ref 17"),
    )
    page = privacy_page(settings)
    assert "{" not in page
    for said in ("The Lamp Keepers", "lamps@example.org", "a shed", "99 days", "Dana, 2026-02-03, ref 17"):
        assert said in page


def test_what_the_operator_has_not_stated_is_shown_as_missing() -> None:
    assert privacy_page(Settings()).count(MISSING) == 3


def test_the_review_says_that_nothing_is_trained_on_without_permission_and_that_it_is_with_it() -> None:
    assert "No. Message content" in intent_review(Settings())
    allowed = Settings(policy=PolicySection(discord_permission="Dana, 2026-02-03"))
    assert "Yes, with Discord's permission: Dana, 2026-02-03." in intent_review(allowed)


def test_the_command_prints_both() -> None:
    text = policy(Settings())
    assert "# Privacy" in text
    assert "privileged intent review" in text


def test_strict_forgetting_and_leavers_are_said_by_both_texts_as_they_are_set() -> None:
    usual = Settings()
    strict = Settings(
        forgetting=ForgettingSection(strict=True), retention=RetentionSection(forget_leavers_after_days=14)
    )
    assert "after 30 days at the latest" in intent_review(usual)
    assert "deleted at once" in intent_review(strict)
    assert "after 30 days" not in intent_review(strict)
    assert "kept for as long as anybody's" in privacy_page(usual)
    for text in (privacy_page(strict), intent_review(strict)):
        assert "forgotten after 14 days" in text


def test_no_text_says_that_nothing_is_kept_without_a_yes_where_an_import_keeps_it() -> None:
    readme = (PAGE.parent / "README.md").read_text(encoding="utf-8")
    for text in (readme, privacy_page(Settings()), intent_review(Settings()), WORDS):
        flat = " ".join(text.split())
        assert "import" in flat
        assert "/privacy forget-me" in flat
        for claim in ("No word and no name", "I keep nothing", "Nothing that you write is kept"):
            assert claim not in flat
