"""Numbers read well, and nothing captured can move a cursor."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wiretrace.cli.terminal.text import ASCII, counted, duration, instant, percent, plain_characters, printable, size


@given(st.text())
@example("\x1b[31m\x9b\u202e\u2028\r\n\x00\U000e0041\ud800")
def test_printable_text_is_visible_and_on_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown


def test_printable_leaves_words_of_all_languages_alone() -> None:
    assert printable("GET /größe?q=価格 ✓") == "GET /größe?q=価格 ✓"
    assert printable("a\x1bb\u202ec\n") == "a\\x1bb\\u202ec\\n"


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (999.9, "1.00 µs"),
        (13_400, "13.4 µs"),
        (999_950, "1.00 ms"),
        (250_000_000, "250 ms"),
        (1_204_000_000, "1.20 s"),
        (9_999_000_000, "10.0 s"),
        (3_600_000_000_000, "3,600 s"),
        (-5_000_000, "-5.00 ms"),
    ],
)
def test_durations_have_three_digits(nanoseconds: float, shown: str) -> None:
    assert duration(nanoseconds) == shown


@given(st.floats(0, 1e18))
def test_durations_fit_their_column(nanoseconds: float) -> None:
    """Up to a day; what is longer is cut by the column, not by us."""
    assert len(duration(min(nanoseconds, 8.64e13))) <= 8


def test_counts_agree_with_their_nouns() -> None:
    assert counted(1, "call") == "1 call"
    assert counted(1204, "call") == "1,204 calls"
    assert counted(2, "kind of note", "kinds of note") == "2 kinds of note"
    assert (size(1), size(999), size(4096)) == ("1 byte", "999 bytes", "4.10 kB")


@pytest.mark.parametrize(("share", "shown"), [(0, "0%"), (0.0001, "<1%"), (0.5, "50%"), (0.9999, ">99%"), (1, "100%")])
def test_only_all_is_100_percent(share: float, shown: str) -> None:
    assert percent(share) == shown


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_moment_can_be_written(nanoseconds: int) -> None:
    assert instant(nanoseconds).isprintable()


def test_a_moment_is_in_utc_to_the_millisecond() -> None:
    assert instant(1_795_211_204_066_087_693) == "2026-11-20 21:46:44.066"


def test_an_encoding_that_lacks_our_characters_gets_others_of_the_same_width() -> None:
    text = "".join(map(chr, ASCII)) + "é"
    with pytest.raises(UnicodeEncodeError) as caught:
        text.encode("ascii")
    shown, position = plain_characters(caught.value)
    assert shown.isascii()
    assert position == len(text)
    assert len(shown) == len(ASCII) + len("\\xe9")
