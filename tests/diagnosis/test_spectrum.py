"""The component that explains the bad calls comes first, at the right size, and several are found."""

from __future__ import annotations

import numpy as np
from tests.support.system import System

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


def test_without_bad_calls_nobody_is_suspect() -> None:
    assert shop(lambda *_: False) == []


def test_the_likelihood_is_that_of_the_likeliest_share() -> None:
    assert log_likelihood(0, 10) == 0.0
    assert np.isclose(log_likelihood(3, 10), 3 * np.log(0.3) + 7 * np.log(0.7))
