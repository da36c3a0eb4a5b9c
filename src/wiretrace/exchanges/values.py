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

WORD = re.compile(rb"[0-9a-z\x80-\xff]+(?:[-_][0-9a-z\x80-\xff]+)*")
PART = re.compile(rb"[0-9a-z\x80-\xff]+")
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
NUMBERED = re.compile(rb"([a-z]+)([0-9]{2,})\Z")
DIGIT = re.compile(rb"[0-9]")


class ValueHasher:
    """Turns raw values into keyed hashes."""

    def __init__(self, key: bytes, limits: Limits) -> None:
        """`key` is up to 64 bytes, the same for all vantage points of one case."""
        self._key = key
        self._bytes = limits.value_bytes
        self._most = limits.value_tokens
        self._words: dict[bytes, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def tokens(self, values: bytes) -> list[int]:
        """Hashes of what may link `values` to other messages: unsigned 64-bit, distinct, identifiers before names.

        At most `Limits.value_tokens`, each group in order of appearance.
        """
        if not values:
            return []
        values = values[: self._bytes]
        if b"%" in values:
            values = unquote_to_bytes(values)
        remembered = self._words
        identifiers: list[int] = []
        names: list[int] = []
        for word in WORD.findall(values.lower()):
            hashes = remembered.get(word)
            if hashes is None:
                hashes = self._learn(word)
            identifiers += hashes[0]
            names += hashes[1]
        return list(dict.fromkeys(identifiers + names))[: self._most]

    def digest(self, content: bytes) -> int:
        """Hash of what a request asks for (method, path, body), never 0: equal where one is a forwarded copy of the other."""
        return self._hash(content, b"request") or 1

    def identifier(self, kind: str, value: bytes) -> int:
        """Hash of an identifier that another tool left on the wire; equal only for the same kind."""
        return self._hash(value, kind.encode()[:16])

    def _hash(self, content: bytes, purpose: bytes = b"") -> int:
        return int.from_bytes(blake2b(content, digest_size=8, key=self._key, person=purpose).digest(), "little")

    def _learn(self, word: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The hashes of the identifiers and of the names in `word`, remembered."""
        identifiers: list[bytes] = []
        names: list[bytes] = []
        if UUID.match(word):
            identifiers.append(word.replace(b"-", b""))
        elif len(word) <= LONGEST_WORD:
            parts = PART.findall(word)
            if len(parts) > 1 and is_identifier(word):
                identifiers.append(word)
            for part in parts:
                if is_identifier(part):
                    identifiers.append(part)
                    numbered = NUMBERED.match(part)
                    if numbered:
                        identifiers.append(numbered[2])
                elif len(part) >= SHORTEST_NAME:
                    names.append(part)
        hashes = (tuple(map(self._hash, identifiers)), tuple(map(self._hash, names)))
        if len(self._words) >= REMEMBERED_WORDS:
            self._words.clear()
        self._words[word] = hashes
        return hashes


def is_identifier(word: bytes) -> bool:
    """Whether `word` has enough digits to name one thing rather than a kind of things."""
    return len(DIGIT.findall(word)) >= DIGITS_OF_IDENTIFIER
