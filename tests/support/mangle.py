"""Streams with gaps and with wrong bytes, for tests that nothing which a capture holds can raise or hang."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


def with_gaps(stream: bytes, chooser: random.Random, most: int = 3) -> list[bytes | int]:
    """The stream with up to `most` runs of bytes not captured; offsets stay."""
    cuts = sorted(chooser.randrange(len(stream) + 1) for _ in range(2 * chooser.randint(1, most)))
    parts: list[bytes | int] = []
    at = 0
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        parts += [stream[at:start], end - start]
        at = end
    return [*parts, stream[at:]]


def mutated(stream: bytes, chooser: random.Random) -> bytes:
    """The stream with some bytes changed, removed, repeated or inserted."""
    content = bytearray(stream)
    for _ in range(chooser.randint(1, 8)):
        if not content:
            break
        at = chooser.randrange(len(content))
        match chooser.randrange(4):
            case 0:
                content[at] = chooser.randrange(256)
            case 1:
                del content[at : at + chooser.randint(1, 40)]
            case 2:
                content[at:at] = content[at : at + chooser.randint(1, 40)]
            case _:
                content[at:at] = chooser.randbytes(chooser.randint(1, 8))
    return bytes(content)
