"""Whom packet loss is told of, in which words, and how gravely."""

from __future__ import annotations

import numpy as np
import pytest
from tests.diagnosis.rules.scenarios import SQL, repeating
from tests.support.examined import found
from tests.support.system import System

from wiretrace.diagnosis.losses import Losses
from wiretrace.diagnosis.rules.packet_loss import find_suspects
from wiretrace.model.finding import Severity

HOSTS = ["client", "web", "shop", "base", "cache"]
Way = tuple[str, str, int, int]


def suspects(*ways: Way) -> list[tuple[str, str]]:
    """Whom to tell of, by name; a way is sender, receiver, segments, and those of them that were lost."""
    ends = [np.array([HOSTS.index(way[at]) for way in ways], np.int64) for at in range(2)]
    sent, lost = (np.array([way[at] for way in ways], np.int64) for at in (2, 3))
    nothing = np.zeros(len(ways), np.int64)
    losses = Losses(HOSTS, *ends, sent, lost, nothing, nothing, nothing)
    return [(HOSTS[each.host], HOSTS[each.peer] if each.peer >= 0 else "") for each in find_suspects(losses)]


def test_the_finding_says_where_how_much_how_sure_and_what_it_costs() -> None:
    (finding,) = found("packet-loss", repeating(lost=True))
    assert finding.title == "Segments between web1 and shop1 are lost on the way: one in 100."
    assert "From shop1 to web1 4 of 1,001 segments were lost, from web1 to shop1 16 of 1,001" in finding.detail
    assert "both ends were captured" in finding.detail
    assert "On all other ways it is 0 of 4,004." in finding.detail
    assert "20 of 200 calls on this way were touched; 20 of them waited" in finding.detail
    assert "200 ms in the middle and 200 ms at the 95th percentile; 20 requests became slow or failed" in finding.detail
    assert (finding.severity, finding.requests, finding.occurrences) == (Severity.WARNING, 20, 20)


def test_one_direction_is_named_where_nearly_all_goes_that_way() -> None:
    system = repeating(lost=True)
    system.send(("web1", "shop1"), (1000, 1000), lost=(20, 1))
    assert "Segments from web1 to shop1 are lost on the way: one in 50." in found("packet-loss", system)[0].title


def test_from_one_end_it_is_told_that_nobody_knows() -> None:
    system = repeating(lost=True)
    system.send(("web1", "shop1"), (1000, 1000), lost=(20, 0), seen_by="web1")
    (finding,) = found("packet-loss", system)
    assert "are sent again, and may be lost" in finding.title
    assert "can not be told" in finding.detail


def test_what_no_request_waits_for_is_told_for_information() -> None:
    """Segments are lost, and calls that they touch are as fast as others: what follows shows the loss at once."""
    system = System()
    for number in range(200):
        web = system.call(None, ("client", "web1"), "GET /a", number * 50.0, 40)
        system.call(web, ("web1", "shop1"), "GET /a", number * 50.0 + 1, 30, stalled=2.0 if number % 10 == 0 else 0.0)
    system.send(("web1", "shop1"), (1000, 1000), lost=(30, 0))
    assert [finding.severity for finding in found("packet-loss", system)] == [Severity.INFO]


def test_requests_that_fail_for_it_are_as_grave_as_other_failures() -> None:
    """Few calls are touched, and all of those are given up."""
    system = System()
    for number in range(300):
        failing: dict[str, str] = {"status": "500", "outcome": "error"} if number % 20 == 0 else {}
        web = system.call(None, ("client", "web1"), "GET /a", number * 50.0, 12, **failing)
        silent: dict[str, str] = {"status": "", "outcome": "request_lost"} if failing else {}
        ends = ("web1", "shop1")
        system.call(web, ends, "GET /a", number * 50.0 + 1, 9, stalled=9.0 if failing else 0.0, **silent)
    system.send(("web1", "shop1"), (400, 300), lost=(90, 0))
    (finding,) = found("packet-loss", system)
    assert "15 requests became slow or failed by it." in finding.detail
    assert finding.severity == Severity.WARNING


def test_copies_that_a_recorder_made_are_no_losses() -> None:
    """A host's recorder took each packet twice, some microseconds apart."""
    system = System()
    for number in range(200):
        web = system.call(None, ("client", "web1"), "GET /a", number * 50.0, 12)
        shop = system.call(web, ("web1", "shop1"), "GET /a", number * 50.0 + 1, 9, stalled=0.02)
        system.call(shop, ("shop1", "pg1"), "SELECT a", number * 50.0 + 2, 3, **SQL)
    system.send(("web1", "shop1"), (400, 200), lost=(200, 0))
    assert found("packet-loss", system) == []


def test_a_request_that_is_slow_for_something_else_is_not_counted() -> None:
    """Every request that a repetition touched took seconds, and lost only a little of that by it."""
    system = repeating(lost=True)
    for call in system.calls:
        if call["retransmitted"]:
            call["retransmission_ns"] = 5_000_000
            call["end_ns"] += 3_000_000_000
            above = next(each for each in system.calls if each["id"] == call["parent"])
            above["end_ns"] += 3_000_000_000
    (finding,) = found("packet-loss", system)
    assert "; 0 requests became slow or failed by it." in finding.detail
    assert finding.severity == Severity.INFO


@pytest.mark.parametrize("portion_calls", [7, 50, 1 << 16])
def test_the_portions_make_no_difference(portion_calls: int) -> None:
    system = repeating(lost=True)
    assert found("packet-loss", system, portion_calls) == found("packet-loss", system)


def test_a_host_is_told_of_where_most_of_its_ways_lose() -> None:
    """Shop loses to and from all; the pairs without it are well, and the one with few segments tells nothing."""
    ways = [("shop", peer, 2000, 30) for peer in ("web", "base")] + [("cache", "shop", 40, 0)]
    assert suspects(*ways, ("client", "web", 9000, 0)) == [("shop", "")]


def test_a_pair_is_told_of_where_its_hosts_are_well_otherwise() -> None:
    ways: list[Way] = [("web", "shop", 2000, 30), ("shop", "base", 9000, 0), ("client", "web", 9000, 1)]
    assert suspects(*ways) == [("web", "shop")]
    two: list[Way] = [("shop", "web", 2000, 30), ("shop", "base", 2000, 30), ("shop", "cache", 9000, 0)]
    assert suspects(*two) == [("web", "shop"), ("shop", "base")]


@pytest.mark.parametrize(
    ("lost", "sent", "elsewhere", "is_told"),
    [
        (4, 100, 0, False),  # too few to tell anything
        (20, 10_000_000, 0, False),  # a few in millions
        (90, 90_000, 0, True),  # one in a thousand, and none elsewhere
        (90, 90_000, 60, False),  # as much as elsewhere, more or less
        (900, 90_000, 2000, True),  # so much that others are no excuse
    ],
)
def test_losses_are_told_where_they_matter(lost: int, sent: int, elsewhere: int, is_told: bool) -> None:
    """By their share alone, or where it is far more than between other hosts."""
    told = suspects(("web", "shop", sent, lost), ("base", "cache", 200_000, elsewhere))
    assert (("web", "shop") in told) == is_told


def test_a_way_back_that_is_busy_hides_no_losses() -> None:
    """One direction loses one in fifty; the other one carries a thousand times as much, and loses nothing."""
    assert suspects(("web", "shop", 1000, 20), ("shop", "web", 1_000_000, 0)) == [("web", "shop")]


def test_many_lossy_ways_are_few_findings() -> None:
    """Everything loses: hosts are told of until all ways are explained, and none twice."""
    every: list[Way] = [(one, other, 5000, 100) for one in HOSTS for other in HOSTS if one < other]
    told = suspects(*every)
    assert len(told) < len(HOSTS)
    assert len(set(told)) == len(told)


def test_without_any_way_nobody_is_told_of() -> None:
    assert suspects() == []
