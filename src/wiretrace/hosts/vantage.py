"""Which host recorded each capture, and which addresses are that host's.

Rules: in a capture of one host, one address (of each family) takes part in every connection. Where two do, because all
connections run between the same two hosts, other captures decide, then the waiting times: a request and its response lie
further apart at the client than at the server. A capture of a bridge, a mirror port or several hosts has no host of its
own: every address in it is a host of its own. Loopback addresses belong to the host that recorded them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

NO_HOST = -1
"""Stands for: the capture was not recorded by one end of its connections."""
COVERAGE = 0.98
"""Share of the connections of a capture that its host takes part in; the rest is stray broadcast."""
ADDRESSES_OF_HOST = 2
"""Addresses of one family that one MAC address carries where it is that of a host. In a capture of a single host only one
is believed: there a virtual network's gateway, which leaves the time to live alone, stands for all others."""
FILE_SUFFIX = re.compile(r"(?:\.(?:pcap|pcapng|cap|gz|zst|xz|lz4|bz2))+$")
NOT_A_HOST = re.compile(
    r"(?:any|all|bridge|mirror|span|switch|tap|capture|dump|trace|packets|test)(?:[-_.]?\d+)?"
    r"|(?:lo|br|eth|ens|enp|wlan|docker|veth)(?:[-_.]?\d\w*)?|(?:br-|veth)\w+",
    re.IGNORECASE,
)
"""Names of captures that name an interface or nothing at all."""


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What is known of a capture besides its packets."""

    name: str
    """Name of the vantage point, as in the column `capture`."""
    host: str = ""
    """Host that recorded it, where the capture says so."""
    addresses: tuple[str, ...] = ()
    """Addresses of that host, where the capture says so."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names by address, from name records."""
    hardware: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By address: the MAC addresses that its packets carried when they came straight from it, with counts of samples."""
    dropped: int = -1
    """Packets that the capturing host says it dropped; -1 where it does not say."""


@dataclass(slots=True)
class Hosts:
    """The hosts. Host i is ``names[i]``; the lists have the same length."""

    names: list[str] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    """Whether the name is more than the host's address."""
    addresses: list[list[str]] = field(default_factory=list)
    """Without loopback."""
    captures: list[list[str]] = field(default_factory=list)
    of_capture: list[int] = field(default_factory=list)
    """By capture: the host that recorded it, or NO_HOST."""
    of_loopback: list[int] = field(default_factory=list)
    """By capture: the host whose loopback addresses it shows, or NO_HOST where it shows none."""
    of_address: dict[str, int] = field(default_factory=dict)
    """By address, without loopback."""

    def add(self, name: str, named: bool) -> int:
        """A new host; returns its number."""
        self.names.append(name)
        self.named.append(named)
        self.addresses.append([])
        self.captures.append([])
        return len(self.names) - 1

    def own(self, host: int, address: str) -> None:
        """Give an address to a host, unless it has one already."""
        if address not in self.of_address:
            self.of_address[address] = host
            self.addresses[host].append(address)


@dataclass(slots=True)
class Sightings:
    """Which addresses each capture saw talk to each other. Arrays have one entry a connection, shape (n,)."""

    capture: NDArray[np.int32]
    client: NDArray[np.int32]
    """Index into `addresses`."""
    server: NDArray[np.int32]
    ends: NDArray[np.uint64]
    """A hash of both ends with their ports, equal where two captures saw the same connection."""
    addresses: list[str]
    waiting_ns: NDArray[np.float64]
    """Shape (captures,): median time from a request to its response; NaN where there is none."""


def is_loopback(address: str) -> bool:
    """Whether an address never leaves its host."""
    if not address.startswith(("127.", "::")):
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def is_group(address: str) -> bool:
    """Whether an address means several hosts, or none yet: multicast, broadcast (by its looks), unspecified."""
    if address.startswith(("ff", "FF")):
        return True
    if address in ("::", "0.0.0.0", "255.255.255.255") or address.endswith(".255"):
        return True
    first, dot, _ = address.partition(".")
    return bool(dot) and first.isdigit() and 224 <= int(first) <= 239


def own_addresses(sightings: Sightings, captures: Sequence[CaptureInfo]) -> list[set[str] | None]:
    """By capture: the addresses of the host that recorded it; None where it has no single host.

    IPv4 and IPv6 are looked at on their own. A family in which no address takes part in every connection shows a capture
    between hosts; one in which two do is decided by what is known of the rest.
    """
    loopback = np.array([is_loopback(address) for address in sightings.addresses], dtype=bool)
    version6 = np.array([":" in address for address in sightings.addresses], dtype=bool)
    own: list[set[str]] = []
    between: set[int] = set()
    pairs: dict[tuple[int, bool], tuple[str, str]] = {}
    for number, capture in enumerate(captures):
        own.append({address for address in capture.addresses if not is_loopback(address)})
        rows = np.flatnonzero(sightings.capture == number)
        if own[number] or not len(rows):
            continue
        client, server = sightings.client[rows], sightings.server[rows]
        outside = ~loopback[client]
        client, server = client[outside], server[outside]
        for family in (False, True):
            of_family = version6[client] == family
            if of_family.sum() <= (1 - COVERAGE) * len(client):
                continue
            shared = everywhere(client[of_family], server[of_family], len(sightings.addresses))
            if len(shared) == 1:
                own[number].add(sightings.addresses[shared[0]])
            elif len(shared) == 2:
                pairs[number, family] = (sightings.addresses[shared[0]], sightings.addresses[shared[1]])
            else:
                between.add(number)
    for number in between:
        own[number].clear()
    pairs = {key: pair for key, pair in pairs.items() if key[0] not in between}
    undecided = {number for number, _ in pairs}
    resolve_pairs(own, pairs, sightings, captures)
    return [
        None if number in between or (number in undecided and not own[number]) else own[number]
        for number in range(len(captures))
    ]


def everywhere(client: NDArray[np.int32], server: NDArray[np.int32], addresses: int) -> list[int]:
    """The addresses that take part in most of these connections, and in nearly all, in order of their numbers."""
    part = np.bincount(client, minlength=addresses) + np.bincount(server, minlength=addresses)
    part -= np.bincount(client[client == server], minlength=addresses)
    return [int(address) for address in np.flatnonzero(part >= max(COVERAGE * len(client), part.max(initial=1)))]


def resolve_pairs(
    own: list[set[str]],
    pairs: dict[tuple[int, bool], tuple[str, str]],
    sightings: Sightings,
    captures: Sequence[CaptureInfo],
) -> None:
    """Decide the captures in which all connections of a family run between the same two addresses. Changes `own`."""
    open_pairs = dict(pairs)
    names = {address: name for capture in captures for address, name in capture.names.items()}
    for (number, family), pair in pairs.items():
        label = captures[number].host or FILE_SUFFIX.sub("", captures[number].name)
        spoken = [address for address in pair if names.get(address) == label]
        if len(spoken) == 1:
            own[number].add(spoken[0])
            del open_pairs[number, family]
    progress = True
    while progress:
        progress = False
        for (number, family), pair in list(open_pairs.items()):
            taken = {address for other, addresses in enumerate(own) if other != number for address in addresses}
            free = [address for address in pair if address not in taken]
            if len(free) == 1:
                own[number].add(free[0])
                del open_pairs[number, family]
                progress = True
    for pair in sorted(set(open_pairs.values())):
        together = [number for (number, _), other in open_pairs.items() if other == pair]
        for number, is_asking in tell_apart(together, sightings).items():
            client_first = np.mean(
                sightings.client[np.isin(sightings.capture, together)] == sightings.addresses.index(pair[0])
            )
            own[number].add(pair[0] if is_asking == (client_first >= 0.5) else pair[1])


def tell_apart(together: list[int], sightings: Sightings) -> dict[int, bool]:
    """Of captures of the same connections: whether each was recorded by the end that asks, which waits longer.

    Nothing where they did not see the same connections, or waited equally long.
    """
    waiting = sightings.waiting_ns[together]
    if len(together) < 2 or np.isnan(waiting).any() or waiting.max() == waiting.min():
        return {}
    first_seen = sightings.ends[sightings.capture == together[0]]
    if not all(np.isin(sightings.ends[sightings.capture == number], first_seen).any() for number in together):
        return {}
    middle = (waiting.max() + waiting.min()) / 2
    return {number: bool(wait > middle) for number, wait in zip(together, waiting, strict=True)}


def recognise_hosts(sightings: Sightings, captures: Sequence[CaptureInfo], addresses: Iterable[str]) -> Hosts:
    """All hosts: those that recorded captures first, then one for every other address, in the order given."""
    hosts = Hosts()
    names: dict[str, str] = {}
    for capture in captures:
        for address, name in capture.names.items():
            names.setdefault(address, name)
    own = own_addresses(sightings, captures)
    loopback = {number for number, address in enumerate(sightings.addresses) if is_loopback(address)}
    by_label: dict[str, int] = {}
    for number, capture in enumerate(captures):
        addresses_of = own[number]
        label = capture.host or host_label(capture.name)
        sees_loopback = bool(
            np.isin(sightings.client[sightings.capture == number], np.fromiter(loopback, dtype=np.int64)).any()
        )
        alone = addresses_of is not None and (bool(addresses_of) or sees_loopback or bool(capture.host))
        host = NO_HOST
        if alone or sees_loopback:
            known = [hosts.of_address[address] for address in sorted(addresses_of or ()) if address in hosts.of_address]
            host = known[0] if known else by_label.get(label, NO_HOST)
            if host == NO_HOST:
                spoken = next((names[address] for address in sorted(addresses_of or ()) if address in names), "")
                address = min(addresses_of) if addresses_of else capture.name
                host = hosts.add(label or spoken or address, bool(label or spoken))
            if label:
                by_label.setdefault(label, host)
            hosts.captures[host].append(capture.name)
            for address in sorted(addresses_of or ()):
                hosts.own(host, address)
        hosts.of_capture.append(host if alone else NO_HOST)
        hosts.of_loopback.append(host)
    for host, name in enumerate(hosts.names):
        by_label.setdefault(name, host)
    together = same_hardware(captures, [addresses_of is not None for addresses_of in own])
    for address in addresses:
        if address in hosts.of_address or is_loopback(address):
            continue
        siblings = sorted(together.get(address, ()))
        name = next((names[each] for each in (address, *siblings) if each in names), "")
        host = by_label.get(name, NO_HOST) if name else NO_HOST
        if host == NO_HOST:
            host = next((hosts.of_address[each] for each in siblings if each in hosts.of_address), NO_HOST)
        if host == NO_HOST:
            host = hosts.add(name or address, bool(name))
            if name:
                by_label[name] = host
        hosts.own(host, address)
    make_unique(hosts)
    return hosts


def same_hardware(captures: Sequence[CaptureInfo], of_one_host: Sequence[bool]) -> dict[str, set[str]]:
    """By address: the addresses that share a MAC address with it, in captures that show it to be that of one host.

    `of_one_host`: by capture, whether it was recorded by one end of its connections.

    A router, a proxy of ARP and a virtual host with many tenants carry more addresses than a host does, and are not
    believed; nor is an address that more than one MAC address claims.
    """
    together: dict[str, set[str]] = {}
    for capture, alone in zip(captures, of_one_host, strict=True):
        most = 1 if alone else ADDRESSES_OF_HOST
        carried: dict[str, set[str]] = {}
        for address, known in capture.hardware.items():
            if len(known) == 1 and not is_loopback(address) and not is_link_local(address):
                carried.setdefault(next(iter(known)), set()).add(address)
        crowded = {mac for known in capture.hardware.values() if len(known) > 1 for mac in known}
        for mac, shared in carried.items():
            families = [sum((":" in address) == version6 for address in shared) for version6 in (False, True)]
            if mac not in crowded and max(families) <= most:
                for address in shared:
                    together.setdefault(address, set()).update(shared - {address})
    return together


def is_link_local(address: str) -> bool:
    """Whether an address means something on its own link only (RFC 3927, RFC 4291 section 2.5.6)."""
    return address.startswith(("169.254.", "fe8", "fe9", "fea", "feb"))


def host_label(capture: str) -> str:
    """The host that the name of a capture names; empty if it names none."""
    label = FILE_SUFFIX.sub("", capture)
    return "" if NOT_A_HOST.fullmatch(label) else label


def make_unique(hosts: Hosts) -> None:
    """Two hosts never have one name: the later one's is followed by its address."""
    seen: set[str] = set()
    for host, name in enumerate(hosts.names):
        if name in seen:
            suffix = hosts.addresses[host][0] if hosts.addresses[host] else str(host)
            hosts.names[host] = f"{name} ({suffix})"
        seen.add(hosts.names[host])
