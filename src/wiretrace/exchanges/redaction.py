"""The last gate for text: what every string passes before it reaches the case.

Rules: protocols have redacted by *names* (``protocols/sensitive.py``); here text is judged by its *looks* alone. Card
numbers, e-mail addresses, credentials and high-entropy strings are replaced. UUIDs, hexadecimal ids and plain numbers
survive, because people search by them. Characters that could act on a terminal or turn the reading direction become visible
and harmless. Most strings are ordinary and must cost next to nothing.
"""

import re
from functools import lru_cache

from wiretrace.protocols.sensitive import REDACTED

LONGEST_TEXT = 4000
"""Characters of one string that are kept; the rest is cut off and shown as '…'."""
CACHED_TEXT = 8192
"""Strings whose scrubbed form is remembered."""

LONG_RUN = re.compile(r"[0-9A-Za-z+_=.\-]{20}")
"""Where a key, a credential or a random string may be. One set alone, because alternatives are several times slower."""
MANY_DIGITS = re.compile(r"[0-9][0-9]{3}[ -]?[0-9]{4}")
"""Where a card number may be."""
CREDENTIALS = re.compile(
    r"\b(bearer|basic|digest|negotiate|ntlm)\s+(?=[^\s,;]*[0-9=+/]|[^\s,;]{16})[^\s,;]{6,}", re.IGNORECASE
)
JSON_WEB_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?")
SERVICE_KEY = re.compile(
    r"\b(?:(?:AKIA|ASIA|AGPA|AIDA|AROA|ABIA|ACCA)[A-Z0-9]{16}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{20,}"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}|glpat-[A-Za-z0-9_-]{20,})"
)
"""Keys of well-known services, by the prefixes that they document."""
MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._%+\-]{1,64}(?:@|%40)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}\b")
UUID_OR_CARD = re.compile(
    r"(?P<uuid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    r"|(?<![0-9A-Za-z])(?<![0-9][.-])(?:[0-9][ -]?){12,18}[0-9](?![0-9A-Za-z])"
)
CARD_PREFIX = re.compile(
    r"4(?:.{12}|.{15}|.{18})\Z|(?:5[1-5]|2(?:2[2-9]|[3-6]|7[01])|6011|65|64[4-9]|35).*\Z|3[47].{13}\Z|3(?:0[0-5]|[68]).{11,}\Z"
)
"""Numbers that payment networks issue (ISO/IEC 7812 prefixes with the lengths that belong to them)."""
LONG_WORD = re.compile(r"[0-9A-Za-z+_\-]{20,}={0,2}")
HEXADECIMAL = re.compile(r"[0-9a-fA-F\-]+\Z")
CHANGE_OF_CLASS = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[a-z0-9])|(?<=[0-9])(?=[A-Za-z])")
UNPRINTABLE = re.compile(r"[^ -~]")


def scrub(text: str) -> str:
    """`text` without secrets and without characters that act; at most LONGEST_TEXT characters and an ellipsis."""
    return known_text(text) if len(text) <= LONGEST_TEXT else known_text.__wrapped__(text[:LONGEST_TEXT]) + "…"


@lru_cache(maxsize=CACHED_TEXT)
def known_text(text: str) -> str:
    """As `scrub`, for text that is not too long, remembering the answer."""
    if not text.isprintable():
        text = UNPRINTABLE.sub(make_visible, text)
    lowered = text.lower()
    if (
        "@" not in text
        and "%40" not in text
        and LONG_RUN.search(text) is None
        and MANY_DIGITS.search(text) is None
        and "bearer " not in lowered
        and "basic " not in lowered
    ):
        return text
    text = CREDENTIALS.sub(rf"\1 {REDACTED}", text)
    text = JSON_WEB_TOKEN.sub(REDACTED, text)
    text = SERVICE_KEY.sub(REDACTED, text)
    text = MAIL_ADDRESS.sub(REDACTED, text)
    text = UUID_OR_CARD.sub(redact_card, text)
    return LONG_WORD.sub(redact_if_random, text)


def make_visible(character: re.Match[str]) -> str:
    """A printable stand-in for a character that is not printable ASCII; printable ones stay."""
    found = character[0]
    if found.isprintable():
        return found
    return f"\\x{ord(found):02x}" if ord(found) < 0x100 else "\N{REPLACEMENT CHARACTER}"


def redact_card(found: re.Match[str]) -> str:
    """A card number redacted, a UUID or another number as it was."""
    if found["uuid"]:
        return found[0]
    digits = found[0].replace(" ", "").replace("-", "")
    return REDACTED if CARD_PREFIX.match(digits) and has_luhn_checksum(digits) else found[0]


def has_luhn_checksum(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(doubled[value] for value in values[1::2])) % 10 == 0


def redact_if_random(found: re.Match[str]) -> str:
    """A word that looks drawn at random, redacted; names, hexadecimal numbers and UUIDs as they were.

    Random characters change between lower case, upper case and digits at more than every fourth step, words far less often.
    """
    word = found[0]
    digits = sum(character.isdigit() for character in word)
    if HEXADECIMAL.match(word):
        return word
    letters = "".join(character for character in word if character.isalpha())
    mixed_case = not letters.islower() and not letters.isupper()
    parts = re.split(r"[+_=\-]+", word)
    longest = max(len(part) for part in parts)
    changes = len(CHANGE_OF_CLASS.findall(word))
    if mixed_case:
        return REDACTED if changes >= (0.25 if digits > 1 else 0.42) * len(word) else word
    return REDACTED if longest >= 32 and digits >= 4 and changes >= 0.25 * len(word) else word
