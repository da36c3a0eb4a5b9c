"""Which protocol a connection speaks, and which end is the client: by its bytes; ports only break ties."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from wiretrace.protocols.registry import known_protocols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wiretrace.protocols.contract import Protocol

LIKELY = 0.5
"""A probe with less is not believed."""
SURE = 0.9
"""A probe with this much needs no more bytes."""
_PORT_HINT = 0.04
_CLIENT_HINT = 0.03


class Guess(NamedTuple):
    """What a connection seems to speak."""

    protocol: type[Protocol] | None
    client: int
    """Direction of the client."""
    score: float


def identify(
    openings: tuple[Sequence[bytes], Sequence[bytes]],
    ports: tuple[int, int],
    client: int,
    excluded: frozenset[str] = frozenset(),
) -> Guess:
    """The likeliest protocol.

    `openings` holds, for each direction, the places where a message may begin: the start of the stream first; where the
    connection was joined midway also the starts of the segments that follow. `ports` are those of ends a and b. `client`
    is the direction of the client, or -1 where no handshake showed it: then both are tried, as for protocols that say so.
    """
    best = Guess(None, max(client, 0), 0.0)
    pairs: list[tuple[bytes, bytes]] = [(_first(openings[0]), _first(openings[1]))]
    pairs += [(opening, b"") for opening in openings[0][1:]]
    pairs += [(b"", opening) for opening in openings[1][1:]]
    for side in (0, 1):
        for name, protocol in known_protocols().items():
            if name in excluded or (side == 1 - client and not protocol.reversible):
                continue
            hint = _PORT_HINT if ports[1 - side] in protocol.ports else 0.0
            if client < 0 and ports[1 - side] < ports[side]:
                hint += _CLIENT_HINT
            for pair in pairs:
                score = protocol.probe(pair[side], pair[1 - side])
                if protocol.precedes and score >= SURE:
                    return Guess(protocol, side, score)
                if score > 0 and score + hint > best.score:
                    best = Guess(protocol, side, score + hint)
    return best if best.score >= LIKELY else Guess(None, best.client, best.score)


def stands_before(client: bytes, server: bytes) -> bool:
    """Whether a protocol that precedes others is sure of these openings."""
    return any(protocol.probe(client, server) >= SURE for protocol in _preceding())


@functools.cache
def _preceding() -> tuple[type[Protocol], ...]:
    return tuple(protocol for protocol in known_protocols().values() if protocol.precedes)


def looks_encrypted(opening: bytes) -> bool:
    """Whether a direction opens with a TLS handshake record (RFC 8446 section 5.1), or an SSH banner (RFC 4253)."""
    return (len(opening) >= 3 and opening[0] == 0x16 and opening[1] == 3 and opening[2] <= 4) or opening.startswith(
        b"SSH-"
    )


def _first(openings: Sequence[bytes]) -> bytes:
    return openings[0] if openings else b""
