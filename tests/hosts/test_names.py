"""What services are called: roles without numbers, protocols where the host does not say, names that clients used."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from wiretrace.hosts.names import Services, base_name, is_host_name, name_hints, name_services, without_port
from wiretrace.hosts.vantage import Hosts

Call = tuple[str, str, int, str, str]
"""Client, server, port, protocol, attributes."""


def services(named: dict[str, bool], calls: list[Call]) -> tuple[Services, list[str], list[str]]:
    """The services, and those of the callers and callees of each call."""
    hosts = Hosts()
    for name, is_named in named.items():
        hosts.add(name, is_named)
    place = {name: number for number, name in enumerate(hosts.names)}
    asked: Counter[tuple[int, int, str]] = Counter()
    hints: dict[tuple[int, int], Counter[str]] = {}
    for _, server, port, protocol, attributes in calls:
        asked[place[server], port, protocol] += 1
        if not named[server]:
            found = name_hints(pa.chunked_array([[attributes]], pa.string()))
            hints.setdefault((place[server], port), Counter()).update(found)
    services = name_services(hosts, asked, hints, {})
    callers = services.of_callers(np.array([place[call[0]] for call in calls], np.int32))
    callees = services.of_callees(
        np.array([place[call[1]] for call in calls], np.int32), np.array([call[2] for call in calls])
    )
    return services, [services.names[at] for at in callers], [services.names[at] for at in callees]


def test_what_is_not_known_has_no_service() -> None:
    """A caller without a host, and a port at which nothing was seen to answer."""
    found, _, _ = services({"client": True, "web1": True}, [("client", "web1", 80, "http", "{}")])
    assert found.of_callers(np.array([-1, 0], np.int32)).tolist() == [-1, found.names.index("client")]
    assert found.of_callees(np.array([1, -1], np.int32), np.array([81, 80])).tolist() == [-1, -1]


def test_instances_of_one_role_are_one_service() -> None:
    _, _, servers = services(
        {"client": True, "shop1": True, "shop2": True},
        [("client", "shop1", 80, "http", "{}"), ("client", "shop2", 80, "http", "{}")],
    )
    assert servers == ["shop", "shop"]


def test_a_host_of_two_caches_runs_two_services() -> None:
    found, _, servers = services(
        {"shop1": True, "cache1": True},
        [("shop1", "cache1", 6379, "redis", "{}"), ("shop1", "cache1", 11211, "memcached", "{}")],
    )
    assert servers == ["redis", "memcached"]
    assert found.run_by == [[], ["memcached", "redis"]]


def test_a_web_host_with_a_local_cache_keeps_its_name_for_what_answers_over_http() -> None:
    """And its own calls are those of the service that answers over HTTP."""
    _, clients, servers = services(
        {"client": True, "web1": True},
        [("client", "web1", 80, "http", "{}"), ("web1", "web1", 6379, "redis", "{}")],
    )
    assert servers == ["web", "redis"]
    assert clients == ["client", "web"]


def test_connections_that_failed_are_to_what_answers_at_their_port_otherwise() -> None:
    """A refused connection says nothing of what a port speaks, and makes no second service of it."""
    _, _, servers = services(
        {"shop1": True, "pg1": True, "10.0.0.9": False},
        [
            ("shop1", "pg1", 5432, "postgresql", "{}"), ("shop1", "pg1", 5432, "tcp", "{}"),
            ("shop1", "10.0.0.9", 7000, "redis", "{}"), ("shop1", "10.0.0.9", 7000, "tcp", "{}"),
        ],
    )  # fmt: skip
    assert servers == ["pg", "pg", "redis", "redis"]


def test_where_every_connection_failed_the_port_says_what_usually_answers_there() -> None:
    _, _, servers = services(
        {"shop1": True, "pg1": True, "10.0.0.8": False, "10.0.0.9": False},
        [
            ("shop1", "pg1", 5432, "tcp", "{}"), ("shop1", "10.0.0.8", 3306, "tcp", "{}"),
            ("shop1", "10.0.0.9", 7000, "tcp", "{}"), ("shop1", "10.0.0.8", 80, "tcp", "{}"),
        ],
    )  # fmt: skip
    assert servers == ["pg", "mysql (by port)", "10.0.0.9", "10.0.0.8"]


def test_two_ports_of_one_protocol_are_one_service() -> None:
    _, _, servers = services(
        {"client": True, "web1": True},
        [("client", "web1", 80, "http", "{}"), ("client", "web1", 8080, "http", "{}")],
    )
    assert servers == ["web", "web"]


def test_a_host_without_a_name_is_called_by_its_protocol_or_by_what_it_was_asked_for() -> None:
    _, clients, servers = services(
        {"10.0.0.1": False, "10.0.0.2": False, "10.0.0.3": False, "10.0.0.4": False},
        [
            ("10.0.0.1", "10.0.0.2", 5432, "postgresql", "{}"),
            ("10.0.0.1", "10.0.0.3", 80, "http", '{"server.address":"Orders.internal:80"}'),
            ("10.0.0.1", "10.0.0.3", 80, "http", '{"server.address":"10.0.0.3"}'),
            ("10.0.0.1", "10.0.0.4", 80, "http", '{"server.address":"10.0.0.4"}'),
        ],
    )
    assert servers == ["postgresql", "orders.internal", "orders.internal", "10.0.0.4"]
    assert set(clients) == {"10.0.0.1"}


def test_captured_text_that_is_no_name_is_no_hint() -> None:
    """Markup, escapes, broken JSON and lists name nothing."""
    for attributes in (
        '{"server.address":"<b>x</b>"}',
        '{"server.address":"a\\u001b[31m"}',
        "{",
        "[1]",
        '{"server.address":5}',
    ):
        _, _, servers = services({"c": True, "10.0.0.3": False}, [("c", "10.0.0.3", 80, "http", attributes)])
        assert servers == ["10.0.0.3"]


@pytest.mark.parametrize(
    ("host", "service"),
    [("shop1", "shop"), ("web-02", "web"), ("db_3", "db"), ("client", "client"), ("7", "7"), ("s3-a", "s3-a")],
)
def test_the_number_of_the_instance_is_dropped(host: str, service: str) -> None:
    assert base_name(host) == service


def test_ports_and_addresses_are_not_names() -> None:
    assert without_port("Shop.example:8080") == "shop.example"
    assert is_host_name("shop.example")
    assert not is_host_name("10.0.0.1")
    assert not is_host_name("localhost")
