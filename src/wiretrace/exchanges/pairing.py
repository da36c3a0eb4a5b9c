"""Which response answers which request, by what the packets prove (design, section 5): the nouns, and the rules of all ways.

Rules:

- By identifier, where the protocol has one (`Message.key`): ``pairing_identifier.py``; what the server asks of the client,
  ``pairing_delivery.py``.
- By order, where nothing of the connection is missing, the k-th answer answers the k-th question: ``pairing_plain.py`` for
  all such connections of a chunk at once, ``pairing_order.py`` for one that takes more care.
- Behind a gap, or in a connection that was joined midway, order proves nothing by itself. Then the acknowledgements do:
  ``pairing_acknowledgement.py`` and ``pairing_batches.py``.
- What this leaves open stays a half. A wrong pair is worse than two halves.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wiretrace.model.message import Message


class Proof(enum.StrEnum):
    """Why a request and a response belong together."""

    ACKNOWLEDGED = "acknowledged"
    """In order, and the packet that opens the response acknowledges the whole request."""
    IDENTIFIER = "identifier"
    """They carry the same identifier within their connection."""
    ORDER = "order"
    """In order in a connection of which nothing is missing; the response began before the request was all acknowledged."""
    NONE = ""
    """A half: there is no other part to belong to."""


class Located(msgspec.Struct, gc=False):
    """A message with the packets behind it."""

    message: Message
    start_ns: int
    """Capture time of its first byte."""
    end_ns: int
    """Capture time of its last byte."""
    ack: int
    """Stream offset of the other direction up to which the sender had everything when it sent the first byte."""
    last_ack: int
    """The same as `ack`, when the sender sent the last byte."""
    captured: int
    """Bytes of it that were captured."""
    damaged: bool
    """Bytes of it were not captured, or it was cut off by the end of the connection."""
    index: int = 0
    """Its place in the chunk's `MessageTable`."""
    frames: NDArray[np.int64] | None = None
    """Frames behind it, once it waits for a later chunk, or came in pieces."""
    elsewhere: int = 0
    """Bytes between its start and its end that belong to others."""


class Habits(msgspec.Struct):
    """What a connection has shown of its client's way of asking."""

    origin: int | None = None
    """Stream offset of the client's first byte, if it was captured."""
    opening: int | None = None
    """Stream offset of the first request that was read."""
    asked: int | None = None
    """Stream offset of the first request that is part of an exchange."""
    asked_ns: int = -1
    """When its first byte came; -1 before it."""
    handshake_ns: tuple[int, int] | None = None
    """When the TLS handshake began and ended: what both ends said to each other before the first request left."""
    blocking: bool = True
    """Whether clients of the protocol usually wait for their answers."""
    batches_held: int = 0
    """Batches that were seen whole, with as many answers as requests."""
    asked_ack: int = 0
    """Acknowledgement of the last request that was answered."""
    answered_end: int = -(2**62)
    """Stream offset behind the last response that was paired by order."""
    overlaps: bool = False
    """The client has sent requests on while earlier ones were only partly answered: batches mean nothing."""

    @property
    def trusted(self) -> bool:
        """Whether batches may be relied on."""
        return not self.overlaps and (self.blocking or self.batches_held > 0)


class Pair(msgspec.Struct, gc=False):
    """An exchange, or a half."""

    request: Located | None
    response: Located | None
    proof: Proof
    skipped: bool = False
    """The server passed over the request because an earlier one of its unit failed."""
    delivered: bool = False
    """The server asked, and the client answers."""


def order_proof(request: Located, response: Located) -> Proof:
    """What proves that a response belongs to the request at the same place in the order."""
    return Proof.ACKNOWLEDGED if response.ack >= request.message.end else Proof.ORDER
