"""From the messages of one chunk to its exchanges: pairs them, judges what happened, and counts their bytes.

Rules: plain connections, nearly all, are paired by array operations together; the others one by one, with the proof that
each allows. What finds no partner waits in its thread, up to a limit, and is a half when its connection is over. Messages of
role CONTROL are part of no exchange.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.message_table import integers
from wiretrace.exchanges.outcomes import NOT_RESENT, OUTCOME_OF, Judgement, Resent, judge
from wiretrace.exchanges.pairing import Pair, Proof
from wiretrace.exchanges.pairing_acknowledgement import pair_by_acknowledgement
from wiretrace.exchanges.pairing_delivery import pair_deliveries, unasked
from wiretrace.exchanges.pairing_identifier import pair_before_identifiers, pair_by_identifier
from wiretrace.exchanges.pairing_order import pair_in_order
from wiretrace.exchanges.pairing_plain import PlainPairs, pair_plain
from wiretrace.exchanges.parts import join_parts
from wiretrace.exchanges.rows import OUTCOME_CODES, PROOF_CODES, Rows
from wiretrace.exchanges.transactions import number_transactions
from wiretrace.exchanges.turns import Turns, TurnTaker
from wiretrace.model.analysis import Payload
from wiretrace.model.message import Result, Role, Transaction
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wiretrace.exchanges.closing import Closing
    from wiretrace.exchanges.health import Health
    from wiretrace.exchanges.message_table import MessageTable
    from wiretrace.exchanges.pairing import Habits, Located
    from wiretrace.exchanges.threads import Thread
    from wiretrace.model.limits import Limits

BEYOND = 2**62
"""An acknowledgement behind everything: of connections that go on."""


OUTCOME_OF_RESULT = np.array([OUTCOME_CODES[OUTCOME_OF[result]] for result in Result], np.int64)
"""Code of the outcome that each result of a response means."""


class Matcher:
    """Pairs the messages of one vantage point, a chunk at a time."""

    def __init__(self, limits: Limits, notes: Notes, accounting: Counter[Payload]) -> None:
        """What bytes are in exchanges and in halves is counted in `accounting`."""
        self._limits = limits
        self._notes = notes
        self._accounting = accounting
        self._tickets: defaultdict[int, set[int]] = defaultdict(set)
        """By port of the server: lengths of session tickets."""

    def match(self, table: MessageTable, closings: Mapping[int, Closing], health: Health) -> Rows:
        """The exchanges among the messages of `table`; `closings` holds the connections that are over.

        `health` says which messages were sent again.
        """
        rows = Rows()
        if not table.threads:
            return rows
        bounds = table.bounds.tolist()
        candidates = np.zeros(len(table.threads), np.bool_)
        for rank, thread in enumerate(table.threads):
            candidates[rank] = _prepare(thread, table, bounds[2 * rank], bounds[2 * rank + 1], bounds[2 * rank + 2])
        pairs = pair_plain(table, candidates)
        if len(pairs.request):
            self._take_plain(table, pairs, closings, health, rows)
        unanswered, unasked = pairs.unanswered.tolist(), pairs.unasked.tolist()
        changed: list[Located] = []
        for rank, (thread, plain) in enumerate(zip(table.threads, pairs.plain.tolist(), strict=True)):
            middle, behind = bounds[2 * rank + 1], bounds[2 * rank + 2]
            closing = closings.get(thread.conversation.connection)
            found: list[Pair] = []
            if plain:
                if unanswered[rank] == middle and unasked[rank] == behind:
                    continue
                thread.requests = table.located(unanswered[rank], middle)
                thread.responses = table.located(unasked[rank], behind)
            else:
                thread.requests = table.located(bounds[2 * rank], middle)
                thread.responses = table.located(middle, behind)
                if thread.conversation.turns:
                    self._pair_turns(thread, table, found, final=closing is not None)
                else:
                    _pair_carefully(thread, table, found, self._limits, self._notes, final=closing is not None)
            left = self._leave(thread, found, final=closing is not None)
            if thread.conversation.interleaves or thread.conversation.turns:
                both = [each for pair in found + left for each in (pair.request, pair.response)]
                changed += [each for each in both if each is not None and each.frames is not None]
            self._take(rank, thread, found, left, closing, health, rows)
        table.correct(changed)
        return rows

    def _take_plain(
        self,
        table: MessageTable,
        pairs: PlainPairs,
        closings: Mapping[int, Closing],
        health: Health,
        rows: Rows,
    ) -> None:
        """Make rows of the exchanges of all plain connections."""
        request, response = pairs.request, pairs.response
        rank = table.rank[request]
        firsts = np.flatnonzero(np.diff(rank, prepend=-1))
        threads = [table.threads[number] for number in rank[firsts].tolist()]
        answers = [table.messages[row] for row in response.tolist()]
        result = np.frombuffer(bytes([answer.result for answer in answers]), np.uint8)
        state = np.frombuffer(bytes([answer.transaction for answer in answers]), np.uint8)
        proof = np.where(
            table.ack[response] >= table.end[request],
            PROOF_CODES[Proof.ACKNOWLEDGED],
            PROOF_CODES[Proof.ORDER],
        )
        proof[response == 0] = PROOF_CODES[Proof.NONE]
        outcome = OUTCOME_OF_RESULT[result]
        judged = self._judge_last(table, rank, request, response, closings, health, outcome)
        transaction = number_transactions(state, firsts, [thread.transactions for thread in threads])
        rows.set_plain(rank, request, response, proof, outcome, transaction, judged)
        for thread, count in zip(threads, np.diff(firsts, append=len(rank)).tolist(), strict=True):
            thread.exchanges += count
        captured = int(table.captured[request].sum()) + int(table.captured[response].sum())
        self._accounting[Payload.IN_EXCHANGES] += captured

    @staticmethod
    def _judge_last(
        table: MessageTable,
        rank: NDArray[np.int64],
        request: NDArray[np.int64],
        response: NDArray[np.int64],
        closings: Mapping[int, Closing],
        health: Health,
        outcome: NDArray[np.int64],
    ) -> dict[int, Judgement]:
        """Correct `outcome` where a connection ended before an answer was whole, or acknowledged. All shapes (n,).

        Returns what was judged, by place in the arrays.
        """
        judged: dict[int, Judgement] = {}
        if not closings:
            return judged
        of_rank = [closings.get(thread.conversation.connection) for thread in table.threads]
        arrived = integers([BEYOND if each is None else each.response_acknowledged for each in of_rank])
        reached = table.reached[2 * rank + 1]
        end = table.end[response]
        for at in np.flatnonzero((response > 0) & ((end > reached) | (end > arrived[rank]))).tolist():
            closing = of_rank[rank[at]]
            if closing is not None:
                asked, answer = (table.located(row, row + 1)[0] for row in (int(request[at]), int(response[at])))
                pair = Pair(asked, answer, Proof.NONE)
                judged[at] = _judged(pair, closing, int(reached[at]), health)
                outcome[at] = OUTCOME_CODES[judged[at].outcome]
        return judged

    def _pair_turns(self, thread: Thread, table: MessageTable, pairs: list[Pair], *, final: bool) -> None:
        """Pair the turns of a connection whose messages can not be told apart, and in order what is none of them."""
        conversation = thread.conversation
        if thread.turns is None:
            thread.turns = Turns()
        sides = thread.requests, thread.responses
        pieces = [[each for each in side if each.message.role is Role.PART] for side in sides]
        others = [[each for each in side if each.message.role not in (Role.PART, Role.CONTROL)] for side in sides]
        used, answered = pair_in_order(others[0], others[1], pairs, thread.habits)
        tickets = self._tickets[conversation.ports[1 - conversation.client]]
        taker = TurnTaker(thread.turns, table, tickets, self._limits, self._notes, pairs)
        known = None if final else (thread.known(Side.CLIENT), thread.known(Side.SERVER))
        asking, answering = taker.work(pieces[0], pieces[1], known)
        thread.requests, thread.responses = others[0][used:] + asking, others[1][answered:] + answering

    def _leave(self, thread: Thread, pairs: list[Pair], *, final: bool) -> list[Pair]:
        """Halves of what is left when the connection is over. Before that it waits, and what is too much joins `pairs`."""
        bound = self._limits.pending_messages
        excess = max(0, len(thread.requests) - bound, len(thread.responses) - bound)
        if excess:
            self._notes.add(NoteKind.LIMIT_REACHED, "pending_messages", excess)
            pairs += _halves(thread.requests[:excess], thread.responses[:excess])
            del thread.requests[:excess]
            del thread.responses[:excess]
        if not final:
            return []
        left = _halves(thread.requests, thread.responses)
        thread.requests, thread.responses = [], []
        return left

    def _take(
        self,
        rank: int,
        thread: Thread,
        pairs: list[Pair],
        left: list[Pair],
        closing: Closing | None,
        health: Health,
        rows: Rows,
    ) -> None:
        """Make rows of one connection's exchanges and halves."""
        reached = thread.conversation.side(Side.CLIENT).next, thread.conversation.side(Side.SERVER).next
        transactions = thread.transactions
        whole = half = count = 0
        counted: set[int] = set()
        for at, pair in enumerate(pairs + left):
            request, response = pair.request, pair.response
            role = (request or response).message.role  # type: ignore[union-attr]
            if role in (Role.CONTROL, Role.CANCEL):
                continue
            # How the connection ended judges what was left over then, and answers that were cut off.
            ended = closing if response is not None or at >= len(pairs) else None
            judgement = _judged(pair, ended, reached[not pair.delivered], health)
            transaction = transactions.number(response.message.transaction if response else Transaction.UNKNOWN)
            rows.add(rank, pair, judgement, transaction)
            count += 1
            captured = (request.captured if request else 0) + (response.captured if response else 0)
            if response is not None and response.message.cumulative:
                # It is in several pairs, and its bytes are counted once.
                captured -= response.captured if id(response) in counted else 0
                counted.add(id(response))
            if (request and response) or role in (Role.ONE_WAY, Role.PUSH) or pair.skipped:
                whole += captured
            else:
                half += captured
        thread.exchanges += count
        self._accounting[Payload.IN_EXCHANGES] += whole
        self._accounting[Payload.IN_HALVES] += half


def _judged(pair: Pair, closing: Closing | None, response_end: int, health: Health) -> Judgement:
    """What happened to an exchange, given how often its messages were sent again."""
    again = [NOT_RESENT if each is None else _resent(each.index, health) for each in (pair.request, pair.response)]
    return judge(pair, closing, response_end, *again)


def _resent(row: int, health: Health) -> Resent:
    times = int(health.retransmitted[row])
    return Resent(times, int(health.first_again_ns[row]), tuple(health.frames.get(row, ()))) if times else NOT_RESENT


def _prepare(thread: Thread, table: MessageTable, first: int, middle: int, behind: int) -> bool:
    """Note what the pairing needs to know of the connection. Whether nothing of it is missing and it has no identifiers.

    Its requests are the rows ``[first, middle)``, its responses ``[middle, behind)``.
    """
    conversation, habits = thread.conversation, thread.habits
    if conversation.reader is not None:
        habits.blocking = conversation.reader.blocking
        client = conversation.side(Side.CLIENT)
        habits.origin = client.origin if client.started else None
    if habits.opening is None and first < middle:
        habits.opening = table.messages[first].start
    if habits.asked is None and first < middle:
        asked = first + int(np.argmax(table.role[first:middle] != Role.CONTROL))
        if table.role[asked] != Role.CONTROL:
            habits.asked, habits.asked_ns = int(table.start[asked]), int(table.start_ns[asked])
    if conversation.is_tls and not thread.exchanges:
        _note_handshake(habits, table, first, behind)
    return conversation.aligned and not (
        conversation.interleaves
        or conversation.keyed
        or conversation.turns
        or (first < middle and table.messages[first].key >= 0)
        or (middle < behind and table.messages[middle].key >= 0)
    )


def _note_handshake(habits: Habits, table: MessageTable, first: int, behind: int) -> None:
    """Note when the TLS handshake of a connection began and ended, as far as it is among the rows ``[first, behind)``."""
    control = first + np.flatnonzero(table.role[first:behind] == Role.CONTROL)
    if habits.asked is not None:
        control = control[table.end_ns[control] <= habits.asked_ns]
    if not len(control):
        return
    began, ended = int(table.start_ns[control].min()), int(table.end_ns[control].max())
    if habits.handshake_ns is not None:
        began, ended = min(began, habits.handshake_ns[0]), max(ended, habits.handshake_ns[1])
    habits.handshake_ns = began, ended


def _pair_carefully(
    thread: Thread, table: MessageTable, pairs: list[Pair], limits: Limits, notes: Notes, *, final: bool
) -> None:
    """Pair what waits in `thread` by the proof that it allows, adding to `pairs`; what finds no partner stays."""
    conversation = thread.conversation
    requests, responses, delivered = pair_deliveries(thread.requests, thread.responses, pairs)
    interleaves = conversation.interleaves
    if interleaves or conversation.keyed or any(located.message.key >= 0 for located in requests[:1] + responses[:1]):
        if interleaves:
            requests = join_parts(requests, thread.parts[Side.CLIENT], table, limits, notes)
            responses = join_parts(responses, thread.parts[Side.SERVER], table, limits, notes)
            # What came before the protocol that sends identifiers was answered in order.
            pair_before_identifiers(requests, responses, pairs, thread.habits)
        waiting = pair_by_identifier(
            requests, responses, pairs, table, unique=interleaves, aligned=conversation.aligned
        )
        thread.requests, thread.responses = waiting[0], waiting[1] + delivered
        return
    thread.requests, thread.responses = requests, responses
    if conversation.aligned:
        used, answered = pair_in_order(requests, responses, pairs, thread.habits)
    else:
        _pair_whole(thread, pairs)
        reached = None if final else (conversation.side(Side.CLIENT).next, conversation.side(Side.SERVER).next)
        used, answered = pair_by_acknowledgement(requests, responses, pairs, thread.habits, reached)
    del requests[:used]
    del responses[:answered]
    responses += delivered


def _pair_whole(thread: Thread, pairs: list[Pair]) -> None:
    """Pair in order what came before the first bytes that broke the rules of the protocol."""
    client_end, server_end = thread.conversation.whole
    requests = list(itertools.takewhile(lambda each: each.message.end <= client_end, thread.requests))
    responses = list(itertools.takewhile(lambda each: each.message.end <= server_end, thread.responses))
    if requests and responses:
        used, answered = pair_in_order(requests, responses, pairs, thread.habits)
        del thread.requests[:used]
        del thread.responses[:answered]


def _halves(requests: list[Located], responses: list[Located]) -> list[Pair]:
    """Each of the messages as a half of its own."""
    halves = [Pair(located, None, Proof.NONE) for located in requests]
    return halves + [
        Pair(located, None, Proof.NONE, delivered=True)
        if located.message.role is Role.REQUEST
        else unasked(located, delivered=True)
        for located in responses
    ]
