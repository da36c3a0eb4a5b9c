"""Captured text made harmless, and words for people. Imports nothing heavy: every command uses it."""

from wiretrace.model.words import counted as counted
from wiretrace.model.words import duration as duration
from wiretrace.model.words import percent as percent
from wiretrace.model.words import size as size

ASCII = str.maketrans("├─└│╌█·…×µ✗≈→", "|-`|.#..xux~>")
"""What our own characters look like where the encoding has ASCII only. One for one: columns stay straight."""


def plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: characters that the encoding of a stream lacks, in ASCII. For `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(ASCII)
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end


def printable(text: str) -> str:
    r"""`text` on one line with everything that is not a visible character escaped (``\x1b``, ``\u202e``).

    That covers control characters, terminal escapes, line and bidirectional controls, invisible and unassigned
    characters. The backslash itself is left alone: the result is for reading, not for decoding.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def instant(nanoseconds: int) -> str:
    """A moment in UTC, to the millisecond: "2026-11-20 22:26:44.066"."""
    import datetime

    try:
        moment = datetime.datetime.fromtimestamp(nanoseconds // 1_000_000_000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{nanoseconds} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}"
