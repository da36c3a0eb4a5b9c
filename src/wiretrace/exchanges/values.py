"""Values that link messages, as keyed hashes: the only form in which captured values leave the exchanges floor.

Rules: a value hashes the same wherever it stands: ``42`` in a path, in an SQL literal, in a JSON body; a UUID in either
case, with or without dashes; ``user:8812`` and ``/users/8812`` share ``8812``. Hashes are 64 bits of BLAKE2b under a key of
the case, so that they mean nothing to others. The work for a word is done once and remembered in a bounded dictionary.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from wiretrace.model.limits import Limits

REMEMBERED_WORDS = 65_536
"""Words whose hashes are remembered; beyond it all are forgotten and the dictionary fills anew."""
LONGEST_WORD = 128
"""Bytes; a longer run of letters and digits is encoded data, and no value."""
SHORTEST_NAME = 4
"""Letters of a word without digits that is worth a hash."""
DIGITS_OF_IDENTIFIER = 2
"""Digits that make a word look like an identifier: single digits are everywhere."""

WORD_BYTES = bytes(
    byte
    if byte in b"0123456789abcdefghijklmnopqrstuvwxyz-_" or byte >= 0x80
    else byte + 32
    if chr(byte).isupper()
    else 32
    for byte in range(256)
)
"""Translates what separates words into spaces, and capitals into small letters: several times faster than a pattern."""
PART = re.compile(rb"[0-9a-z\x80-\xff]+")
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
NUMBERED = re.compile(rb"([a-z]+)([0-9]{2,})\Z")
DIGIT = re.compile(rb"[0-9]")
IS_NAME = (1).__and__
"""Sorts identifiers before names."""


class ValueHasher:
    """Turns raw values into keyed hashes."""

    def __init__(self, key: bytes, limits: Limits) -> None:
        """`key` is up to 64 bytes, the same for all vantage points of one case."""
        self._key = key
        self._bytes = limits.value_bytes
        self._most = limits.value_tokens
        self._words: dict[bytes, tuple[int, ...]] = {}

    def tokens(self, values: bytes) -> list[int]:
        """Hashes of what may link `values` to other messages: unsigned 64-bit, distinct, in order of appearance.

        At most `Limits.value_tokens`; where there are more, identifiers are preferred to names. The lowest bit of a hash
        is 1 for a name (a word with fewer than two digits).
        """
        if not values:
            return []
        values = values[: self._bytes]
        if b"%" in values:
            values = unquote_to_bytes(values)
        remembered = self._words.get
        found: list[int] = []
        for word in values.translate(WORD_BYTES).split():
            hashes = remembered(word)
            if hashes:
                found += hashes
            elif hashes is None:
                found += self._learn(word)
        tokens = list(dict.fromkeys(found))
        if len(tokens) > self._most:
            tokens.sort(key=IS_NAME)
            del tokens[self._most :]
        return tokens

    def digest(self, operation: str, values: bytes) -> int:
        """Hash of what a request asks for, equal for a request and its forwarded copy; 0 where `values` name nothing.

        Only the first of the values counts (the path): a body may not be at hand at every vantage point.
        """
        if not values:
            return 0
        return self._hash(operation.encode() + b"\0" + values.partition(b" ")[0], b"request") or 1

    def identifier(self, kind: str, value: bytes) -> int:
        """Hash of an identifier that another tool left on the wire; equal only for the same kind."""
        return self._hash(value, kind.encode()[:16])

    def _hash(self, content: bytes, purpose: bytes = b"") -> int:
        return int.from_bytes(blake2b(content, digest_size=8, key=self._key, person=purpose).digest(), "little")

    def _learn(self, word: bytes) -> tuple[int, ...]:
        """The hashes of what is in `word`, remembered."""
        found: list[int] = []
        if UUID.match(word):
            found.append(self._hash(word.replace(b"-", b"")) & ~1)
        elif len(word) <= LONGEST_WORD:
            parts = PART.findall(word)
            if len(parts) > 1 and is_identifier(word):
                found.append(self._hash(word.strip(b"-_")) & ~1)
            for part in parts:
                if is_identifier(part):
                    found.append(self._hash(part) & ~1)
                    numbered = NUMBERED.match(part)
                    if numbered:
                        found.append(self._hash(numbered[2]) & ~1)
                elif len(part) >= SHORTEST_NAME:
                    found.append(self._hash(part) | 1)
        if len(self._words) >= REMEMBERED_WORDS:
            self._words.clear()
        self._words[word] = hashes = tuple(found)
        return hashes


def is_identifier(word: bytes) -> bool:
    """Whether `word` has enough digits to name one thing rather than a kind of things."""
    return len(DIGIT.findall(word)) >= DIGITS_OF_IDENTIFIER
