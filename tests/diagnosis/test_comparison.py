"""A comparison finds the change, ranks it first, splits it into parts that add up, and keeps quiet where nothing changed."""

from __future__ import annotations

import random

import pytest
from tests.support.system import System

from wiretrace.diagnosis.comparison import compare
from wiretrace.diagnosis.measured import Measured
from wiretrace.diagnosis.observed import Observed

FAILED = {"status": "500", "outcome": "error"}


def system(seed: int, price_ms: float = 0.0, fails: float = 0.0, extra: int = 0, audit: bool = True) -> Measured:
    """A hundred requests over a shop, a price service and a database."""
    chance, made = random.Random(seed), System()
    for number in range(150):
        at = number * 100.0
        slow = price_ms * chance.uniform(0.8, 1.2)
        jitter = chance.uniform(0, 6)
        whole = 14 + slow + jitter + extra * 3
        bad = FAILED if chance.random() < fails else {}
        web = made.call(None, ("client", "web1"), "GET /a", at, whole + 4, **bad)
        shop = made.call(web, ("web1", "shop1"), "GET /a", at + 1, whole, **bad)
        made.call(shop, ("shop1", "price1"), "GET /price", at + 2, 4 + slow, **bad)
        for query in range(1 + extra):
            made.call(
                shop, ("shop1", "pg1"), "SELECT a", at + 8 + slow + query * 3, 2, protocol="postgresql", status="S"
            )
        if audit:
            made.call(shop, ("shop1", "audit1"), "POST /audit", at + 11 + slow + extra * 3, 1)
    return Measured(Observed(made.case()))


def test_a_slower_service_is_the_first_step_and_its_part_is_the_server() -> None:
    comparison = compare(system(1), system(2, price_ms=40))
    (change,) = comparison.operations
    assert {"p50", "p95"} <= set(change.flagged)
    assert comparison.steps[0].callee == "price"
    assert comparison.steps[0].part == "server"
    assert comparison.steps[0].change_ns == pytest.approx(40e6, rel=0.1)


@pytest.mark.parametrize("price_ms", [0, 40])
def test_the_parts_add_up_to_the_percentiles(price_ms: int) -> None:
    (change,) = compare(system(1), system(2, price_ms=price_ms)).operations
    for percentile in change.percentiles:
        assert sum(part.before_ns for part in percentile.parts) == pytest.approx(percentile.before_ns, rel=1e-6)
        assert sum(part.after_ns for part in percentile.parts) == pytest.approx(percentile.after_ns, rel=1e-6)


def test_errors_are_told_where_they_begin() -> None:
    comparison = compare(system(1), system(2, fails=0.3))
    assert comparison.operations[0].flagged == ["errors"]
    assert comparison.steps[0].callee == "price"
    assert "errors" in comparison.steps[0].flagged


def test_few_errors_are_enough_where_nothing_else_ever_fails() -> None:
    def small(fails: bool) -> Measured:
        made = System()
        for number in range(44):
            bad = FAILED if fails and number % 4 == 1 else {}
            web = made.call(None, ("client", "web1"), "GET /a", number * 100.0, 12, **bad)
            shop = made.call(web, ("web1", "shop1"), "GET /a", number * 100.0 + 1, 10, **bad)
            for table in range(30):
                made.call(shop, ("shop1", f"db{table}"), f"GET /{table}", number * 100.0 + 2 + table / 5, 0.2)
        return Measured(Observed(made.case()))

    comparison = compare(small(False), small(True))
    assert comparison.operations[0].flagged == ["errors"]
    assert (comparison.steps[0].callee, comparison.steps[0].flagged) == ("shop", ["errors"])


def test_new_missing_and_more_frequent_calls_are_told() -> None:
    assert [step.flagged for step in compare(system(1), system(2, audit=False)).steps if step.callee == "audit"] == [
        ["missing"]
    ]
    assert [step.flagged for step in compare(system(1, audit=False), system(2)).steps if step.callee == "audit"] == [
        ["new"]
    ]
    more = compare(system(1), system(2, extra=6)).steps
    assert "calls" in next(step.flagged for step in more if step.callee == "pg")


@pytest.mark.parametrize("seed", range(5))
def test_the_same_system_against_itself_is_quiet(seed: int) -> None:
    comparison = compare(system(seed), system(seed + 100))
    assert [each.flagged for each in comparison.operations] == [[]]
    assert comparison.steps == []


def wide(seed: int, times: float = 1.0, slow: str = "") -> Measured:
    """Requests over eight services on a machine that makes all of them so many times as slow, and one slower still."""
    chance, made = random.Random(seed), System()
    for number in range(60):
        at = number * 200.0
        took = [times * chance.uniform(2, 3) + (30 if name == slow else 0) for name in SERVICES]
        web = made.call(None, ("client", "web1"), "GET /a", at, sum(took) + 4 * times)
        begin = at + 1
        for name, length in zip(SERVICES, took, strict=True):
            made.call(web, ("web1", f"{name}1"), f"GET /{name}", begin, length)
            begin += length + times / 10
    return Measured(Observed(made.case()))


SERVICES = ("price", "stock", "cart", "session", "account", "search", "mail", "pay")


def test_a_busier_machine_is_told_and_no_service_blamed_for_it() -> None:
    comparison = compare(wide(1), wide(2, times=2.0))
    assert [each.flagged for each in comparison.operations] == [[]]
    assert comparison.steps == []
    (change,) = comparison.operations
    assert [each.shared.factor for each in change.percentiles] == [pytest.approx(2.0, rel=0.05)] * 2
    assert comparison.shared.startswith(
        "9 of 9 services take longer by themselves in the middle requests, 2 times as long"
    )


def test_what_one_service_changed_beyond_the_others_is_first() -> None:
    comparison = compare(wide(1), wide(2, times=2.0, slow="cart"))
    assert {"p50", "p95"} <= set(comparison.operations[0].flagged)
    assert [step.callee for step in comparison.steps] == ["cart"]


def test_a_kind_of_request_that_is_new_is_told() -> None:
    made = System()
    for number in range(20):
        made.call(None, ("client", "web1"), "GET /new", number * 10.0, 5)
    comparison = compare(system(1), Measured(Observed(made.case())))
    assert {(each.operation, tuple(each.flagged)) for each in comparison.operations} == {
        ("GET /a", ("gone",)),
        ("GET /new", ("new",)),
    }
