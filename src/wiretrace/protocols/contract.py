"""The contracts between protocols and the drivers that feed them: `Protocol` reads a connection (``exchanges/driver.py``),
`DatagramProtocol` the datagrams of UDP (``exchanges/datagrams.py``).

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
- A protocol that carries another one (TLS with its keys known) hands over what it carries in `carried`, instead of messages;
  the driver reads that as a conversation of its own, and gives its messages the offsets of the units that carried them.
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
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from wiretrace.model.identifier import IdentifierKind
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
    prologue: tuple[bytes, bytes] = (b"", b"")
    """By side: bytes of this protocol that came before the stream's, see `Succession.prologue`."""
    pair: str = ""
    """Stands for the client's host and the server's address and port: the same for all connections between the two."""
    shared: dict[str, object] = field(default_factory=dict)
    """For this protocol, by what it chooses: knowledge shared between its connections (statements by name; for TLS also
    the key log)."""


@dataclass(frozen=True, slots=True)
class Succession:
    """Another protocol takes over the connection, from these stream offsets on."""

    protocol: str
    """Its name ('websocket', 'tls', or '' for: unknown, find out by probing)."""
    client_offset: int
    server_offset: int
    opened_by: Message | None = None
    """The request that asked for it, where there was one."""
    inside: Protocol | None = None
    """What goes on inside of the other protocol (STARTTLS): the object that has read so far. Its streams go on at the
    offsets above. None: what is inside is found out by probing."""
    prologue: tuple[bytes, bytes] = (b"", b"")
    """By side: bytes of the other protocol that messages before these offsets carried."""
    attributes: dict[str, str | int] | None = None
    """What is told of every request behind it."""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...] = ()
    """Identifiers that every request behind it carries."""


class Carried(NamedTuple):
    """A unit of a protocol that carries another one (a record of TLS), and what it carries. Units do not overlap."""

    start: int
    """Stream offset of the unit's first byte."""
    end: int
    """Stream offset behind it."""
    body: int
    """Stream offset of the byte that stands for ``data[0]``; those that follow stand for the others, one for one."""
    data: bytes
    """What it carries; empty for a unit that belongs to the carrying protocol alone."""
    missing: int = 0
    """Bytes of the carried stream that are missing before `data`."""


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
    overtakes: ClassVar[bool] = False
    """Whether a server may answer a request before an earlier one of the same connection, though no messages interleave."""
    turns: ClassVar[bool] = False
    """Whether it can not tell where messages end: what one side sends until the other one answers is a message. All that
    it appends of role PART is put together so (exchanges/turns.py)."""
    carried: tuple[list[Carried], list[Carried]] | None = None
    """By side: units not yet taken by the driver (which empties the lists), where it carries another protocol."""

    carried_attributes: dict[str, str | int] | None = None
    """What the messages that it carries have in common. Complete before the first unit with data is handed over."""

    precedes: ClassVar[bool] = False
    """Whether it stands in front of others, which may bear with its first bytes: where it is sure, no other is asked."""
    reversible: ClassVar[bool] = False
    """Whether the end that accepted a connection may be the one that asks (a relay that waits for its proxy to call)."""

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

        Called once for each side, when neither can go on; `parse` is not called for that side any more. A message that
        ends with the connection is appended, complete; one under construction `damaged`, ``end = offset``.
        """


class DatagramProtocol(ABC):
    """Reads datagrams, each of which is one message or a part of one. One object reads all conversations of its protocol.

    Sans-IO, redaction, and "nothing is raised" hold as for `Protocol`, but a datagram that is none of the protocol's gives
    None instead of a `Violation`. The role of a message says who sent it: the client a REQUEST or ONE_WAY, the server a
    RESPONSE or PUSH. Requests and responses of a conversation are paired by `Message.key`, which must not be -1.
    """

    name: ClassVar[str]
    """As it appears in outputs; the same as that of a `Protocol` where both carry the same messages."""
    ports: ClassVar[frozenset[int]] = frozenset()
    """Where servers usually listen."""
    detail_bits: ClassVar[int] = 0
    """Lower bits of `Message.key` that tell apart requests of the same identifier; all 0 where a message does not say."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @classmethod
    @abstractmethod
    def probe(cls, datagram: bytes, ports: tuple[int, int]) -> float:
        """How surely this is a datagram of the protocol, as `Protocol.probe` tells it. `ports`: of sender and receiver.

        A conversation is judged by its first datagrams alone, so be strict wherever the port is not the protocol's own.
        """

    @abstractmethod
    def read(self, datagram: bytes, length: int) -> Message | None:
        """The message in a datagram that had `length` bytes; None where it is none.

        Its `start` is 0 and its `end` is `length`, also where the snap length cut the datagram short. A message in several
        datagrams comes in as many messages of the same key and role, of which all but the last have `closes` False.
        """
