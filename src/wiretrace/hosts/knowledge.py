"""What is known of hosts, clocks and services before exchanges are merged: learned once from the survey of all of them.

Rules: everything here is small, and can be handed to other processes. Numbers of services, processes and operations mean
the same wherever this knowledge is used.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.hosts.clocks import ClockEstimate, estimate_clocks
from wiretrace.hosts.merge import conversation_keys, group_views, locate_views, translate_addresses
from wiretrace.hosts.names import Services, name_services
from wiretrace.hosts.table import hosts_table
from wiretrace.hosts.timeline import number_clocks, pair_samples
from wiretrace.hosts.vantage import CaptureInfo, Hosts, Sightings, is_loopback, recognise_hosts
from wiretrace.hosts.views import Views, category, integers, mix, read_views
from wiretrace.model.note import NoteKind, Notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.hosts.survey import Survey

NEVER = (np.iinfo(np.int64).max, -1)
"""First and last moment of what was never seen."""


@dataclass(slots=True)
class Knowledge:
    """What merging relies on."""

    captures: list[str]
    """Names of the vantage points."""
    hosts: Hosts
    clocks: list[ClockEstimate]
    """One for each host that recorded captures, and for each capture without a host."""
    clock_of_capture: NDArray[np.int64]
    """Shape (captures,): index into `clocks`."""
    component: NDArray[np.int64]
    """By clock: a number that is equal for clocks that could be compared."""
    compared: list[bool]
    """By clock: whether it belongs to the largest set of clocks that could be compared."""
    watched: NDArray[np.int64]
    """Shape (hosts + 1, 2): first and last time at which each host's own captures saw anything, on the common time line."""
    services: Services
    processes: NDArray[np.int64]
    """Rising: host times the number of services, plus service, of everything that makes or serves calls."""
    process_names: list[str]
    operations: dict[tuple[int, str, str], int]
    """The number of each operation, by service, protocol and text."""
    connections: NDArray[np.int64]
    """Rising: numbers of the connections."""
    closed_ns: NDArray[np.int64]
    """Time of the last packet of each, as captured."""
    connect_ns: NDArray[np.int64]
    """How long opening each took; -1 where that was not captured."""
    handshake_rtt_ns: NDArray[np.int64]
    """Round trip of the handshake of each; -1 where that was not captured."""

    def hosts_table(self) -> pa.Table:
        """The table `hosts`."""
        return hosts_table(self.hosts, self.services, self.clocks, self.compared)

    def clock_of_host(self) -> NDArray[np.int64]:
        """By host: the number of its clock, or -1. One more entry at the end, for the host number -1."""
        clock = np.full(len(self.hosts.names) + 1, -1, dtype=np.int64)
        for number, host in zip(self.clock_of_capture.tolist(), self.hosts.of_capture, strict=True):
            if host >= 0:
                clock[host] = number
        return clock

    def on_time_line(self, capture: int, raw_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times of a capture on the common time line; -1 (none) stays."""
        clock = self.clocks[int(self.clock_of_capture[capture])]
        return clock.corrected(raw_ns) if clock.samples else raw_ns


def learn_hosts(
    survey: Survey,
    connections: pa.Table,
    captures: Sequence[CaptureInfo],
    notes: Notes,
    given: Mapping[str, str] | None = None,
) -> Knowledge:
    """Recognise the hosts of all captures, compare their clocks, and name their services.

    `connections` has the schema of that table, `captures` one entry for each vantage point of `survey`, in its order.
    Clocks that can not be compared are counted in `notes`. `given` are the user's own names; see `name_services`.
    """
    views = read_views(survey.sample, survey.captures)
    hosts = find_hosts(views, connections, captures)
    places = locate_views(views, hosts)
    key = group_views(views, translate_addresses(views, conversation_keys(views, hosts, places)))
    clock_of_capture, clock_names = number_clocks(hosts, captures)
    clocks = estimate_clocks(pair_samples(views, places, key, clock_of_capture[views.capture]), clock_names)
    component, compared = compared_clocks(clocks, notes)
    services = _services(survey, hosts, given or {})
    processes, process_names = _processes(hosts, services)
    order = np.argsort(integers(connections, "connection"), kind="stable")
    knowledge = Knowledge(
        captures=survey.captures,
        hosts=hosts,
        clocks=clocks,
        clock_of_capture=clock_of_capture,
        component=component,
        compared=compared,
        watched=np.tile(np.array(NEVER, np.int64), (len(hosts.names) + 1, 1)),
        services=services,
        processes=processes,
        process_names=process_names,
        operations=_operations(survey, hosts, services),
        connections=integers(connections, "connection")[order],
        closed_ns=integers(connections, "closed_ns")[order],
        connect_ns=integers(connections, "connect_ns")[order],
        handshake_rtt_ns=integers(connections, "handshake_rtt_ns")[order],
    )
    _watch(knowledge, survey, connections)
    return knowledge


def _server_host(hosts: Hosts, capture: int, address: str) -> int:
    """Number of the host that a server's address means in a capture; -1: not known."""
    return hosts.of_loopback[capture] if is_loopback(address) else hosts.of_address.get(address, -1)


def _services(survey: Survey, hosts: Hosts, given: Mapping[str, str]) -> Services:
    asked: Counter[tuple[int, int, str]] = Counter()
    for end, count in survey.asked.items():
        host = _server_host(hosts, end.capture, end.address)
        if host >= 0:
            asked[host, end.port, end.protocol] += count
    hints: dict[tuple[int, int], Counter[str]] = {}
    for end, names in survey.hints.items():
        host = _server_host(hosts, end.capture, end.address)
        if host >= 0 and not hosts.named[host]:
            hints.setdefault((host, end.port), Counter()).update(names)
    return name_services(hosts, asked, hints, given)


def _processes(hosts: Hosts, services: Services) -> tuple[NDArray[np.int64], list[str]]:
    wide = len(services.names)
    pairs = {(host, service) for (host, _), service in services.of_end.items()}
    pairs.update(enumerate(services.of_host))
    names = []
    for host, service in sorted(pairs):
        at, called = hosts.names[host], services.names[service]
        names.append(at if called == at else f"{called}@{at}")
    return np.array([host * wide + service for host, service in sorted(pairs)], np.int64), names


def _operations(survey: Survey, hosts: Hosts, services: Services) -> dict[tuple[int, str, str], int]:
    found: set[tuple[int, str, str]] = set()
    for end, operations in survey.operations.items():
        host = _server_host(hosts, end.capture, end.address)
        service = services.of_end.get((host, end.port), -1)
        found.update((service, end.protocol, operation) for operation in operations)
    return {operation: number for number, operation in enumerate(sorted(found))}


def _watch(knowledge: Knowledge, survey: Survey, connections: pa.Table) -> None:
    """Fill in when each host's own captures saw anything."""
    captures, names = category(connections, "capture")
    closed = integers(connections, "closed_ns")
    for number, capture in enumerate(survey.captures):
        host = knowledge.hosts.of_capture[number]
        moments = survey.moments[number]
        if host < 0 or not len(moments):
            continue
        last_ns = moments.last_ns
        if capture in names:
            last_ns = max(last_ns, int(closed[captures == names.index(capture)].max(initial=-1)))
        span = np.array([moments.first_ns if moments.first_ns >= 0 else NEVER[0], last_ns], np.int64)
        first, last = knowledge.on_time_line(number, span).tolist()
        knowledge.watched[host, 0] = min(int(knowledge.watched[host, 0]), first)
        knowledge.watched[host, 1] = max(int(knowledge.watched[host, 1]), last)


def find_hosts(views: Views, connections: pa.Table, captures: Sequence[CaptureInfo]) -> Hosts:
    """Recognise the hosts by the connections, or by the exchanges where a capture has none."""
    numbers = {capture.name: number for number, capture in enumerate(captures)}
    capture, capture_names = category(connections, "capture")
    client, client_names = category(connections, "client_address")
    server, server_names = category(connections, "server_address")
    addresses = sorted({*views.addresses, *client_names, *server_names})
    place = {address: number for number, address in enumerate(addresses)}

    def renumber(codes: NDArray[np.int32], names: list[str], order: dict[str, int]) -> NDArray[np.int32]:
        return np.array([order[name] for name in names] or [0], dtype=np.int32)[codes]

    seen_capture = renumber(capture, capture_names, numbers)
    without = ~np.isin(views.capture, seen_capture)
    waiting = np.full(len(captures), np.nan)
    complete = (views.request_end >= 0) & (views.response_start >= 0)
    for number in range(len(captures)):
        rows = complete & (views.capture == number)
        if rows.any():
            waiting[number] = np.median(views.response_start[rows] - views.request_end[rows])
    clients = np.concatenate(
        (renumber(client, client_names, place), renumber(views.client[without], views.addresses, place))
    )
    servers = np.concatenate(
        (renumber(server, server_names, place), renumber(views.server[without], views.addresses, place))
    )
    client_ports = np.concatenate((integers(connections, "client_port"), views.client_port[without]))
    server_ports = np.concatenate((integers(connections, "server_port"), views.server_port[without]))
    sightings = Sightings(
        capture=np.concatenate((seen_capture, views.capture[without])),
        client=clients,
        server=servers,
        ends=mix(41, clients, client_ports, servers, server_ports),
        addresses=addresses,
        waiting_ns=waiting,
    )
    return recognise_hosts(sightings, captures, addresses)


def compared_clocks(clocks: Sequence[ClockEstimate], notes: Notes) -> tuple[NDArray[np.int64], list[bool]]:
    """By clock: a number that is equal for clocks that could be compared, and whether it belongs to the largest such set.

    The others are counted in the notes.
    """
    references = sorted({clock.reference for clock in clocks})
    component = np.array([references.index(clock.reference) for clock in clocks], dtype=np.int64)
    if not len(component):
        return component, []
    largest = int(np.argmax(np.bincount(component)))
    comparable = len(clocks) == 1 or int((component == largest).sum()) > 1
    known = [comparable and number == largest for number in component.tolist()]
    for clock, is_known in zip(clocks, known, strict=True):
        if not is_known:
            notes.add(NoteKind.CLOCK_UNKNOWN, clock.host)
    return component, known
