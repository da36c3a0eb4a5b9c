"""Names of services: what a (host, port) that answers is called.

Rules: instances of one role are one service, so the number at the end of a host's name is dropped (shop1, shop2: shop).
A host that answers in several protocols runs several services: what it answers over HTTP keeps the host's name, a
database or cache is called by its protocol. A host without a name is called by what it was asked for (Host header, SNI),
else by its protocol, else by its address. Nothing here depends on the order of the input.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from wiretrace.hosts.views import mix, number_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.hosts.vantage import Hosts

WEB_PROTOCOLS = frozenset({"http", "http1", "http2", "http/1.1", "grpc", "websocket", "tls", ""})
"""Protocols that say nothing of what a service is for."""
INSTANCE_NUMBER = re.compile(r"(?<=[A-Za-z])[-_.]?\d+$")
HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?$")
HINT_ATTRIBUTES = ("server.address", "http.request.header.host", "tls.client.server_name")
HINTED_CALLS = 20
"""Calls of one server that are asked for its name."""


@dataclass(slots=True)
class Services:
    """The services. Shapes of arrays are (calls,)."""

    names: list[str]
    of_client: NDArray[np.int32]
    """Service of the caller: index into `names`; -1: its host is not known."""
    of_server: NDArray[np.int32]
    """Service of the callee, likewise."""
    of_host: list[list[str]]
    """By host: names of the services that it runs, sorted."""


def base_name(host: str) -> str:
    """The role that a host's name tells: the name without the number of the instance."""
    return INSTANCE_NUMBER.sub("", host)


def name_services(
    hosts: Hosts,
    client_host: NDArray[np.int32],
    server_host: NDArray[np.int32],
    server_port: NDArray[np.int64],
    protocol: NDArray[np.int32],
    protocols: Sequence[str],
    attributes: pa.ChunkedArray,
) -> Services:
    """Name the service at both ends of every call. Arrays have shape (calls,); `attributes` holds JSON objects."""
    group, count = number_groups(mix(11, server_host, server_port, protocol))
    order = np.argsort(group, kind="stable")
    begins = np.searchsorted(group[order], np.arange(count + 1))
    first = order[begins[:-1]]
    spoken: dict[int, Counter[str]] = defaultdict(Counter)
    ends: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    hints: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for row, start, stop in zip(first.tolist(), begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        host, end = int(server_host[row]), (int(server_host[row]), int(server_port[row]))
        if host < 0:
            continue
        word = protocols[protocol[row]]
        spoken[host][word] += stop - start
        ends[end][word] += stop - start
        if not hosts.named[host] and word in WEB_PROTOCOLS:
            hints[end].update(name_hints(attributes.take(order[start : min(stop, start + HINTED_CALLS)])))
    service_of = {
        end: name_end(hosts, end[0], ends[end], spoken[end[0]], most_common(hints[end]) if end in hints else "")
        for end in sorted(ends)
    }
    main = {host: main_service(hosts, host, service_of, ends) for host in range(len(hosts.names))}
    names = sorted({*service_of.values(), *main.values()})
    number = {name: position for position, name in enumerate(names)}
    main_numbers = np.array([number[main[host]] for host in range(len(hosts.names))] or [-1], dtype=np.int32)
    of_group = np.array(
        [
            number[service_of[int(server_host[row]), int(server_port[row])]] if server_host[row] >= 0 else -1
            for row in first.tolist()
        ]
        or [-1],
        dtype=np.int32,
    )
    of_host: list[set[str]] = [set() for _ in hosts.names]
    for (host, _), name in service_of.items():
        of_host[host].add(name)
    return Services(
        names=names,
        of_client=np.where(client_host >= 0, main_numbers[np.maximum(client_host, 0)], -1).astype(np.int32),
        of_server=of_group[group] if len(group) else np.zeros(0, dtype=np.int32),
        of_host=[sorted(services) for services in of_host],
    )


def name_end(hosts: Hosts, host: int, here: Counter[str], everywhere: Counter[str], hint: str) -> str:
    """The service behind one port of a host. `here`, `everywhere`: calls by protocol, of the port and of the host."""
    protocol = most_common(here)
    is_web = protocol in WEB_PROTOCOLS
    if hosts.named[host]:
        kinds = {"" if name in WEB_PROTOCOLS else name for name in everywhere}
        return protocol if len(kinds) > 1 and not is_web else base_name(hosts.names[host])
    if not is_web:
        return protocol
    return hint or hosts.names[host]


def main_service(
    hosts: Hosts, host: int, service_of: dict[tuple[int, int], str], ends: dict[tuple[int, int], Counter[str]]
) -> str:
    """The service that makes the calls of a host: its only one, the one that answers over HTTP, or the host's own name."""
    services = {service_of[end] for end in service_of if end[0] == host}
    if len(services) == 1:
        return services.pop()
    web = Counter[str]()
    for end, calls in ends.items():
        if end[0] == host and any(name in WEB_PROTOCOLS for name in calls):
            web[service_of[end]] += calls.total()
    if web:
        return most_common(web)
    return base_name(hosts.names[host]) if hosts.named[host] else hosts.names[host]


def most_common(counts: Counter[str]) -> str:
    """The text that is counted most, the first in alphabetical order of equals; empty where nothing is."""
    return min(counts, key=lambda text: (-counts[text], text), default="")


def name_hints(attributes: pa.ChunkedArray) -> list[str]:
    """The names that these calls asked their server for. Captured text: only what can be a host's name counts."""
    found = []
    for text in attributes.to_pylist():
        try:
            values = msgspec.json.decode(text or "{}")
        except msgspec.DecodeError:
            continue
        if not isinstance(values, dict):
            continue
        for attribute in HINT_ATTRIBUTES:
            name = values.get(attribute)
            if isinstance(name, str) and (name := without_port(name)) and is_host_name(name):
                found.append(name)
                break
    return found


def without_port(authority: str) -> str:
    """The host of ``host:port``, in small letters."""
    host, separator, port = authority.rpartition(":")
    return (host if separator and port.isdigit() else authority).rstrip(".").lower()


def is_host_name(name: str) -> bool:
    """Whether a text is a host's name, and not an address nor the name of every host."""
    if HOST_NAME.match(name) is None or name == "localhost":
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False
