"""The calls as plain arrays, for whoever links them.

Rules: row i is call i. A process is a service on a host; a caller's calls and the calls that it serves carry the same
process where the host runs one service, or one that answers over HTTP. Times stand on the common time line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.hosts.lookups import is_of_link
from wiretrace.hosts.views import category, mix, number_groups, unite
from wiretrace.model.identifier import IdentifierKind, connection_ends
from wiretrace.model.link_problem import MISSING, LinkProblem, Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.hosts.knowledge import Knowledge
    from wiretrace.hosts.merge import Roles
    from wiretrace.hosts.table import CallFacts
    from wiretrace.hosts.views import Views

PREPARING = "PREPARE "
"""What the operation that prepares a statement begins with; the rest is the operation that executes it."""


@dataclass(slots=True)
class CallTimes:
    """Corrected times of both ends of each call; MISSING where an end was not captured. Shapes are (n,)."""

    caller_start: NDArray[np.int64]
    caller_end: NDArray[np.int64]
    callee_start: NDArray[np.int64]
    callee_end: NDArray[np.int64]
    error: NDArray[np.int64]


def link_columns(
    exchanges: pa.Table, views: Views, roles: Roles, facts: CallFacts, knowledge: Knowledge
) -> LinkProblem:
    """Build the arrays. `exchanges` and `views` have a row for each view; all others one for each call."""
    primary = roles.primary
    operation, operation_names, executed = number_operations(exchanges, primary, facts.server_service, knowledge)
    connection = join_numbers(views.connection, roles)
    server_row = np.where(roles.server >= 0, roles.server, primary)
    carried = with_own_ends(one_array(exchanges.column("identifiers").take(primary)), views, server_row)
    identifiers, identifier_names = hash_identifiers(carried)
    caller = number_processes(facts.client_host, facts.client_service, knowledge)
    # The system asks it, not the process: that a request is being served at the time means nothing.
    caller[is_of_link(exchanges)[primary]] = -1
    return LinkProblem(
        caller=caller,
        callee=number_processes(facts.server_host, facts.server_service, knowledge),
        caller_service=facts.client_service,
        callee_service=facts.server_service,
        operation=operation,
        caller_start_ns=facts.times.caller_start,
        caller_end_ns=facts.times.caller_end,
        callee_start_ns=facts.times.callee_start,
        callee_end_ns=facts.times.callee_end,
        clock_error_ns=facts.times.error,
        one_way=exchanges.column("one_way").take(primary).to_numpy().astype(np.bool_, copy=False),
        connection=connection,
        transaction=join_transactions(exchanges, views, roles),
        prepares=find_preparations(operation, executed, connection, facts.times),
        lookup=facts.resolution,
        request_digest=views.digest[primary],
        identifiers=identifiers,
        request_tokens=lists(exchanges.column("request_tokens").take(primary)),
        response_tokens=lists(exchanges.column("response_tokens").take(primary)),
        sent=lists(exchanges.column("sent").take(primary)),
        received=lists(exchanges.column("received").take(primary)),
        process_names=knowledge.process_names,
        service_names=knowledge.services.names,
        operation_names=operation_names,
        identifier_names=identifier_names,
    )


def number_processes(host: NDArray[np.int32], service: NDArray[np.int32], knowledge: Knowledge) -> NDArray[np.int32]:
    """The number of the process of each host and service; -1 where it is not known. Shapes (calls,)."""
    known = knowledge.processes
    if not len(known):
        return np.full(len(host), -1, np.int32)
    wanted = host.astype(np.int64) * len(knowledge.services.names) + service
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found = (known[place] == wanted) & (host >= 0) & (service >= 0)
    return np.where(found, place, -1).astype(np.int32)


def number_operations(
    exchanges: pa.Table, primary: NDArray[np.int64], service: NDArray[np.int32], knowledge: Knowledge
) -> tuple[NDArray[np.int32], list[str], NDArray[np.int32]]:
    """Number the operations per callee's service and protocol, as `knowledge` does; returns (calls,) numbers and names.

    What it does not know (a call of which the two ends saw different things) gets further numbers. The third value says
    for each operation that prepares a statement which one executes it, -1 for all others; shape (operations,).
    """
    operation, operations = category(exchanges, "operation")
    protocol, protocols = category(exchanges, "protocol")
    group, count = number_groups(mix(21, service.astype(np.int64), protocol[primary], operation[primary]))
    example = np.zeros(count, dtype=np.int64)
    example[group] = np.arange(len(group))
    numbers = dict(knowledge.operations)
    names = [text for _, _, text in numbers]
    of_group = np.zeros(count, np.int32)
    for position, call in enumerate(example.tolist()):
        row = primary[call]
        key = (int(service[call]), protocols[protocol[row]], operations[operation[row]])
        if key not in numbers:
            numbers[key] = len(names)
            names.append(key[2])
        of_group[position] = numbers[key]
    executed = np.full(len(names), -1, np.int32)
    for (of_service, of_protocol, name), number in numbers.items():
        if name.startswith(PREPARING):
            executed[number] = numbers.get((of_service, of_protocol, name.removeprefix(PREPARING)), -1)
    return of_group[group], names, executed


def find_preparations(
    operation: NDArray[np.int32], executed: NDArray[np.int32], connection: NDArray[np.int64], times: CallTimes
) -> NDArray[np.bool_]:
    """Which calls prepare the statement that the next call on their connection executes; shapes (calls,).

    `executed` (operations,) says which operation executes what each one prepares.
    """
    prepares = np.zeros(len(operation), np.bool_)
    if not (executed >= 0).any():
        return prepares
    start = np.where(times.caller_start != MISSING, times.caller_start, times.callee_start)
    order = np.lexsort((start, connection))
    first, second = order[:-1], order[1:]
    follows = (connection[first] == connection[second]) & (connection[first] >= 0)
    prepares[first] = follows & (executed[operation[first]] == operation[second])
    return prepares


def join_numbers(connection: NDArray[np.int64], roles: Roles) -> NDArray[np.int64]:
    """One number for the connection of each call, the same for all calls on it, whichever ends saw them."""
    if not len(roles.primary):
        return np.zeros(0, dtype=np.int64)
    number, count = number_groups(connection)
    both = (roles.client >= 0) & (roles.server >= 0)
    component = unite(number[roles.client[both]], number[roles.server[both]], count)
    return component[number[roles.primary]]


def join_transactions(exchanges: pa.Table, views: Views, roles: Roles) -> NDArray[np.int64]:
    """One number for the transaction of each call, the same at every vantage point; -1 outside one."""
    transaction = exchanges.column("transaction").to_numpy()
    if not len(roles.primary):
        return np.zeros(0, dtype=np.int64)
    number, count = number_groups(mix(22, views.capture, transaction))
    inside = (roles.client >= 0) & (roles.server >= 0)
    inside[inside] &= (transaction[roles.client[inside]] >= 0) & (transaction[roles.server[inside]] >= 0)
    component = unite(number[roles.client[inside]], number[roles.server[inside]], count)
    row = roles.primary
    for rows in (roles.client, roles.server):
        better = (transaction[row] < 0) & (rows >= 0)
        row = np.where(better, np.maximum(rows, 0), row)
    return np.where(transaction[row] >= 0, component[number[row]], -1)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def lists(column: pa.ChunkedArray) -> Ragged:
    """A list column as offsets and values."""
    whole = one_array(column)
    offsets = whole.offsets.to_numpy().astype(np.int64)
    values = whole.flatten().to_numpy().astype(np.uint64, copy=False)
    return Ragged(offsets - offsets[0], values)


def with_own_ends(column: pa.ListArray, views: Views, rows: NDArray[np.int64]) -> pa.ListArray:
    """Identifiers of calls; those on a connection that a proxy names as the one that it passes on are given its name, too.

    `rows` (calls,) are the views at the callee's end: what the proxy saw.
    """
    prefix = f"{IdentifierKind.PROXIED_CONNECTION}:"
    texts = pc.unique(column.flatten())
    named = {text for text in texts.to_pylist() if text.startswith(prefix)}
    if not named:
        return column
    found = column.to_pylist()
    addresses = views.addresses
    ends = (views.client[rows], views.client_port[rows], views.server[rows], views.server_port[rows])
    for call, (client, client_port, server, server_port) in enumerate(
        zip(*(end.tolist() for end in ends), strict=True)
    ):
        own = prefix + connection_ends(addresses[client], client_port, addresses[server], server_port)
        if own in named:
            found[call] = [*(found[call] or ()), own]
    return pa.array(found, column.type)


def hash_identifiers(whole: pa.ListArray) -> tuple[Ragged, dict[int, str]]:
    """Hashes of the identifiers of each call, and the kind behind each hash that occurs more than once."""
    offsets = whole.offsets.to_numpy().astype(np.int64)
    coded = whole.flatten().dictionary_encode()
    codes = coded.indices.to_numpy()
    hashes = hash_texts(coded.dictionary)
    shared = np.flatnonzero(np.bincount(codes, minlength=len(hashes)) > 1)
    kinds = [text.split(":", 1)[0] for text in coded.dictionary.take(pa.array(shared)).to_pylist()]
    return Ragged(offsets - offsets[0], hashes[codes]), dict(zip(hashes[shared].tolist(), kinds, strict=True))


def hash_texts(texts: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each text: the sum of its bytes, each multiplied by a factor of its position, then mixed."""
    if not len(texts):
        return np.zeros(0, dtype=np.uint64)
    texts = texts.cast(pa.large_binary())
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    ends = offsets - offsets[0]
    length = np.diff(ends)
    place = np.arange(len(data)) - np.repeat(ends[:-1], length)
    factors = mix(23, np.arange(int(length.max()))) | np.uint64(1)
    total = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(data * factors[place], out=total[1:])
    return mix(25, total[ends[1:]] - total[ends[:-1]], length)
