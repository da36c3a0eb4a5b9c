"""For every rule a system that triggers it, and one that comes near and must not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.support.system import System

if TYPE_CHECKING:
    from collections.abc import Callable

SQL = {"protocol": "postgresql", "status": "SELECT 1"}
WRITE = {"protocol": "postgresql", "status": "UPDATE 1"}
FAILED = {"status": "500", "outcome": "error"}
SQL_FAILED = {"protocol": "postgresql", "status": "57014", "outcome": "error"}
GIVEN_UP = {"status": "", "outcome": "client_aborted"}
SILENT = {"status": "", "outcome": "server_silent"}


class Scenario(NamedTuple):
    """What triggers a rule, what must not, and words that the finding has to hold."""

    triggers: Callable[[], System]
    must_not: Callable[[], System]
    component: str
    """What the finding points at."""


def steady(requests: int = 60, slow: int = 0) -> System:
    """A web service over a shop over a database, as it should be."""
    system = System()
    for number in range(requests):
        at = number * 50.0
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 12 + slow)
        shop = system.call(web, ("web1", "shop1"), "GET /orders/{id}", at + 1, 9 + slow)
        system.call(shop, ("shop1", "pg1"), "SELECT orders", at + 2, 3, **SQL)
    return system


def broken_by_database(failing: int = 8) -> System:
    system = steady()
    for number in range(failing):
        at = 5000 + number * 50.0
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 12, **FAILED)
        shop = system.call(web, ("web1", "shop1"), "GET /orders/{id}", at + 1, 9, **FAILED)
        system.call(shop, ("shop1", "pg1"), "SELECT orders", at + 2, 3, **SQL_FAILED)
    return system


def fine_after_an_error_of_the_caller() -> System:
    """The database complains, and the application copes."""
    system = steady()
    for number in range(8):
        at = 5000 + number * 50.0
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 12)
        system.call(web, ("web1", "pg1"), "SELECT orders", at + 2, 3, **SQL_FAILED)
    return system


def slow_instance_of_two(every: int = 4, slow_ms: float = 120.0, way: float = 0.0) -> System:
    """Requests are spread over two shops; every fourth to shop2 is slow from the middle on."""
    system = System()
    for number in range(160):
        at = number * 50.0
        extra = slow_ms if number % 2 and number % every == 1 and number > 60 else 0.0
        shop_host = f"shop{1 + number % 2}"
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 12 + extra)
        shop = system.call(web, ("web1", shop_host), "GET /orders/{id}", at + 1, 9 + extra, way=extra if way else 0.0)
        system.call(shop, (shop_host, "pg1"), "SELECT orders", at + 2 + (extra / 2 if way else 0), 3, **SQL)
    return system


def all_alike_slow() -> System:
    """Slow is what this operation always is."""
    return steady(160, slow=300)


def loop_of(queries: int, beside: bool = False) -> System:
    system = System()
    for number in range(12):
        at = number * 500.0
        web = system.call(None, ("client", "web1"), "GET /lists/{id}", at, 20 + queries * 4)
        system.call(web, ("web1", "pg1"), "SELECT lists", at + 1, 2, **SQL)
        for query in range(queries):
            system.call(web, ("web1", "pg1"), "SELECT items", at + 4 + (0 if beside else query * 3.0), 2, **SQL)
    return system


def repeated_after(failure: bool) -> System:
    system = steady()
    for number in range(6):
        at = 4000 + number * 400.0
        web = system.call(None, ("client", "web1"), "POST /pay", at, 300)
        first = FAILED if failure else {}
        system.call(web, ("web1", "bank1"), "POST /charge", at + 5, 40, content=f"pay {number}", **first)
        system.call(web, ("web1", "bank1"), "POST /charge", at + 150, 40, content=f"pay {number}")
    return system


def storm(helped: bool) -> System:
    system = steady()
    for number in range(12):
        at = 4000 + number * 100.0
        web = system.call(None, ("client", "web1"), "POST /pay", at, 90, **({} if helped else FAILED))
        for attempt in range(4):
            last = {} if helped and attempt else FAILED
            system.call(web, ("web1", "bank1"), "POST /charge", at + attempt * 20, 5, content=f"pay {number}", **last)
            if helped and attempt:
                break
    return system


def written_twice(rolled_back: bool) -> System:
    system = steady()
    for number in range(3):
        at = 4000 + number * 2000.0
        web = system.call(None, ("client", "web1"), "POST /orders", at, 900)
        first = system.call(web, ("web1", "shop1"), "POST /orders", at + 5, 0.1, content=f"o {number}", **GIVEN_UP)
        system.call(first, ("shop1", "pg1"), "INSERT orders", at + 20, 5, protocol="postgresql", status="INSERT 0 1")
        if rolled_back:
            system.call(first, ("shop1", "pg1"), "ROLLBACK", at + 40, 1, protocol="postgresql", status="ROLLBACK")
        second = system.call(web, ("web1", "shop1"), "POST /orders", at + 505, 80, content=f"o {number}")
        system.call(second, ("shop1", "pg1"), "INSERT orders", at + 520, 5, protocol="postgresql", status="INSERT 0 1")
    return system


def step_left_out(in_doubt: bool) -> System:
    system = System()
    for number in range(100):
        at = number * 100.0
        web = system.call(None, ("client", "web1"), "POST /orders", at, 30)
        system.call(web, ("web1", "pg1"), "INSERT orders", at + 3, 3, protocol="postgresql", status="INSERT 0 1")
        if number in (20, 60):
            if in_doubt:  # it was made, and only its cause is not sure
                system.call(web, ("web1", "audit1"), "POST /audit", at + 15, 5, question=True)
        else:
            system.call(web, ("web1", "audit1"), "POST /audit", at + 15, 5)
    return system


def instance_gone(comes_back: bool) -> System:
    system = System()
    for number in range(80):
        at = number * 50.0
        dead = number % 2 == 1 and number >= 50 and not (comes_back and number > 60)
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 12, **(FAILED if dead else {}))
        end = {"status": "", "outcome": "refused"} if dead else {}
        system.call(web, ("web1", f"shop{1 + number % 2}"), "GET /orders/{id}", at + 1, 0.2 if dead else 9, **end)
    return system


def uneven(slower_ms: float) -> System:
    system = System()
    for number in range(240):
        at = number * 50.0
        shop_host = f"shop{1 + number % 3}"
        extra = (slower_ms if shop_host == "shop2" else 0.0) + number % 7
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 14 + extra)
        system.call(web, ("web1", shop_host), "GET /orders/{id}", at + 1, 10 + extra)
    return system


def with_health_checks(path: str) -> System:
    system = steady()
    for number in range(30):
        system.call(None, ("probe", "web1"), f"GET {path}", number * 100.0, 1)
    return system


def shifted(moved: bool) -> System:
    system = System()
    for number in range(240):
        at = number * 50.0
        instance = 1 + number % 2 if number < 120 or not moved else (2 if number % 6 else 1)
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 14)
        system.call(web, ("web1", f"shop{instance}"), "GET /orders/{id}", at + 1, 10)
    return system


def pool(size: int, users: int, forgets: int = 0) -> System:
    """Users who ask all the time, over a pool of `size` connections of 20 ms a use; `forgets`: connections that are lost."""
    system = System()
    free = {f"c{number}": 0.0 for number in range(size)}
    waiting = [(float(user), user) for user in range(users)]
    opened = size
    for number in range(400):
        waiting.sort()
        at, user = waiting.pop(0)
        connection = min(free, key=lambda name: (free[name], name))
        begin = max(at + 0.5, free[connection])
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, begin - at + 21)
        system.call(web, ("web1", "pg1"), "SELECT orders", begin, 20, connection=connection, **SQL)
        free[connection] = begin + 20.05
        waiting.append((begin + 21.5 + (number * 7 % 5), user))
        if forgets and number % 40 == 39 and opened < size + forgets:
            del free[connection]
            free[f"c{opened}"] = begin + 20.05
            opened += 1
    return system


def gives_up(fixed: bool) -> System:
    system = steady()
    for number in range(6):
        at = 4000 + number * 1000.0
        wait = 500.0 + number % 2 if fixed else 200.0 + 90 * number
        web = system.call(None, ("client", "web1"), "POST /pay", at, wait + 4, **FAILED)
        system.call(web, ("web1", "bank1"), "POST /charge", at + 2, 0.1, connection=f"pay {number}", **GIVEN_UP)
        system.end_connection(f"pay {number}", "bank1", at + 2 + wait)
    return system


def waits_for_ever(ever: bool) -> System:
    system = steady()
    for number in range(20):
        system.call(None, ("client", "web1"), "GET /stock", 4000 + number * 50.0, 15)
    web = system.call(None, ("client", "web1"), "GET /stock", 6000, 48_000 if ever else 3_000)
    system.call(web, ("web1", "store1"), "GET /stock", 6001, 47_000 if ever else 2_900)
    for number in range(20):
        system.call(None, ("client", "web1"), "GET /stock", 60_000 + number * 50.0, 15)
        system.call(system.calls[-1], ("web1", "store1"), "GET /stock", 60_001 + number * 50.0, 9)
    return system


def cascading(spreads: bool) -> System:
    system = System()
    for number in range(200):
        at = number * 50.0
        ill = number >= 120 and (spreads or number % 40 == 0)
        extra = 200.0 if ill else 0.0
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 20 + extra)
        shop = system.call(web, ("web1", "shop1"), "GET /orders/{id}", at + 1, 16 + extra)
        store = system.call(shop, ("shop1", "store1"), "GET /stock", at + 2, 12 + extra)
        system.call(store, ("store1", "pg1"), "SELECT stock", at + 3, 3 + extra, **SQL)
    return system


def breaker(opens: bool) -> System:
    system = System()
    for number in range(120):
        at = number * 50.0
        fails = 60 <= number < 65
        skips = opens and 65 <= number < 90
        bad = FAILED if fails or skips else {}
        web = system.call(None, ("client", "web1"), "GET /price", at, 12, **bad)
        if not skips:
            system.call(web, ("web1", "price1"), "GET /price", at + 1, 9, **(FAILED if fails else {}))
    return system


def lost_updates(overlap: bool) -> System:
    system = System()
    for number in range(10):
        at = number * 200.0
        one = system.call(None, ("client", "web1"), "POST /buy", at, 60)
        late = 5.0 if overlap else 100.0
        other = system.call(None, ("client", "web1"), "POST /buy", at + late, 60)
        for parent, shift in ((one, 0.0), (other, late)):
            system.call(parent, ("web1", "pg1"), "SELECT stock", at + shift + 2, 2, values=(f"sku {number}",), **SQL)
            system.call(parent, ("web1", "pg1"), "UPDATE stock", at + shift + 30, 2, values=(f"sku {number}",), **WRITE)
    return system


def waits_for_locks(locked: bool) -> System:
    system = System()
    commit = {"protocol": "postgresql", "status": "COMMIT"}
    for number in range(60):
        at = number * 300.0
        stuck = number % 6 == 5
        long = 150.0 if stuck else 4.0
        one = system.call(None, ("client", "web1"), "POST /buy", at, 30)
        system.call(one, ("web1", "pg1"), "UPDATE stock", at + 2, 3, connection="a", **WRITE)
        other = system.call(None, ("client", "web1"), "POST /move", at + 5, long + 20)
        system.call(other, ("web1", "pg1"), "UPDATE stock", at + 8, long, connection="b", **WRITE)
        ends = at + 8 + long - 1.2 if locked and stuck else at + 20
        system.call(one, ("web1", "pg1"), "COMMIT", ends, 1, connection="a", **commit)
    return system


def large_answers(large: bool) -> System:
    system = steady()
    for number in range(4):
        system.call(
            None, ("client", "web1"), "GET /orders/{id}", 4000 + number * 50.0, 14, size=4_000_000 if large else 9_000
        )
    return system


def herd(same: bool) -> System:
    system = System()
    for number in range(60):
        at = number * 100.0
        web = system.call(None, ("client", "web1"), "GET /top", at, 12)
        system.call(web, ("web1", "pg1"), "SELECT top", at + 2, 8, content="top", **SQL)
    for number in range(20):
        web = system.call(None, ("client", "web1"), "GET /top", 6000 + number * 0.1, 220)
        content = "top" if same else f"top {number}"
        system.call(web, ("web1", "pg1"), "SELECT top", 6002 + number * 0.1, 210, content=content, **SQL)
    return system


def another_form(breaks: bool) -> System:
    system = System()
    for number in range(80):
        at = number * 50.0
        new = breaks and number >= 40
        web = system.call(None, ("client", "web1"), "GET /price", at, 12, **(FAILED if new else {}))
        system.call(web, ("web1", "price1"), "GET /price", at + 1, 9, size=(300 if new else 900) + number % 9)
    return system


def slow_report(slow: bool) -> System:
    system = System()
    for number in range(30):
        at = number * 3000.0
        took = 1500.0 if slow else 15.0
        web = system.call(None, ("client", "web1"), "GET /report", at, took + 10)
        system.call(web, ("web1", "pg1"), "SELECT orders", at + 2, took, **SQL)
    return system


def connections(kept: bool) -> System:
    system = System()
    for number in range(60):
        at = number * 50.0
        web = system.call(None, ("client", "web1"), "GET /price", at, 12)
        name = "kept" if kept else f"new {number}"
        system.call(web, ("web1", "price1"), "GET /price", at + 1, 9, connection=name)
    return system


def look_ups(found: bool) -> System:
    system = steady()
    for number in range(40):
        status = "NOERROR" if found or number % 4 == 3 else "NXDOMAIN"
        outcome = "ok" if status == "NOERROR" else "error"
        system.call(None, ("web1", "dns1"), "A", number * 10.0, 1, protocol="dns", status=status, outcome=outcome)
    return system


def repeating(lost: bool) -> System:
    """Segments between a web service and a shop are sent again: they were lost, or had arrived and nobody said so."""
    system = System()
    for number in range(200):
        at = number * 500.0
        waited = 205.0 if number % 10 == 9 else 0.0
        web = system.call(None, ("client", "web1"), "GET /orders/{id}", at, 12 + waited)
        shop = system.call(
            web, ("web1", "shop1"), "GET /orders/{id}", at + 1, 9 + waited, way=waited, stalled=waited and 200.0
        )
        system.call(shop, ("shop1", "pg1"), "SELECT orders", at + 3 + waited / 2, 3, **SQL)
    for ends in (("client", "web1"), ("shop1", "pg1")):
        system.send(ends, (1000, 1000))
    again = (16, 4)
    system.send(("web1", "shop1"), (1000, 1000), **({"lost": again} if lost else {"needless": again}))
    return system


SCENARIOS: dict[str, Scenario] = {
    "cascade": Scenario(lambda: cascading(True), lambda: cascading(False), "pg"),
    "circuit-breaker": Scenario(lambda: breaker(True), lambda: breaker(False), "web → price"),
    "client-timeout": Scenario(lambda: gives_up(True), lambda: gives_up(False), "web → bank"),
    "component-gone": Scenario(lambda: instance_gone(False), lambda: instance_gone(True), "shop2"),
    "connection-leak": Scenario(lambda: pool(3, 3, forgets=8), lambda: pool(3, 3), "web → pg"),
    "dns-search-path": Scenario(lambda: look_ups(False), lambda: look_ups(True), "web1"),
    "duplicate-write": Scenario(lambda: written_twice(False), lambda: written_twice(True), "POST /orders (shop)"),
    "first-cause": Scenario(broken_by_database, fine_after_an_error_of_the_caller, "SELECT orders (pg)"),
    "health-checks": Scenario(
        lambda: with_health_checks("/healthz"), lambda: with_health_checks("/health-tips"), "web"
    ),
    "lock-wait": Scenario(lambda: waits_for_locks(True), lambda: waits_for_locks(False), "UPDATE stock (pg)"),
    "lost-update": Scenario(lambda: lost_updates(True), lambda: lost_updates(False), "UPDATE stock (pg)"),
    "missing-call": Scenario(lambda: step_left_out(False), lambda: step_left_out(True), "POST /audit (audit)"),
    "n-plus-one": Scenario(lambda: loop_of(9), lambda: loop_of(9, beside=True), "SELECT items (pg)"),
    "no-keep-alive": Scenario(lambda: connections(False), lambda: connections(True), "web → price"),
    "no-timeout": Scenario(lambda: waits_for_ever(True), lambda: waits_for_ever(False), "web → store"),
    "packet-loss": Scenario(lambda: repeating(True), lambda: repeating(False), "web1 ↔ shop1"),
    "pool-exhausted": Scenario(lambda: pool(4, 9), lambda: pool(4, 3), "web → pg"),
    "pool-size": Scenario(lambda: pool(4, 9), lambda: pool(4, 3), "web → pg"),
    "response-contract": Scenario(lambda: another_form(True), lambda: another_form(False), "GET /price (price)"),
    "retries": Scenario(lambda: repeated_after(True), lambda: repeated_after(False), "web → bank"),
    "retry-storm": Scenario(lambda: storm(False), lambda: storm(True), "web → bank"),
    "size-outlier": Scenario(lambda: large_answers(True), lambda: large_answers(False), "GET /orders/{id} (web)"),
    "slow-component": Scenario(slow_instance_of_two, all_alike_slow, "shop2:80"),
    "slow-edge": Scenario(lambda: slow_instance_of_two(way=1.0), slow_instance_of_two, "web1 ↔ shop2"),
    "slow-statement": Scenario(lambda: slow_report(True), lambda: slow_report(False), "SELECT orders (pg)"),
    "thundering-herd": Scenario(lambda: herd(True), lambda: herd(False), "SELECT top (pg)"),
    "traffic-shift": Scenario(lambda: shifted(True), lambda: shifted(False), "shop1:80"),
    "uneven-instance": Scenario(lambda: uneven(25.0), lambda: uneven(1.0), "shop2:80"),
}
