"""Scrubs many texts at once: what `redaction.scrub` makes of each, for a fraction of its cost where they are ordinary.

Rules: the texts are joined and searched as one, a nanosecond or so a byte, for whatever `scrub` may change; only a text in
which that stands is given to it. A text may be suspected for nothing, never the other way round.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.redaction import LONGEST_TEXT, scrub

if TYPE_CHECKING:
    from collections.abc import Collection

SPACE = 32
LONG_RUN = 20
"""Characters of a run in which a key, a credential or a random string may be."""
RUNS = bytes(
    ord("x") if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "+_=.-") else SPACE for byte in range(256)
)
"""Translates all that `redaction.LONG_RUN` looks for into one letter, and the rest into spaces."""
DIGITS = bytes(ord("0") if byte in b"0123456789" else SPACE if byte in b" -" else ord("x") for byte in range(256))
"""Translates digits into zeros, and what may stand between groups of them into spaces."""
CARD_NUMBERS = (b"00000000", b"0000 0000")
"""What `redaction.MANY_DIGITS` looks for, so translated."""
WORDS = (b"@", b"%40", b"bearer ", b"basic ")
"""What else makes `scrub` look closer, in small letters."""


def scrubbed_changes(texts: Collection[str]) -> dict[str, str]:
    """Those of `texts` that `scrub` changes, and what it makes of them."""
    ordered = list(texts)
    changes = {}
    for at in suspects(ordered):
        text = ordered[at]
        scrubbed = scrub(text)
        if scrubbed != text:
            changes[text] = scrubbed
    return changes


def suspects(texts: list[str]) -> list[int]:
    """The places, rising, of all texts that `scrub` may change, and perhaps of some that it does not."""
    joined = " ".join(texts)
    odd = [at for at, text in enumerate(texts) if len(text) > LONGEST_TEXT] if len(joined) > LONGEST_TEXT else []
    if not (joined.isascii() and joined.isprintable()):
        odd += [at for at, text in enumerate(texts) if not (text.isascii() and text.isprintable())]
    if odd:
        texts = texts.copy()
        for at in odd:
            texts[at] = ""
        joined = " ".join(texts)
    data = joined.encode("ascii")
    begins = list(accumulate((len(text) + 1 for text in texts), initial=0))
    found = set(odd)
    breaks = np.flatnonzero(np.frombuffer(data.translate(RUNS), np.uint8) == SPACE)
    behind = np.append(breaks, len(data))
    before = np.append(-1, breaks)
    found.update(bisect_right(begins, at) - 1 for at in (before[behind - before > LONG_RUN] + 1).tolist())
    digits, small = data.translate(DIGITS), data.lower()
    for searched, words in ((digits, CARD_NUMBERS), (small, WORDS)):
        for word in words:
            at = searched.find(word)
            while at >= 0:
                text = bisect_right(begins, at) - 1
                found.add(text)
                at = searched.find(word, begins[text + 1])
    return sorted(found)
