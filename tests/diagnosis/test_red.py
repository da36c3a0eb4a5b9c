"""Rates, errors and durations by operation, edge and instance, and by pieces of time."""

from tests.diagnosis.rules.scenarios import FAILED, with_health_checks
from tests.support.system import System

from wiretrace.diagnosis.observed import Observed
from wiretrace.diagnosis.red import red_of


def observed() -> Observed:
    system = System()
    for number in range(100):
        bad = FAILED if number >= 90 else {}
        system.call(None, ("client", "web1"), "GET /", number * 100.0, number + 1, **bad)
    return Observed(system.case())


def test_the_numbers_of_an_operation() -> None:
    (row,) = red_of(observed(), "operation")
    assert (row.cohort, row.calls, row.errors) == ("GET / (web)", 100, 10)
    assert (row.p50_ns, row.p95_ns, row.p99_ns) == (50_000_000, 95_000_000, 99_000_000)
    assert round(row.rate) == 10


def test_pieces_of_time_hold_their_own_calls() -> None:
    rows = red_of(observed(), "edge", bucket_ns=2_000_000_000)
    assert [row.calls for row in rows] == [20, 20, 20, 20, 20]
    assert [row.errors for row in rows] == [0, 0, 0, 0, 10]
    assert rows[0].cohort == "client → web"
    assert [row.from_ns for row in rows] == sorted(row.from_ns for row in rows)


def test_instances_are_named_with_their_service() -> None:
    assert red_of(observed(), "instance")[0].cohort == "web at web1:80"


def test_health_checks_count_only_on_demand() -> None:
    case = Observed(with_health_checks("/healthz").case())
    assert not any("healthz" in row.cohort for row in red_of(case, "operation"))
    assert any("healthz" in row.cohort for row in red_of(case, "operation", with_probes=True))


def test_a_case_without_calls_has_no_numbers() -> None:
    assert red_of(Observed(System().case()), "operation") == []
