"""The component that explains the bad calls comes first, at the right size, and several are found."""

from __future__ import annotations

import time

import numpy as np
from tests.support.system import System

from wiretrace.diagnosis.answer import answer_of
from wiretrace.diagnosis.diagnose import examined
from wiretrace.diagnosis.spectrum import Hypothesis, log_likelihood
from wiretrace.model.finding import ComponentKind


def shop(faulty) -> list[Hypothesis]:
    """The causes that are found: requests of two kinds over two instances and a database.

    `faulty(number, callee, operation)` says what fails.
    """
    system = System()
    for number in range(200):
        at, instance = number * 40.0, f"shop{1 + number % 2}"
        operation = "GET /a" if number % 4 < 2 else "GET /b"
        table = "SELECT a" if operation == "GET /a" else "SELECT b"

        def ending(callee: str, what: str, number: int = number) -> dict[str, str]:
            return {"status": "500", "outcome": "error"} if faulty(number, callee, what) else {}

        below = ending("pg", table)
        middle = ending(instance, operation) or below
        web = system.call(None, ("client", "web1"), operation, at, 12, **middle)
        call = system.call(web, ("web1", instance), operation, at + 1, 10, **middle)
        system.call(
            call, (instance, "pg1"), table, at + 2, 4, **{"protocol": "postgresql", "status": "SELECT 1", **below}
        )
    return causes_of(system)


def causes_of(system: System) -> list[Hypothesis]:
    """The causes that are found in a system."""
    return [each.hypothesis for each in examined(system.case(), [])[1] if each.hypothesis.sure]


def first(causes: list[Hypothesis]) -> tuple[ComponentKind, str]:
    return causes[0].kind, causes[0].name


def test_an_instance_that_fails_now_and_then() -> None:
    causes = shop(lambda number, callee, what: callee == "shop2" and number % 3 == 1)
    assert first(causes) == (ComponentKind.INSTANCE, "shop2:80")
    assert "host shop2" in causes[0].also


def test_a_service_rather_than_its_instances() -> None:
    causes = shop(lambda number, callee, what: callee.startswith("shop") and number % 5 == 0)
    assert first(causes)[1] in ("shop", "web → shop")


def test_a_statement_rather_than_its_database() -> None:
    causes = shop(lambda number, callee, what: what == "SELECT b" and number % 3 == 0)
    assert first(causes) == (ComponentKind.STATEMENT, "SELECT b (pg)")


def test_two_faults_are_both_found() -> None:
    causes = shop(
        lambda number, callee, what: (what == "SELECT b" and number % 3 == 0) or (callee == "shop2" and number % 7 == 1)
    )
    names = {cause.name for cause in causes}
    assert {"SELECT b (pg)", "shop2:80"} <= names


def test_failures_are_not_outweighed_by_calls_that_are_late_elsewhere() -> None:
    system = System()
    for number in range(240):
        at, instance = number * 200.0, f"shop{1 + number % 2}"
        failed = {"status": "500", "outcome": "error"} if number % 7 == 0 and number % 2 else {}
        busy = 40.0 if number % 17 == 0 else 0.0
        late = 40.0 if number % 25 == 0 else 0.0
        web = system.call(None, ("client", "web1"), "GET /a", at, 12 + busy + late, **failed)
        system.call(web, ("web1", instance), "GET /a", at + 1, 4, **failed)
        if number % 5 == 0:
            system.call(web, ("web1", "stock1"), "GET /stock", at + 6, 4 + late)
    assert first(causes_of(system)) == (ComponentKind.INSTANCE, "shop2:80")


def test_a_fault_is_found_beneath_requests_that_vary_more_than_it_takes() -> None:
    system = System()
    for number in range(200):
        at, work = number * 400.0, 20.0 + number * 37 % 60
        late = 70.0 if number >= 80 else 0.0
        web = system.call(None, ("client", "web1"), "GET /a", at, work + 10 + late)
        call = system.call(web, ("web1", "shop1"), "GET /a", at + 1, 8 + late)
        system.call(call, ("shop1", "pg1"), "SELECT a", at + 2, 4 + late, protocol="postgresql", status="SELECT 1")
    assert int(answer_of(system.case()).slow) < 120
    assert first(causes_of(system))[1] == "pg"


def test_a_slow_link_is_found_though_each_of_many_calls_has_but_a_small_part_of_the_delay() -> None:
    system = System()
    for number in range(120):
        at, way = number * 2000.0, 100.0 if number >= 60 else 0.0
        web = system.call(None, ("client", "web1"), "GET /a", at, 50 + 6 * way)
        for step, callee in enumerate(("cart1", "mail1", "price1", "shop1", "stock1", "tax1")):
            system.call(web, ("web1", callee), "GET /b", at + 1 + step * (8 + way), 6 + way, way=way)
            system.call(None, ("client", callee), "GET /b", at + 1500 + step, 6)
    assert first(causes_of(system))[1] == "web1"


def test_as_many_suspects_as_a_scan_of_ports_makes_take_time_in_their_number() -> None:
    """Components are compared by the calls that go through them, not each with each."""
    system = System()
    for number in range(1500):
        system.call(None, ("client", f"machine{number}x"), f"GET /{number}x", number, 1, status="500", outcome="error")
    case = system.case()
    begun = time.process_time()
    _, suspects = examined(case, [])
    assert time.process_time() - begun < 15
    assert len(suspects) > 1


def test_without_bad_calls_nobody_is_suspect() -> None:
    assert shop(lambda *_: False) == []


def test_the_likelihood_is_that_of_the_likeliest_share() -> None:
    assert log_likelihood(0, 10) == 0.0
    assert np.isclose(log_likelihood(3, 10), 3 * np.log(0.3) + 7 * np.log(0.7))
