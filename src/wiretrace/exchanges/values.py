"""Values that link messages, as keyed hashes: the only form in which captured values leave the exchanges floor.

Rules: a value hashes the same wherever it stands: ``42`` in a path, in an SQL literal, in a JSON body; a UUID in either
case, with or without dashes; ``user:8812`` and ``/users/8812`` share ``8812``. Hashes are 64 bits of BLAKE2b under a key of
the case, so that they mean nothing to others. The work for a word is done once and remembered in a bounded dictionary.
"""

from __future__ import annotations

import re
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import numpy as np

from wiretrace.exchanges.learned import Learned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.model.message import QueuedMessage

REMEMBERED_WORDS = 65_536
"""Words whose hashes are remembered; where more may come, all are forgotten and the dictionary fills anew."""
BYTES_AT_ONCE = 1 << 17
"""Bytes of values that are treated at once: they stay in the processor's cache, and hold no more words than are kept."""
SPACE = 32
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


class KeyedHash:
    """BLAKE2b under the key of a case."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._begun: dict[bytes, blake2b] = {}
        """By purpose: a hash that has taken in the key, which is half of the work for a short value."""

    def __call__(self, content: bytes, purpose: bytes = b"") -> int:
        """64 bits of the hash of `content`; other purposes, of at most 16 bytes, give other ones."""
        begun = self._begun.get(purpose)
        if begun is None:
            begun = self._begun[purpose] = blake2b(digest_size=8, key=self._key, person=purpose)
        hashed = begun.copy()
        hashed.update(content)
        return int.from_bytes(hashed.digest(), "little")


class Words(Learned[bytes, int]):
    """Number of each word that is remembered, by which the columns are indexed."""

    def __init__(self, keyed: KeyedHash) -> None:
        super().__init__()
        self._keyed = keyed
        self.first = array("q")
        """By word: index of the first of its tokens in `tokens`."""
        self.count = array("q")
        """By word: how many tokens it has."""
        self.tokens = array("q")
        """The tokens of all words, by their numbers."""
        self._numbers: dict[int, int] = {}
        """Number of each hash: tokens are compared and sorted by their numbers."""
        self.hashes = array("Q")
        """By number: the hash."""

    def forget(self) -> None:
        """Begin anew."""
        self.clear()
        self._numbers.clear()
        for column in (self.first, self.count, self.tokens, self.hashes):
            del column[:]

    def work_out(self, word: bytes) -> int:
        """The next number, for a word whose tokens are worked out."""
        keyed = self._keyed
        found: list[int] = []
        if UUID.match(word):
            found.append(keyed(word.replace(b"-", b"")) & ~1)
        elif len(word) <= LONGEST_WORD:
            parts = PART.findall(word)
            if len(parts) > 1 and is_identifier(word):
                found.append(keyed(word.strip(b"-_")) & ~1)
            for part in parts:
                if is_identifier(part):
                    found.append(keyed(part) & ~1)
                    numbered = NUMBERED.match(part)
                    if numbered:
                        found.append(keyed(numbered[2]) & ~1)
                elif len(part) >= SHORTEST_NAME:
                    found.append(keyed(part) | 1)
        self.first.append(len(self.tokens))
        self.count.append(len(found))
        for each in found:
            number = self._numbers.setdefault(each, len(self.hashes))
            if number == len(self.hashes):
                self.hashes.append(each)
            self.tokens.append(number)
        return len(self.first) - 1


class ValueHasher:
    """Turns raw values into keyed hashes."""

    def __init__(self, key: bytes, limits: Limits) -> None:
        """`key` is up to 64 bytes, the same for all vantage points of one case."""
        self._hash = KeyedHash(key)
        self._bytes = limits.value_bytes
        self._most = limits.value_tokens
        self._words = Words(self._hash)

    def tokens(self, values: bytes) -> list[int]:
        """Hashes of what may link `values` to other messages; see `token_lists`."""
        found: list[int] = self.token_lists([values])[1].tolist()
        return found

    def token_lists(self, values: Sequence[bytes]) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
        """Hashes of what may link each of `values` (n of them) to other messages.

        Returns offsets, int32 (n + 1,), and hashes, uint64 (m,). Those of the k-th value stand from the k-th offset up to
        the next one, distinct, in order of appearance, at most `Limits.value_tokens`; where there are more, identifiers come
        first and are preferred to names. The lowest bit of a hash is 1 for a name (a word with fewer than two digits).
        """
        counts, hashes = [np.zeros(1, np.int64)], [np.zeros(0, np.uint64)]
        lengths = np.minimum(np.fromiter(map(len, values), np.int64, len(values)), self._bytes)
        ends = np.cumsum(lengths + 1)
        first = 0
        while first < len(values):
            before = ends[first - 1] if first else 0
            last = max(int(np.searchsorted(ends, before + BYTES_AT_ONCE, "right")), first + 1)
            found = self._hash_values(values[first:last])
            counts.append(found[0])
            hashes.append(found[1])
            first = last
        return np.cumsum(np.concatenate(counts), dtype=np.int32), np.concatenate(hashes)

    def _hash_values(self, values: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Numbers of tokens (n,) of each of n values that are not too many to be treated at once, and their hashes (m,)."""
        most = self._bytes
        cut = [each[:most] for each in values]
        text = b" ".join(cut)
        if b"%" in text:
            cut = [unquote_to_bytes(each) if b"%" in each else each for each in cut]
            text = b" ".join(cut)
        text = text.translate(WORD_BYTES)
        split = text.split()
        known = self._words
        if len(known) + len(split) > REMEMBERED_WORDS:
            known.forget()
        words = np.fromiter(known.of(split), np.int64, len(split))
        solid = np.frombuffer(b" " + text, np.uint8) != SPACE
        begins = np.flatnonzero(solid[1:] & ~solid[:-1])
        lengths = np.fromiter(map(len, cut), np.int64, len(cut))
        words_before = np.searchsorted(begins, np.cumsum(lengths + 1))
        owner = np.repeat(np.arange(len(cut)), np.diff(words_before, prepend=0))
        # The tokens of each word in turn: their numbers, and the value that each stands in.
        first, count = (np.frombuffer(column, np.int64)[words] for column in (known.first, known.count))
        owner = np.repeat(owner, count)
        picks = np.arange(len(owner)) + np.repeat(first + count - np.cumsum(count), count)
        token = np.frombuffer(known.tokens, np.int64)[picks]
        keep = _first_of_each(owner, token)
        owner, token = owner[keep], token[keep]
        hashes = np.frombuffer(known.hashes, np.uint64)[token]
        counts = np.bincount(owner, minlength=len(cut))
        over = counts > self._most
        if over.any():
            names_behind = (hashes & np.uint64(1)).astype(np.int64) & over[owner]
            order = _stable_order(owner << 1 | names_behind)
            place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
            hashes = hashes[order[place < self._most]]
            counts = np.minimum(counts, self._most)
        return counts, hashes

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

    def queued(self, message: QueuedMessage) -> tuple[int, int]:
        """Hashes of a queued message's destination and content; 0 for a content that is not known.

        The lowest bit of the second is 1 where it is an identifier of its own.
        """
        destination, content, named = message
        hashed = 0
        if content:
            hashed = (self._hash(destination + b"\0" + content, b"queued") | 1) ^ (not named)
        return self._hash(destination, b"destination") or 1, hashed


def _first_of_each(owner: NDArray[np.int64], token: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the tokens (n,), in the order of their owners, occur for the first time in theirs."""
    keep = np.ones(len(token), np.bool_)
    if len(token):
        both = owner << int(token.max()).bit_length() | token
        order = _stable_order(both)
        both = both[order]
        keep[order[1:][both[1:] == both[:-1]]] = False
    return keep


def _stable_order(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices that sort small numbers (n,), equal ones in place. NumPy sorts numbers several times faster than indices."""
    bits = len(key).bit_length()
    order: NDArray[np.int64] = np.sort(key << bits | np.arange(len(key))) & ((1 << bits) - 1)
    return order


def is_identifier(word: bytes) -> bool:
    """Whether `word` has enough digits to name one thing rather than a kind of things."""
    return len(DIGIT.findall(word)) >= DIGITS_OF_IDENTIFIER
