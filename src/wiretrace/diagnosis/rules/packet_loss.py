"""packet-loss: segments between two hosts, or to and from one, are lost and sent again.

Rules: what is lost is counted by connections (see `losses`), what that costs by calls. A way is told of where its losses
are many by themselves, or far more than elsewhere; whose side it is, the ways of a host to all others say together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Felt, Told, harm
from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.losses import losses_of
from wiretrace.diagnosis.names import Names
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.statistics import table_p
from wiretrace.diagnosis.symptoms import LARGE_SHARE
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, duration, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.losses import Losses
    from wiretrace.diagnosis.portion import Portion

FEWEST = 5
"""Segments of a way that are lost, at least."""
MANY = 0.01
"""Share of lost segments that is told wherever it is seen. A request of twenty calls has some forty segments: so a third of
the requests wait, five times as long as without loss in the mean, because a small exchange has nothing behind it that would
show the loss, and waits for a timer (T. Flach et al., "Reducing Web Latency: the Virtue of Gentle Aggression", 2013)."""
SOME = 0.001
"""Share that is told where it is far more than between other hosts: one request of twenty calls in 25 waits for it."""
TIMES_MORE = 5.0
"""It is far more where it is so many times as much, ..."""
SURE = 1e-4
"""... and the probability, over all pairs of hosts, that this is an accident is below that."""
MOSTLY = 0.9
"""Share of the lost segments that go one way where the other way is not worth naming."""
ENOUGH = 2 * FEWEST
"""Losses that a way would show, had it as many as the others of its host: without any of them, it is well."""
LOSSY_TO_WELL = 3
"""A host loses segments where so many of its ways do for each that does not."""
SOONEST_NS = 1_000_000
"""Where nearly all repetitions follow sooner, nobody waited for them. A sender learns of a loss no sooner than after a round
trip, and mostly after a timer of a second, or 200 ms in many systems (RFC 6298 section 2.4), or of two round trips (RFC 8985
section 7.2): what comes at once is more likely what a recorder saw twice."""
MOST_TOLD = 8
"""Hosts and pairs that are told."""


@dataclass(slots=True)
class Side:
    """Segments that go one way, summed up."""

    sent: int
    lost: int
    needless: int
    again: int
    missed: int

    @property
    def wrong(self) -> int:
        """Those that were, or may have been, lost."""
        return self.lost + self.again

    def __add__(self, other: Side) -> Side:
        return Side(
            self.sent + other.sent,
            self.lost + other.lost,
            self.needless + other.needless,
            self.again + other.again,
            self.missed + other.missed,
        )


@dataclass(slots=True)
class Suspect:
    """What is told of: the ways between two hosts, or those of one host to all others."""

    host: int
    """The host, or one of the two."""
    peer: int
    """The other one; -1 for all others."""
    there: Side
    """What goes to `host`."""
    back: Side
    """What goes from it."""
    rest: Side
    """What goes any other way."""


class PacketLoss(Rule):
    """Ways on which segments are lost."""

    code = "packet-loss"
    title = "Segments are lost on the way"
    page = Page(
        finds="A pair of hosts between which TCP segments are lost, or a host that loses them to and from most of its "
        "peers: at least one in a hundred, or one in a thousand and far more than between other hosts. A segment that its "
        "sender sent again, and that came to its receiver once, was lost on the way; one that came twice was sent again "
        "needlessly, because its acknowledgement was lost or the sender did not wait long enough. Where only one end was "
        "captured, these can not be told apart, and the finding says so. What the recorder itself dropped is not counted.",
        matters="A call is small: nothing behind a lost segment shows the sender that it is lost, so that it waits for a "
        "timer, 200 ms or a second, while both services are idle and look fast. The more calls a request makes, the "
        "likelier that it waits. No service is to blame: a link, a cable, a network card, a full queue or a rate limit is.",
        confirm="Look at the connections: 'wiretrace query CASE \"SELECT * FROM connections ORDER BY "
        "retransmitted_segments DESC\"'. On the hosts, 'ip -s link', 'ethtool -S' and 'nstat -az TcpRetransSegs' count "
        "errors, drops and repetitions; so does the port of the switch.",
        false_alarm="With one end captured, where a host acknowledges late or a timer is too short, so that segments are "
        "sent again that had arrived. Where a recorder took packets twice, on two interfaces of a host, and nothing in "
        "them tells that: copies follow at once, so that nobody waits, and nothing is told where nearly all come within a "
        "millisecond. One in a hundred is usual on radio links and on the way to clients far away. With segmentation "
        "offload a capture shows fewer and longer segments than the wire, so that the share looks larger than it is.",
    )

    def claims(self) -> Iterator[Claim]:
        """One claim for each host that loses segments, then for each pair whose hosts are well otherwise."""
        losses = losses_of(self.whole.case)
        machine_of_place = self._machines_of_places(losses)
        for suspect in islice(find_suspects(losses), MOST_TOLD):
            yield self._claim(suspect, losses, machine_of_place)

    def _machines_of_places(self, losses: Losses) -> NDArray[np.int64]:
        """Number in `losses.machines` of each place, or a number behind all of these."""
        machines = Names[str]()
        for name in losses.machines:
            machines.code(name)
        return np.array([machines.code(place.machine) for place in self.whole.vocabulary.places], np.int64)

    def _claim(self, suspect: Suspect, losses: Losses, machine_of_place: NDArray[np.int64]) -> Claim:
        whole, name = self.whole, losses.machines[suspect.host]
        waits, felt, through = Distributions(), Felt(), [0]

        def gather(portion: Portion, evidence: Evidence) -> None:
            ends = machine_of_place[portion.caller_place], machine_of_place[portion.callee_place]
            is_here = (ends[0] == suspect.host) | (ends[1] == suspect.host)
            is_here &= ends[0] != ends[1] if suspect.peer < 0 else (ends[0] == suspect.peer) | (ends[1] == suspect.peer)
            through[0] += int(is_here.sum())
            waited = is_here & (portion.stalled > 0)
            places = np.flatnonzero(is_here & (waited | portion.sent_again))
            evidence.add(portion, places, -portion.stalled[places])
            stalled = portion.stalled[waited]
            waits.add(np.zeros(len(stalled), np.int64), stalled)
            felt.add(portion, np.flatnonzero(waited & _costs(portion)))

        def tell(evidence: Evidence) -> Told | None:
            stalls = waits.of(0) if waits.counts(1)[0] else None
            if stalls is not None and stalls.percentile(95) < SOONEST_NS:
                return None
            cost = f"{evidence.occurrences:,} of {counted(through[0], 'call')} on this way were touched"
            if stalls is None:
                cost += "; none of them waited for it."
            else:
                cost += (
                    f"; {stalls.total:,} of them waited for a repetition, {duration(stalls.median)} in the middle and "
                    f"{duration(stalls.percentile(95))} at the 95th percentile; "
                    f"{counted(felt.requests, 'request')} became slow or failed by it."
                )
            where = f"the network of {name}" if suspect.peer < 0 else f"the network between {_pair(suspect, losses)}"
            return Told(
                min(felt.harm(whole, through[0]), harm(whole, felt.failed), key=list(Severity).index),
                _title(suspect, losses),
                f"{_figures(suspect, losses)} {cost}",
                f"Look at {where}: errors and drops of interfaces ('ip -s link', 'ethtool -S') and of the ports of "
                f"switches. {whole.show_step(evidence.first)}",
            )

        if suspect.peer < 0:
            return Claim((ComponentKind.HOST, name), tell, gather)
        return Claim((ComponentKind.EDGE, _pair(suspect, losses, " ↔ ")), tell, gather)


def _costs(portion: Portion) -> NDArray[np.bool_]:
    """Which calls lost a good part of what their requests lost, or waited and failed as their requests did. Shape (n,)."""
    request = portion.request
    late = portion.duration[request] - portion.whole.usual.typical[portion.kind[request]]
    is_large = portion.stalled >= np.maximum(LARGE_SHARE * late, 1)
    has_failed = portion.not_ok & (portion.stalled >= SOONEST_NS)
    costs: NDArray[np.bool_] = np.where(portion.failed[request], has_failed, is_large)
    return costs


def find_suspects(losses: Losses) -> Iterator[Suspect]:
    """Whom to tell of: hosts that most of their ways lose segments of, by how many these are, then what is left of pairs."""
    pairs = _Pairs(losses)
    lossy = pairs.lossy()
    left = lossy.copy()
    hosts = np.zeros(len(losses.machines), np.bool_)
    while left.any():
        ways = np.bincount(np.concatenate([pairs.low[left], pairs.high[left]]), minlength=len(hosts))
        counts = [int(host) for host in np.argsort(-ways, kind="stable") if ways[host] > 1]
        host = next((each for each in counts if not hosts[each] and pairs.is_of_host(each, lossy)), -1)
        if host < 0:
            break
        hosts[host] = True
        left &= (pairs.low != host) & (pairs.high != host)
        yield pairs.suspect(host, -1)
    for pair in np.flatnonzero(left)[np.argsort(-pairs.wrong[left], kind="stable")].tolist():
        yield pairs.suspect(int(pairs.low[pair]), int(pairs.high[pair]))


class _Pairs:
    """Both directions between each two hosts. Arrays have shape (pairs,)."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        machines = max(len(losses.machines), 1)
        low, high = np.minimum(losses.sender, losses.receiver), np.maximum(losses.sender, losses.receiver)
        code, self._pair_of_way = np.unique(low * machines + high, return_inverse=True)
        self.low, self.high = code // machines, code % machines
        way_wrong = losses.lost + losses.again
        self.wrong, self.sent = self._sums(way_wrong), self._sums(losses.sent)
        self._ways = way_wrong, losses.sent
        self._of_host = [
            np.bincount(self.low, each, machines) + np.bincount(self.high, each, machines)
            for each in (self.wrong, self.sent)
        ]

    def _sums(self, of_ways: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(self._pair_of_way, of_ways, len(self.low)).astype(np.int64)

    def lossy(self) -> NDArray[np.bool_]:
        """Which pairs lose so much, in one direction or in both together, that it is told."""
        found = self._judged(self.wrong, self.sent, np.arange(len(self.low)))
        of_ways = self._judged(*self._ways, self._pair_of_way)
        found[self._pair_of_way[of_ways]] = True
        return found

    def _judged(self, wrong: NDArray[np.int64], sent: NDArray[np.int64], pair: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The same of segments that belong to pairs, as `pair` says. Shapes (n,)."""
        share = wrong / np.maximum(sent, 1)
        found = (wrong >= FEWEST) & (share >= MANY)
        rest = [
            whole.sum() - of_host[self.low[pair]] - of_host[self.high[pair]] + whole[pair]
            for whole, of_host in zip((self.wrong, self.sent), self._of_host, strict=True)
        ]
        # With little to compare it with, one in a thousand counts as usual.
        usual = (rest[0] + 1) / (rest[1] + 1 / SOME)
        for one in np.flatnonzero((wrong >= FEWEST) & (share >= np.maximum(SOME, TIMES_MORE * usual)) & ~found):
            table = np.array([[wrong[one], sent[one] - wrong[one]], [rest[0][one] + 1, rest[1][one] + 1 / SOME]])
            found[one] = table_p(table.astype(np.int64)) * len(self.low) < SURE
        return found

    def is_of_host(self, host: int, lossy: NDArray[np.bool_]) -> bool:
        """Whether most ways of a host that carry enough to tell lose segments."""
        mine = (self.low == host) | (self.high == host)
        bad = mine & lossy
        share = self.wrong[bad].sum() / max(self.sent[bad].sum(), 1)
        well = mine & ~lossy & (self.sent * share >= ENOUGH)
        return int(bad.sum()) >= LOSSY_TO_WELL * int(well.sum())

    def suspect(self, host: int, peer: int) -> Suspect:
        """A host, or a pair of hosts, in figures."""
        losses = self._losses
        of_host = [losses.receiver == host, losses.sender == host]
        if peer >= 0:
            of_host = [of_host[0] & (losses.sender == peer), of_host[1] & (losses.receiver == peer)]
        is_foreign = ~(of_host[0] | of_host[1])
        columns = losses.sent, losses.lost, losses.needless, losses.again, losses.missed
        there, back, rest = (
            Side(*(int(column[which].sum()) for column in columns)) for which in (*of_host, is_foreign)
        )
        return Suspect(host, peer, there, back, rest)


def _pair(suspect: Suspect, losses: Losses, between: str = " and ") -> str:
    return f"{losses.machines[suspect.host]}{between}{losses.machines[suspect.peer]}"


def _title(suspect: Suspect, losses: Losses) -> str:
    """What is lost where, and how much, in a sentence."""
    there, back = suspect.there, suspect.back
    whole = there + back
    name = losses.machines[suspect.host]
    peer = losses.machines[suspect.peer] if suspect.peer >= 0 else ""
    if there.wrong >= MOSTLY * whole.wrong:
        side, where = there, f"from {peer} to {name}" if peer else f"to host {name}"
    elif back.wrong >= MOSTLY * whole.wrong:
        side, where = back, f"from {name} to {peer}" if peer else f"from host {name}"
    else:
        side, where = whole, f"between {name} and {peer}" if peer else f"to and from host {name}"
    how = "are lost on the way" if whole.lost >= whole.again else "are sent again, and may be lost"
    return f"Segments {where} {how}: one in {max(round(side.sent / max(side.wrong, 1)), 1):,}."


def _figures(suspect: Suspect, losses: Losses) -> str:
    """How many of how many, how sure that is, and what is usual elsewhere, in sentences."""
    there, back = suspect.there, suspect.back
    whole, rest = there + back, suspect.rest
    name = losses.machines[suspect.host]
    peer = f" {losses.machines[suspect.peer]}" if suspect.peer >= 0 else ""
    to, away = (f"From{peer} to {name}", f"from {name} to{peer}") if peer else (f"To {name}", "from it")
    said = []
    if whole.lost:
        said.append(
            f"{to} {there.lost:,} of {there.sent:,} segments were lost, {away} {back.lost:,} of {back.sent:,}: both ends "
            "were captured, and these left their sender and never arrived."
        )
    if whole.needless:
        said.append(
            f"{whole.needless:,} more were sent again though they had arrived: their acknowledgements were lost, or the "
            "sender did not wait long enough."
        )
    if whole.again:
        said.append(
            f"{to} {there.again:,} of {there.sent:,} segments were sent again, {away} {back.again:,} of {back.sent:,}, "
            "where not both ends were captured: whether they were lost, or their acknowledgements, or the sender did not "
            "wait long enough, can not be told."
        )
    if rest.sent:
        said.append(f"On all other ways it is {rest.wrong:,} of {rest.sent:,}.")
    if whole.missed:
        said.append(f"The captures themselves lack {size(whole.missed)} of these connections: that is not counted.")
    return " ".join(said)
