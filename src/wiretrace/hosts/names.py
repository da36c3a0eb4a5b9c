"""Names of services: what a (host, port) that answers is called.

Rules: instances of one role are one service, so the number at the end of a host's name is dropped (shop1, shop2: shop).
A host that answers in several protocols runs several services: what it answers over HTTP keeps the host's name, a
database or cache is called by its protocol. A host without a name is called by what it was asked for (Host header, SNI),
else by the name whose lookup led to it, else by its protocol, else by its address. Where all that is known of a port is that
connections to it failed, its number says what usually answers there, and the name says that it is told by that. Nothing here
depends on the order of the input.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.hosts.vantage import Hosts

WEB_PROTOCOLS = frozenset({"http", "http1", "http2", "http/1.1", "grpc", "websocket", "tls", ""})
"""Protocols that say nothing of what a service is for."""
ATTEMPT = "tcp"
"""Protocol of a connection that came to nothing: what would have been spoken is not on the wire."""
USUAL_PORTS = {
    25: "smtp", 53: "dns", 389: "ldap", 587: "smtp", 1433: "tds", 1521: "tns", 1883: "mqtt", 3306: "mysql", 4222: "nats",
    5432: "postgresql", 5672: "amqp", 6379: "redis", 6432: "postgresql", 9042: "cassandra", 9092: "kafka",
    11211: "memcached", 27017: "mongodb",
}  # fmt: skip
"""What usually answers at a port: IANA's registry of service names (RFC 6335), and the defaults of pgbouncer and Kafka."""
INSTANCE_NUMBER = re.compile(r"(?<=[A-Za-z])[-_.]?\d+$")
HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?$")
HINT_ATTRIBUTES = ("server.address", "http.request.header.host", "tls.client.server_name")
HINTED_CALLS = 20
"""Calls of one server that are asked for its name."""
PORTS = 1 << 16
"""Ports of a host."""


@dataclass(slots=True)
class Services:
    """The services, by the hosts that run them."""

    names: list[str]
    of_end: dict[tuple[int, int], int]
    """By host and port: the service that answers there, index into `names`."""
    of_host: list[int]
    """By host: the service that makes its calls."""
    run_by: list[list[str]]
    """By host: names of the services that it runs, sorted."""

    def of_callers(self, host: NDArray[np.int32]) -> NDArray[np.int32]:
        """The service of the caller of each call, by its host; -1 where that is not known. Shapes (calls,)."""
        of_host = np.array([*self.of_host, -1], np.int32)
        return of_host[np.where(host >= 0, host, -1)]

    def of_callees(self, host: NDArray[np.int32], port: NDArray[np.int64]) -> NDArray[np.int32]:
        """The service of the callee of each call, by its host and port; -1 where that is not known. Shapes (calls,)."""
        known = sorted(self.of_end)
        keys = np.array([at * PORTS + number for at, number in known] or [-1], np.int64)
        services = np.array([self.of_end[end] for end in known] or [-1], np.int32)
        wanted = host.astype(np.int64) * PORTS + port
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, services[place], -1).astype(np.int32)


def base_name(host: str) -> str:
    """The role that a host's name tells: the name without the number of the instance."""
    return INSTANCE_NUMBER.sub("", host)


def name_services(
    hosts: Hosts,
    asked: Mapping[tuple[int, int, str], int],
    hints: Mapping[tuple[int, int], Counter[str]],
    looked_up: Mapping[str, Counter[str]],
    given: Mapping[str, str] | None = None,
) -> Services:
    """Name the services of all hosts.

    `asked` says how often each host was asked for anything at a port and in a protocol, `hints` by which names the
    servers of the web were asked for, `looked_up` which names led to an
    address. `given` are the user's own names by host, address, or either with a port: they outrank what is found out.
    """
    names_of = [looked_up_name(addresses, looked_up) for addresses in hosts.addresses]
    spoken: dict[int, Counter[str]] = defaultdict(Counter)
    ends: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for (host, port, protocol), count in asked.items():
        ends[host, port][protocol] += count
    for (host, port), calls in ends.items():
        attempts = calls.pop(ATTEMPT, 0)
        if not calls:
            calls[f"{USUAL_PORTS[port]} (by port)" if port in USUAL_PORTS else ""] = attempts
        spoken[host].update(calls)
    service_of = {
        end: name_end(
            hosts, end[0], ends[end], spoken[end[0]], most_common(hints.get(end, Counter())), names_of[end[0]]
        )
        for end in sorted(ends)
    }
    given = given or {}
    service_of |= {end: name for end in service_of if (name := given_name(hosts, given, *end))}
    own: list[list[tuple[str, Counter[str]]]] = [[] for _ in hosts.names]
    for end, name in service_of.items():
        own[end[0]].append((name, ends[end]))
    main = [given_name(hosts, given, host) or main_service(hosts, host, own[host]) for host in range(len(hosts.names))]
    names = sorted({*service_of.values(), *main})
    number = {name: position for position, name in enumerate(names)}
    run_by: list[set[str]] = [set() for _ in hosts.names]
    for (host, _), name in service_of.items():
        run_by[host].add(name)
    return Services(
        names=names,
        of_end={end: number[name] for end, name in service_of.items()},
        of_host=[number[name] for name in main],
        run_by=[sorted(services) for services in run_by],
    )


def looked_up_name(addresses: Sequence[str], looked_up: Mapping[str, Counter[str]]) -> str:
    """The name that was looked up most for the addresses of a host; empty where none was."""
    counts = Counter[str]()
    for address in addresses:
        counts.update(looked_up.get(address, {}))
    return most_common(counts)


def name_peers(hosts: Hosts, looked_up: Mapping[str, Counter[str]]) -> None:
    """Call hosts without a name by the only name that was looked up for them, where it led to no other host."""
    taken = set(hosts.names)
    found: dict[str, list[int]] = defaultdict(list)
    for host, addresses in enumerate(hosts.addresses):
        names = {name for address in addresses for name in looked_up.get(address, ())}
        for name in names if len(names) == 1 else ():
            found[name].append(host)
    for name, of_name in found.items():
        if len(of_name) == 1 and not hosts.named[of_name[0]] and name not in taken:
            hosts.names[of_name[0]] = name
            taken.add(name)


def name_end(hosts: Hosts, host: int, here: Counter[str], everywhere: Counter[str], hint: str, looked_up: str) -> str:
    """The service behind one port of a host. `here`, `everywhere`: calls by protocol, of the port and of the host."""
    protocol = most_common(here)
    is_web = protocol in WEB_PROTOCOLS
    if hosts.named[host]:
        kinds = {"" if name in WEB_PROTOCOLS else name for name in everywhere}
        return protocol if len(kinds) > 1 and not is_web else base_name(hosts.names[host])
    if not is_web:
        return protocol if protocol == "dns" else looked_up or protocol
    return hint or looked_up or hosts.names[host]


def given_name(hosts: Hosts, given: Mapping[str, str], host: int, port: int | None = None) -> str:
    """What the user calls the service of a host, or behind one of its ports; empty where nothing is said of it."""
    known = (hosts.names[host], *hosts.addresses[host])
    if port is not None:
        for name in known:
            written = (f"{name}:{port}", f"[{name}]:{port}")
            if found := given.get(written[0]) or given.get(written[1]):
                return found
    return next((given[name] for name in known if name in given), "")


def main_service(hosts: Hosts, host: int, ends: Sequence[tuple[str, Counter[str]]]) -> str:
    """The service that makes the calls of a host: its only one, the one that answers over HTTP, or the host's own name.

    `ends` are the services behind its ports, with the calls of each by protocol.
    """
    services = {name for name, _ in ends}
    if len(services) == 1:
        return services.pop()
    web = Counter[str]()
    for name, calls in ends:
        if any(protocol in WEB_PROTOCOLS for protocol in calls):
            web[name] += calls.total()
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
