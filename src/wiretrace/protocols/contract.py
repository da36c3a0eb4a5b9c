"""The contract between a protocol and the driver (``exchanges/driver.py``) that feeds it.

Rules that hold for every protocol file:

- Sans-IO. Bytes in, messages out: no file, clock, log, NumPy or print. One object per connection.
- ``parse`` is called with what has arrived of one direction and reads *as many messages as it holds* in one tight loop.
  It appends complete messages to ``self.requests`` (side CLIENT) or ``self.responses`` (side SERVER), whatever their
  role, in stream order, their spans tiling the stream, and returns how far it has read.
- It never rescans: what was read is remembered in ``self``; what it returns as unread is given again, with more behind.
- Either direction may be missing, incomplete, ahead or behind: the client's side is usually parsed first, in whole
  windows, and a protocol that needs the other side's word (an answer to HEAD, Upgrade, a greeting) stops before the byte
  it can not read yet and returns that position; it is called again when the other side has moved.
- Messages whose bytes alternate on one side come in pieces of role PART, so that spans still tile. The class says so in
  `interleaves`, gives all that it appends a `key`, and keeps CONTROL messages apart with key 0.
- A body is passed over, not collected: a message whose end is known is appended at once with its ``end``, and ``parse``
  returns the position behind it, which may lie beyond the data. The driver skips to it, gaps included.
- A gap is a call (``lost``), not an exception, and is followed by ``resync`` calls until a boundary is found.
- ``Violation`` means: these bytes are not this protocol. The driver turns it into a note and a search for the next
  boundary, or gives the connection up. Nothing else may be raised, whatever the bytes are (tests fuzz this).
- Text that reaches a Message is redacted in the way of the protocol (SQL literals, query values, sensitive headers)
  unless ``context.keep_values``. The exchanges floor scrubs it once more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from wiretrace.model.message import Message
    from wiretrace.model.side import Side


class Violation(Exception):  # noqa: N818 - a verdict about bytes, not an error of ours
    """These bytes are not this protocol here. The message is a short fixed phrase, without captured text."""


@dataclass(slots=True)
class Context:
    """What the driver knows about a connection when a protocol takes it over."""

    started: tuple[bool, bool] = (True, True)
    """By side: whether the first byte of the stream was captured. False: joined midway, expect `resync` first."""
    keep_values: bool = False
    """Whether the user asked for unredacted text."""
    value_bytes: int = 512
    """How much of a message may be handed on as `Message.values`."""
    unparsed_bytes: int = 8 << 20
    """The most that the driver keeps of one direction while `parse` asks for more."""
    opened_by: Message | None = None
    """The request to another protocol that brought the connection to this one (Upgrade); None: nothing was before it."""
    shared: dict[str, object] = field(default_factory=dict)
    """For this protocol, by what it chooses: knowledge shared between its connections (statements by name)."""


@dataclass(frozen=True, slots=True)
class Succession:
    """Another protocol takes over the connection, from these stream offsets on."""

    protocol: str
    """Its name ('websocket', 'tls', or '' for: unknown, find out by probing)."""
    client_offset: int
    server_offset: int
    opened_by: Message | None = None
    """The request that asked for it, where there was one."""


class Protocol(ABC):
    """Reads one connection of one protocol. See the module docstring for the rules."""

    name: ClassVar[str]
    """As it appears in outputs: lower case, the field's own word."""
    ports: ClassVar[frozenset[int]] = frozenset()
    """Where servers usually listen: breaks a tie between equal probes, decides nothing."""
    blocking: ClassVar[bool] = True
    """Whether a client usually waits for the answer before it sends the next request on the same connection."""
    interleaves: ClassVar[bool] = False
    """Whether messages of one side may come in pieces, between those of others. Such messages are paired by `key`."""

    keyed: ClassVar[bool] = False
    """Whether nothing is paired by order: requests have a `key`, but for those that ask for nothing."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.requests: list[Message] = []
        """Messages of the client's direction, complete and not yet taken by the driver (which empties the list)."""
        self.responses: list[Message] = []
        """Messages of the server's direction, likewise."""
        self.succession: Succession | None = None
        """Set when another protocol takes over; the driver stops calling this one."""

    @classmethod
    @abstractmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """How surely the first bytes of the two directions (either may be empty) are this protocol in these roles.

        0: no. 0.5: could be. 1: unmistakable. Must be cheap, must not raise, and must bear being given the start of a
        direction that was joined in the middle of a message (then a message boundary near the start may count).
        The driver asks again, with more, while nobody is sure; and asks with the sides exchanged where no SYN was seen.
        """

    @abstractmethod
    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read messages of `side` from `data[at:]`, where `data[0]` has stream offset `base`.

        Returns the index behind what was read (``>= at``); beyond ``len(data)`` means: pass over the bytes up to there.
        """

    @abstractmethod
    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """The index of the first message boundary in `data[at:]` that can be trusted, or None.

        Called behind a gap, and at the start of a direction that was joined midway. Be strict: a false boundary costs
        a false message. The driver keeps the last 64 bytes of what gave None, and calls again with more behind them.
        """

    @abstractmethod
    def lost(self, side: Side, start: int, end: int) -> None:
        """The bytes of `side` from stream offset `start` up to `end` are missing, and `parse` would have needed them.

        The message under construction on that side, if any, is finished as it stands: append it, `damaged`, with
        ``end = start`` if its beginning was read; forget what depended on it. A known skip is not interrupted by this.
        """

    @abstractmethod
    def finish(self, side: Side, offset: int) -> None:
        """The direction ended at stream offset `offset` (closed, reset, or the capture ended): nothing more will come.

        A message that ends with the connection is appended, complete; one under construction `damaged`, ``end = offset``.
        """
