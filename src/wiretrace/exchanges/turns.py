"""Puts the pieces of connections together whose messages can not be told apart: a turn of one side is one message.

Rules:

- What the client sends until it has received something of an answer is a request; what the server sends from then on, until
  the client sends again, is the response. Who knew of what is told by acknowledgements; only where neither knew of the
  other's bytes does the time decide.
- An answer leaves when its server has some of the request. What comes earlier (session tickets, greetings) answers nothing.
- Two pieces of equal length at the beginning of a connection's first answer that may be session tickets are tickets, and
  their length is remembered: servers send two after a handshake, and one after a resumed one (RFC 8446 section 4.6.1).
- Behind missing bytes nothing is added to a turn: what the server sends then may answer what is missing of the client, and
  what the client sends may come behind an answer that is missing. A piece before which bytes are missing has `closes` False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.exchanges.pairing import Pair, Proof, order_proof
from wiretrace.exchanges.parts import Assembly
from wiretrace.model.message import Role
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.pairing import Located
    from wiretrace.model.limits import Limits
    from wiretrace.model.note import Notes

FULL_RECORD = 1 << 14
"""Bytes of a piece that was filled: what follows it goes on with it where the server answered before it had that piece."""
REMEMBERED_LENGTHS = 1000
"""Lengths of session tickets that are remembered of one vantage point."""


class Turns:
    """The open turns of one connection, between chunks. The last piece of each waits among the thread's messages."""

    __slots__ = ("answered", "answering", "asking", "begun", "heard", "parts", "reached")

    def __init__(self) -> None:
        self.asking = False
        """Whether the first piece that waits on the client's side is the last one of the request so far."""
        self.answering = False
        """The same for the server's side and the response."""
        self.begun: list[Located | None] = [None, None]
        """By side: the first piece of the turn."""
        self.parts: list[Assembly | None] = [None, None]
        """By side: all pieces but the last one, where there are more."""
        self.answered = False
        """Whether the connection's first answer has begun."""
        self.reached = -(2**62)
        """Stream offset behind the client's last piece."""
        self.heard = -(2**62)
        """Stream offset behind the server's last piece."""


class TurnTaker:
    """Works through the pieces of one connection in one chunk."""

    def __init__(
        self, turns: Turns, table: MessageTable, tickets: set[int], limits: Limits, notes: Notes, pairs: list[Pair]
    ) -> None:
        """What is complete is added to `pairs`. `tickets` holds the lengths of session tickets seen so far."""
        self._turns = turns
        self._table = table
        self._tickets = tickets
        self._limits = limits
        self._notes = notes
        self._pairs = pairs
        self._last: list[Located | None] = [None, None]
        self._left: tuple[list[Located], list[Located]] = ([], [])
        """By side: halves that are left in the end."""

    def work(
        self, requests: list[Located], responses: list[Located], reached: tuple[int, int] | None
    ) -> tuple[list[Located], list[Located]]:
        """Take pieces in the order of events; returns those of each side that wait for the next chunk.

        `reached` holds, by side, the stream offset up to which all pieces are known; None: nothing more will come.
        """
        turns, last = self._turns, self._last
        asked, answered = list(reversed(requests)), list(reversed(responses))
        if turns.asking:
            last[Side.CLIENT] = asked.pop()
        if turns.answering:
            last[Side.SERVER] = answered.pop()
        while asked or answered:
            client, server = (asked[-1] if asked else None), (answered[-1] if answered else None)
            if not self._is_known(client, server, reached):
                break
            if client is not None and (server is None or not _server_first(client, server)):
                self._ask(client, server)
                asked.pop()
            else:
                used = self._answer(answered, client, final=reached is None)
                if not used:
                    break
                del answered[-used:]
        if reached is None:
            self._close(self._left)
        turns.asking, turns.answering = last[Side.CLIENT] is not None, last[Side.SERVER] is not None
        kept = [[each] if each is not None else [] for each in last]
        return self._left[0] + kept[Side.CLIENT] + asked[::-1], self._left[1] + kept[Side.SERVER] + answered[::-1]

    @staticmethod
    def _is_known(client: Located | None, server: Located | None, reached: tuple[int, int] | None) -> bool:
        """Whether nothing that is still to come can have been before the next piece."""
        if reached is None or (client is not None and server is not None):
            return True
        if client is not None:
            return reached[Side.SERVER] >= client.ack
        return server is not None and reached[Side.CLIENT] >= server.ack

    def _ask(self, piece: Located, server: Located | None) -> None:
        """The client sends, before the server's piece."""
        turns, before = self._turns, self._last[Side.CLIENT]
        answer = turns.begun[Side.SERVER]
        goes_on = (
            before is not None and answer is not None and _length(before) >= FULL_RECORD
            and answer.ack < before.message.end == piece.message.start
        )  # fmt: skip
        if before is not None and server is not None and not server.message.closes:
            # Where the client has heard more of the server than was captured, that may have been an answer.
            first = turns.begun[Side.CLIENT]
            if first is not None and piece.ack > max(first.ack, turns.heard):
                self._close()
        if not piece.message.closes or (self._last[Side.SERVER] is not None and not goes_on):
            self._close()
        self._extend(Side.CLIENT, piece)
        turns.reached = piece.message.end

    def _answer(self, answered: list[Located], client: Located | None, *, final: bool) -> int:
        """The server sends, before the piece `client`; returns how many of its pieces were used up."""
        turns, piece = self._turns, answered[-1]
        turns.heard = max(turns.heard, piece.message.end)
        request = turns.begun[Side.CLIENT]
        if client is not None and not client.message.closes and piece.ack > turns.reached:
            # It may answer what is missing.
            if self._last[Side.CLIENT] is not None:
                self._close()
        elif self._last[Side.SERVER] is None and (request is None or piece.ack <= request.message.start):
            return 1
        elif not turns.answered and piece.message.status:
            tickets = self._count_tickets(answered, client, final=final)
            if tickets != 0:
                return max(tickets, 0)
        turns.answered = True
        self._extend(Side.SERVER, piece)
        return 1

    def _count_tickets(self, answered: list[Located], client: Located | None, *, final: bool) -> int:
        """How many session tickets come first; -1 if more has to be seen to tell."""
        first = answered[-1]
        length = _length(first)
        second = answered[-2] if len(answered) > 1 else None
        if second is not None and second.message.status and _length(second) == length:
            if len(self._tickets) < REMEMBERED_LENGTHS:
                self._tickets.add(length)
            return 2
        if length in self._tickets:
            return 1
        return -1 if second is None and client is None and not final else 0

    def _extend(self, side: Side, piece: Located) -> None:
        turns, before = self._turns, self._last[side]
        if before is None:
            turns.begun[side] = piece
        else:
            assembly = turns.parts[side]
            if assembly is None:
                assembly = turns.parts[side] = Assembly(before)
            assembly.add(before, self._table, self._limits.message_segments, self._notes)
        self._last[side] = piece

    def _close(self, left: tuple[list[Located], list[Located]] | None = None) -> None:
        """Both turns are over: they are an exchange, or a half. Where `left` is given, halves are added to that."""
        farewell = self._is_farewell()
        request, response = self._whole(Side.CLIENT, Role.REQUEST), self._whole(Side.SERVER, Role.RESPONSE)
        if left is not None and (request is None or response is None):
            left[Side.CLIENT].extend([request] if request is not None and not farewell else [])
            left[Side.SERVER].extend([response] if response is not None else [])
        elif request is not None or response is not None:
            proof = order_proof(request, response) if request is not None and response is not None else Proof.NONE
            self._pairs.append(Pair(request, response, proof))

    def _is_farewell(self) -> bool:
        """Whether the request is one short piece that nobody answered."""
        last = self._last[Side.CLIENT]
        return last is not None and self._turns.parts[Side.CLIENT] is None and bool(last.message.status)

    def _whole(self, side: Side, role: Role) -> Located | None:
        turns, last = self._turns, self._last[side]
        if last is None:
            return None
        assembly = turns.parts[side]
        whole = last if assembly is None else assembly.finish(last, self._table)
        whole.message.role = role
        whole.message.status, whole.message.closes = "", True
        turns.begun[side] = turns.parts[side] = self._last[side] = None
        return whole


def _server_first(client: Located, server: Located) -> bool:
    """Whether the server's piece came before the client's."""
    if client.ack > server.message.start:
        return True
    if server.ack > client.message.start:
        return False
    return server.start_ns < client.start_ns


def _length(piece: Located) -> int:
    return piece.message.end - piece.message.start
