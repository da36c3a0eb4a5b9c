"""Texts that are scrubbed together become what each becomes alone."""

from hypothesis import given
from hypothesis import strategies as st

from wiretrace.exchanges.redaction import LONGEST_TEXT, scrub
from wiretrace.exchanges.scrubbing import scrubbed_changes, suspects

SECRETS = [
    "GET /a?mail=a@example.com", "mail%40example.com", "Bearer abc1234", "say BASIC YWxhZGRpbjpvcGVu", "4111 1111 1111 1111",
    "card 4111-1111-1111-1111", "4111111111111111", "AKIAABCDEFGHIJKLMNOP", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "k=Zx9Qw3Rt7Yu1Op5As8Df2Gh", "550e8400-e29b-41d4-a716-446655440000", "\x1b[31m", "\u202eabc", "é", "basic", "12345",
]  # fmt: skip
TEXTS = st.sampled_from(SECRETS) | st.text("aB1 -@%40=", max_size=60) | st.text(max_size=20)


def plain_changes(texts: list[str]) -> dict[str, str]:
    """The plain way: each text by itself."""
    return {text: scrub(text) for text in texts if scrub(text) != text}


@given(st.lists(TEXTS, max_size=12))
def test_as_if_each_was_scrubbed_alone(texts: list[str]) -> None:
    """Whatever stands beside a text, exactly what `scrub` changes is changed, and to the same."""
    assert scrubbed_changes(texts) == plain_changes(texts)


def test_long_texts_are_cut() -> None:
    """A text that is too long is cut as `scrub` cuts it, and those beside it are left alone."""
    texts = ["short", "a b " * LONGEST_TEXT, "behind"]
    assert scrubbed_changes(texts) == plain_changes(texts) == {texts[1]: scrub(texts[1])}


def test_ordinary_texts_are_not_suspected() -> None:
    """What most texts look like costs no look of its own; what is found is told by its place."""
    ordinary = ["GET /orders/8812?page=2", "SELECT * FROM orders WHERE id = ?", "HGETALL", "", "200"]
    assert suspects(ordinary) == []
    assert suspects([*ordinary, "a@example.com", *ordinary]) == [len(ordinary)]
    assert suspects([]) == []
