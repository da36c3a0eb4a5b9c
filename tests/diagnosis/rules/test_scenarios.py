"""Every rule finds what it is for, points at the right component, and keeps quiet where it comes near."""

from __future__ import annotations

import pytest
from tests.diagnosis.rules.scenarios import SCENARIOS, steady
from tests.support.examined import found
from tests.support.system import System

from wiretrace.diagnosis.diagnose import diagnose
from wiretrace.diagnosis.distribution import Distributions, Values
from wiretrace.diagnosis.rules.registry import known_rules
from wiretrace.model.finding import Severity


def test_every_rule_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(known_rules())


@pytest.mark.parametrize("code", sorted(SCENARIOS))
def test_the_rule_finds_what_it_is_for_and_where(code: str) -> None:
    findings = found(code, SCENARIOS[code].triggers())
    assert SCENARIOS[code].component in [finding.component for finding in findings]
    for finding in findings:
        assert finding.code == code
        assert finding.calls
        assert finding.title.endswith(".")
        assert finding.detail.endswith(".")


@pytest.mark.parametrize("code", sorted(SCENARIOS))
def test_the_rule_keeps_quiet_where_it_must(code: str) -> None:
    must_not = found(code, SCENARIOS[code].must_not())
    wrong = [finding for finding in must_not if finding.component == SCENARIOS[code].component]
    assert wrong == []


def test_the_timeout_of_a_busy_caller_is_what_its_first_waits_show() -> None:
    system = steady()
    for number, late in enumerate((0.0, 3.0, 12.0, 1.0, 20.0, 15.0)):
        at = 4000 + number * 1000.0
        web = system.call(None, ("client", "web1"), "POST /pay", at, 504 + late, status="500", outcome="error")
        gave_up = {"status": "", "outcome": "client_timeout"}
        system.call(web, ("web1", "bank1"), "POST /charge", at + 2, 0.1, connection=f"pay {number}", **gave_up)
        system.end_connection(f"pay {number}", "bank1", at + 2 + 500 + late)
    assert "after 500 ms" in found("client-timeout", system)[0].title


def test_what_is_never_answered_and_given_up_shows_a_timeout_too() -> None:
    system = steady()
    for number in range(6):
        at = 4000 + number * 1000.0
        web = system.call(None, ("client", "web1"), "POST /pay", at, 504, status="500", outcome="error")
        silent = {"status": "", "outcome": "server_silent"}
        call = system.call(web, ("web1", "bank1"), "POST /charge", at + 2, 0.1, connection=f"pay {number}", **silent)
        system.end_connection(f"pay {number}", "bank1", at + 502)
        for exchange in system.exchanges[-2:]:
            exchange["given_up_ns"] = call["start_ns"] + 500_000_000
    assert [finding.component for finding in found("client-timeout", system)] == ["web → bank"]


def test_a_few_slow_calls_near_the_end_are_no_onset() -> None:
    system = System()
    for number in range(60):
        at, extra = number * 50.0, 60.0 if number in (46, 49, 53, 56, 59) else 0.0
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 20 + extra)
        shop = system.call(web, ("web1", "shop1"), "GET /orders/{id}", at + 1, 16 + extra)
        system.call(shop, ("shop1", "store1"), "GET /stock", at + 2, 12 + extra)
    assert found("cascade", system) == []


def test_what_requests_hardly_feel_is_told_for_information() -> None:
    system = System()
    for number in range(200):
        at, late = number * 500.0, 30.0 if number >= 100 else 0.0
        web = system.call(None, ("client", "web1"), "GET /report", at, 50 + late)
        system.call(web, ("web1", "shop1"), "GET /a", at + 1, 8 + late)
        system.call(web, ("web1", "stock1"), "GET /b", at + 40 + late, 8)
    findings = found("slow-component", system)
    assert [(finding.component, finding.severity) for finding in findings] == [("shop", Severity.INFO)]


@pytest.mark.parametrize(("late", "severity"), [(40.0, Severity.WARNING), (1500.0, Severity.CRITICAL)])
def test_slow_requests_that_do_not_fail_are_critical_only_where_somebody_waits_for_them(
    late: float, severity: Severity
) -> None:
    system = System()
    for number in range(200):
        at, extra = number * 2000.0, late if number % 4 == 0 else 0.0
        web = system.call(None, ("client", "web1"), "GET /a", at, 20 + extra)
        system.call(web, ("web1", "shop1"), "GET /a", at + 1, 8 + extra)
        system.call(web, ("web1", "stock1"), "GET /b", at + 10 + extra, 8)
    assert [(finding.component, finding.severity) for finding in found("slow-component", system)] == [
        ("shop", severity)
    ]


@pytest.mark.parametrize(("late", "severity"), [(60.0, Severity.INFO), (200.0, Severity.WARNING)])
def test_few_slow_calls_are_worth_a_warning_where_their_requests_notice(late: float, severity: Severity) -> None:
    """One call in twenty of a service is late, by less than anybody notices or by more."""
    system = System()
    for number in range(400):
        at, extra = number * 500.0, late if number % 20 == 0 else 0.0
        web = system.call(None, ("client", "web1"), "GET /a", at, 20 + extra)
        system.call(web, ("web1", "shop1"), "GET /a", at + 1, 8 + extra)
        system.call(web, ("web1", "stock1"), "GET /b", at + 10 + extra, 8)
    assert [(finding.component, finding.severity) for finding in found("slow-component", system)] == [
        ("shop", severity)
    ]


def test_a_steady_system_has_nothing_above_info() -> None:
    findings = diagnose(steady(200).case())["findings"].to_pylist()
    assert [row["title"] for row in findings if row["severity"] != Severity.INFO] == []


@pytest.mark.parametrize("code", sorted(known_rules()))
def test_every_rule_is_documented_in_full(code: str) -> None:
    page = known_rules()[code].page
    for part in (page.finds, page.matters, page.confirm, page.false_alarm):
        assert len(part) > 40
        assert part.endswith((".", "'."))


@pytest.mark.parametrize("code", ["uneven-instance", "response-contract"])
def test_what_many_instances_cost_grows_with_their_number(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who scans a network asks one thing of thousands of instances: none is compared with each of the others."""
    looked_at = []
    of = Distributions.of

    def noting(distributions: Distributions, group: int) -> Values:
        looked_at.append(group)
        return of(distributions, group)

    monkeypatch.setattr(Distributions, "of", noting)
    system = System()
    for number in range(24 * 100):
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", number * 50.0, 14)
        system.call(web, ("web1", f"shop{number % 100}"), "GET /orders/{id}", number * 50.0 + 1, 10)
    found(code, system)
    assert 0 < len(looked_at) < 10 * 100
