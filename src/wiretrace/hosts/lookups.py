"""Lookups of names, joined to the connections that they were made for.

Rules: a lookup served a connection where the same capture shows the same host opening it to an address of the answer, soon
after the answer came, and no other connection before it to any address of that answer. Nothing is compared but times of
one clock. A question of the same name that was asked beside it (the other family of addresses, a longer name of the search
list) belongs to the same resolution. A resolution of which every question failed is a lookup that failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from wiretrace.hosts.views import category, rank_within
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.hosts.merge import Places
    from wiretrace.hosts.views import Views

PROTOCOL = "dns"
OF_LINK = frozenset({"mdns", "llmnr", "nbns"})
"""Protocols in which the system of a host asks all others on its link, for whatever reason and again and again."""
FAILURES = (Outcome.ERROR, Outcome.SERVER_SILENT)
ADDRESS_TYPES = ("A", "AAAA")
SECOND_NS = 1_000_000_000
LEAST_NS = SECOND_NS
"""An answer serves a connection at least so long after it came, whatever it says of its lifetime, ..."""
MOST_NS = 10 * SECOND_NS
"""... and at most so long: who connects later did not wait for it."""
BESIDE_NS = 100_000_000
"""A resolver asks its next question within this time after the answer before."""
MOST_BESIDE = 64
"""Questions before and behind one that are looked at."""
RESOLUTION_NS = 5 * SECOND_NS
"""Questions of one resolution that wait for silent servers begin at most so far apart."""


class Answers(msgspec.Struct, rename={"name": "dns.question.name", "kind": "wiretrace.dns.question.type"}):
    """What the attributes of a lookup say."""

    name: str = ""
    kind: str = ""
    answers: str = msgspec.field(default="", name="dns.answers")
    """Addresses and names, separated by commas."""
    lifetime: int = msgspec.field(default=-1, name="wiretrace.dns.ttl")
    """Seconds for which they may be kept; -1 where there are none."""

    @property
    def addresses(self) -> list[str]:
        """The addresses among the answers."""
        return [text for text in self.answers.split(", ") if is_address(text)]


@dataclass(slots=True)
class Lookups:
    """Which lookup served whom. Shapes are (views,)."""

    served_by: NDArray[np.int64]
    """Of the first exchange of each connection: the row of the lookup that served the connection; else -1."""
    resolution: NDArray[np.int64]
    """A number that a lookup, the questions beside it, and the exchange that it served have in common; -1: none."""
    failed: NDArray[np.bool_]
    """Whether it is the last question of a resolution of which every question failed."""


def is_address(text: str) -> bool:
    """Whether an answer is an address, and not a name (or a name with a port)."""
    if ":" in text:
        return text.count(":") > 1
    return text.count(".") == 3 and text.replace(".", "").isdigit()


def read_answers(exchanges: pa.Table, kinds: tuple[str, ...] = ADDRESS_TYPES) -> Iterator[tuple[int, Answers]]:
    """The rows of lookups of these kinds among exchanges, with what their attributes say."""
    codes, names = category(exchanges, "protocol")
    if PROTOCOL not in names:
        return
    rows = np.flatnonzero(codes == names.index(PROTOCOL))
    decoder = msgspec.json.Decoder(Answers)
    for row, text in zip(rows.tolist(), exchanges.column("attributes").take(pa.array(rows)).to_pylist(), strict=True):
        try:
            answers = decoder.decode(text or "{}")
        except msgspec.DecodeError:
            continue
        if answers.kind in kinds:
            yield row, answers


def find_lookups(
    exchanges: pa.Table, views: Views, places: Places, opened: NDArray[np.int64], failed: NDArray[np.bool_]
) -> Lookups:
    """Join lookups to connections.

    `exchanges`, `views` and `places` have a row for each view. `opened` (views,) is the raw time of the first packet of its
    connection; -1 where the beginning was not captured. `failed` (views,): whether it failed, as far as its capture tells.
    """
    count = len(views)
    found = Lookups(np.full(count, -1), np.full(count, -1), np.zeros(count, np.bool_))
    told = dict(read_answers(exchanges))
    if not told:
        return found
    # The host where it is known; addresses of others are told apart from hosts by their sign.
    asker = np.where(places.client_host >= 0, places.client_host, -1 - views.client).tolist()
    answered: dict[tuple[int, int, str], list[int]] = {}
    for row in sorted(told, key=lambda row: int(views.response_end[row])):
        if views.request_start[row] >= 0 and views.response_end[row] >= 0:
            for address in told[row].addresses:
                answered.setdefault((int(views.capture[row]), asker[row], address), []).append(row)
    if answered:
        _join(found, views, asker, opened, told, answered)
        _gather(found, views, asker, told)
    _judge(found, views, asker, told, failed)
    return found


def _join(
    found: Lookups,
    views: Views,
    asker: list[int],
    opened: NDArray[np.int64],
    told: dict[int, Answers],
    answered: dict[tuple[int, int, str], list[int]],
) -> None:
    """Give each lookup to the first connection that it served. Lists in `answered` are in the order of their answers."""
    moment = np.where(views.request_start >= 0, views.request_start, views.response_start)
    first = (rank_within(views.connection, moment, np.arange(len(views))) == 0) & (opened >= 0)
    first[list(told)] = False
    addresses = {address for _, _, address in answered}
    wanted = np.array([address in addresses for address in views.addresses], np.bool_)
    rows = np.flatnonzero(first & wanted[views.server])
    ends = {key: views.response_end[lookups] for key, lookups in answered.items()}
    taken: set[int] = set()
    for row in rows[np.lexsort((rows, opened[rows]))].tolist():
        key = int(views.capture[row]), asker[row], views.addresses[int(views.server[row])]
        if key not in answered:
            continue
        behind = int(np.searchsorted(ends[key], opened[row], "right"))
        for lookup in reversed(answered[key][max(behind - MOST_BESIDE, 0) : behind]):
            reach = min(max(LEAST_NS, told[lookup].lifetime * SECOND_NS), MOST_NS)
            if lookup not in taken and opened[row] - views.response_end[lookup] <= reach:
                taken.add(lookup)
                found.served_by[row] = found.resolution[row] = found.resolution[lookup] = lookup
                break


def _gather(found: Lookups, views: Views, asker: list[int], told: dict[int, Answers]) -> None:
    """Add the questions that were asked beside those that served a connection."""
    by_asker: dict[tuple[int, int], list[int]] = {}
    for row in sorted(told, key=lambda row: (int(views.request_start[row]), row)):
        by_asker.setdefault((int(views.capture[row]), asker[row]), []).append(row)
    for rows in by_asker.values():
        starts = views.request_start[rows]
        for at, row in enumerate(rows):
            if found.resolution[row] != row:
                continue
            name, start = told[row].name, int(views.request_start[row])
            behind = int(np.searchsorted(starts, views.response_end[row], "right"))
            for other in rows[max(at - MOST_BESIDE, 0) : min(behind, at + MOST_BESIDE)]:
                before = start - max(int(views.response_end[other]), int(views.request_start[other]))
                if found.resolution[other] < 0 and before <= BESIDE_NS and _same_resolution(name, told[other].name):
                    found.resolution[other] = row


def _same_resolution(name: str, other: str) -> bool:
    """Whether a question for `other` may belong to the resolution of `name`: it is equal, or longer by a search domain."""
    return other == name or other.startswith(name.rstrip(".") + ".")


def _judge(found: Lookups, views: Views, asker: list[int], told: dict[int, Answers], failed: NDArray[np.bool_]) -> None:
    """Mark the last questions of resolutions that failed.

    A search list asks for longer names of one first label: as long as one of them has just been asked for beside, or is
    asked for next, or brought an address, nothing is said of the others.
    """
    groups: dict[tuple[int, int, str], list[int]] = {}
    for row in sorted(told, key=lambda row: (int(views.request_start[row]), row)):
        if views.request_start[row] >= 0:
            key = int(views.capture[row]), asker[row], told[row].name.partition(".")[0].lower()
            groups.setdefault(key, []).append(row)
    for rows in groups.values():
        starts = views.request_start[rows]
        for at, row in enumerate(rows):
            if not failed[row]:
                continue
            start, ended = int(views.request_start[row]), int(views.response_end[row])
            until = ended + BESIDE_NS if ended >= 0 else start + RESOLUTION_NS
            first = int(np.searchsorted(starts, start - BESIDE_NS))
            last = int(np.searchsorted(starts, until, "right"))
            beside = range(max(first, at - MOST_BESIDE), min(last, at + MOST_BESIDE))
            resolved = any(not failed[rows[other]] and told[rows[other]].addresses for other in beside)
            question = told[row].name, told[row].kind
            goes_on = any(
                (told[rows[other]].name, told[rows[other]].kind) != question for other in beside if other > at
            )
            found.failed[row] = not (resolved or goes_on)


def brought_nothing(exchanges: pa.Table) -> NDArray[np.bool_]:
    """(exchanges,): whether each failed in a way in which lookups fail, as far as its capture tells."""
    codes, names = category(exchanges, "outcome")
    failures = [number for number, name in enumerate(names) if name in FAILURES]
    return np.isin(codes, failures)


def is_lookup(exchanges: pa.Table) -> NDArray[np.bool_]:
    """(exchanges,): whether each looks up a name."""
    return _speaks(exchanges, frozenset({PROTOCOL}))


def is_of_link(exchanges: pa.Table) -> NDArray[np.bool_]:
    """(exchanges,): whether each asks or tells everybody on the link a name."""
    return _speaks(exchanges, OF_LINK)


def _speaks(exchanges: pa.Table, protocols: frozenset[str]) -> NDArray[np.bool_]:
    """(exchanges,): whether the protocol of each is one of `protocols`."""
    codes, names = category(exchanges, "protocol")
    return np.isin(codes, [number for number, name in enumerate(names) if name in protocols])
