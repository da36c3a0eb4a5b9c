"""Templates of paths are learned where many different segments stand, and nowhere else; equal input, equal templates."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.captures import TcpConversation, write_pcap
from tests.support.cases import analyzed

from wiretrace.hosts.templates import Templates, learn_templates, singular
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PEOPLE = [
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "grace",
    "heidi",
    "ivan",
    "judy",
    "mallory",
    "niaj",
    "olivia",
    "peggy",
    "rupert",
    "sybil",
    "trent",
    "victor",
    "walter",
    "wendy",
    "anna",
    "ben",
    "clara",
    "david",
    "emma",
    "finn",
    "hanna",
    "ida",
    "jonas",
    "klara",
]
GOODS = [
    f"{colour}-{thing}" for colour in ("red", "blue", "green", "old") for thing in ("shoes", "coat", "lamp", "desk")
]
RESOURCES = [
    "users",
    "orders",
    "products",
    "invoices",
    "payments",
    "refunds",
    "customers",
    "accounts",
    "carts",
    "items",
    "reviews",
    "ratings",
    "coupons",
    "vouchers",
    "shipments",
    "addresses",
    "warehouses",
    "suppliers",
    "brands",
    "categories",
    "tags",
    "images",
    "videos",
    "reports",
    "exports",
]


def learned(operations: Iterable[str]) -> Templates:
    return learn_templates([(0, Counter(operations))])


def told(operations: Iterable[str], *asked: str) -> list[str]:
    templates = learned(operations)
    return [templates.operation(0, each) for each in asked]


def test_many_different_segments_are_values_named_by_what_stands_before() -> None:
    operations = [f"GET /users/{name}" for name in PEOPLE] + [f"GET /products/{name}" for name in GOODS]
    operations += ["GET /orders", "GET /health"]
    assert told(operations, "GET /users/alice", "DELETE /users/zoe", "GET /products/red-shoes", "GET /orders") == [
        "GET /users/{user}",
        "DELETE /users/{user}",
        "GET /products/{product}",
        "GET /orders",
    ]
    assert told(operations, "GET /health", "POST /users", "GET /users/") == [
        "GET /health",
        "POST /users",
        "GET /users/",
    ]


def test_what_stands_below_values_stays() -> None:
    operations = [f"GET /users/{name}/{thing}" for name in PEOPLE for thing in ("orders", "carts")]
    assert told(operations, "GET /users/alice/orders", "GET /users/zoe/carts") == [
        "GET /users/{user}/orders",
        "GET /users/{user}/carts",
    ]


def test_values_may_stand_below_values() -> None:
    chooser = random.Random(1)
    operations = [f"GET /repos/{name}/{chooser.choice(PEOPLE)}-{number}x" for name in PEOPLE for number in range(1)]
    operations += [f"GET /repos/{name}/{chooser.choice(GOODS)}" for name in PEOPLE]
    assert told(operations, "GET /repos/alice/red-shoes") == ["GET /repos/{repo}/{value}"]


def test_few_segments_stay() -> None:
    operations = [f"GET /users/{name}" for name in PEOPLE[:6]]
    assert told(operations, *operations) == operations


def test_resources_and_procedures_stay_however_many_there_are() -> None:
    """Plurals with identifiers below them, and names that begin with verbs."""
    resources = [f"GET /api/v1/{name}{rest}" for name in RESOURCES for rest in ("", "/{id}", "/{id}/history")]
    procedures = [
        f"POST /rpc/{verb}{thing}" for verb in ("get", "create", "list") for thing in ("User", "Order", "Cart")
    ]
    procedures += [f"POST /rpc/{verb}_{thing}" for verb in ("find", "update") for thing in RESOURCES]
    assert told(resources + procedures, *resources, *procedures) == resources + procedures


def test_resources_with_things_of_their_own_below_them_stay() -> None:
    """No plural, no verb: what differs below each tells."""
    operations = [f"GET /admin/{name}/{name}-{number}" for name in PEOPLE[:25] for number in ("one", "two", "three")]
    assert told(operations, *operations) == operations


def test_first_segments_are_names_unless_there_are_very_many_and_then_those_that_are_frequent_stay() -> None:
    services = [f"GET /{name}" for name in RESOURCES]
    assert told(services, *services) == services
    words = [f"{one}{other}" for one in PEOPLE[:10] for other in PEOPLE[:6]]
    links = Counter({f"GET /{name}": 1 for name in words}) + Counter({"GET /health": 900, "GET /orders/{id}": 5})
    templates = learn_templates([(0, links)])
    asked = ("GET /alicebob", "GET /health", "GET /orders/{id}")
    assert [templates.operation(0, each) for each in asked] == ["GET /{value}", "GET /health", "GET /orders/{id}"]


def test_values_beside_identifiers_are_identifiers() -> None:
    operations = [f"GET /users/{name}" for name in PEOPLE] + ["GET /users/{id}"]
    assert told(operations, "GET /users/alice", "GET /users/{id}") == ["GET /users/{id}", "GET /users/{id}"]


def test_services_are_learned_apart_and_what_is_no_path_stays() -> None:
    templates = learn_templates(
        [(1, Counter(f"GET /users/{name}" for name in PEOPLE)), (2, Counter(["GET /users/alice", "SELECT users"]))]
    )
    assert templates.operation(1, "GET /users/alice") == "GET /users/{user}"
    assert templates.operation(2, "GET /users/alice") == "GET /users/alice"
    assert templates.operation(1, "SELECT users") == "SELECT users"
    assert list(templates.of_service) == [1]


@pytest.mark.parametrize(
    ("word", "one"),
    [
        ("users", "user"), ("categories", "category"), ("boxes", "box"), ("branches", "branch"), ("addresses", "address"),
        ("status", ""), ("address", ""), ("news", ""), ("api", ""), ("v1", ""), ("gas", ""), ("houses", "house"),
    ],
)  # fmt: skip
def test_one_of_a_plural(word: str, one: str) -> None:
    assert singular(word) == one


SEGMENT = st.sampled_from([*PEOPLE[:14], *GOODS, *RESOURCES[:8], "{id}", "", "…", "x-{id}"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=14).map(lambda parts: "GET /" + "/".join(parts))


@given(st.lists(st.one_of(PATHS, st.text(max_size=30)), max_size=150), st.randoms())
@settings(max_examples=60, deadline=None)
def test_equal_operations_in_any_order_give_equal_templates(operations: list[str], chooser: random.Random) -> None:
    """Also: whatever they are, nothing breaks, and a template is a template of itself."""
    shuffled = list(operations)
    chooser.shuffle(shuffled)
    templates = learned(operations)
    assert templates == learned(shuffled)
    for operation in operations:
        once = templates.operation(0, operation)
        assert once.count("/") == operation.count("/")


def test_calls_carry_templates_and_so_does_their_span(tmp_path: Path) -> None:
    """Also a path that was one too many when it was read is found in a template. Rows of exchanges keep what was read."""
    from wiretrace.export.span import spans

    conversation = TcpConversation().open()
    for path in [f"/users/{name}" for name in PEOPLE] * 3 + ["/orders/42", "/health"]:
        conversation.send(Side.CLIENT, f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        conversation.send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")
    path = write_pcap(tmp_path / "shop.pcap", conversation.close().packets)
    case = analyzed(tmp_path / "a.case", [path], Settings(jobs=1))
    counts = Counter(case.table("calls").column("operation").to_pylist())
    assert counts == {"GET /users/{user}": 90, "GET /orders/{id}": 1, "GET /health": 1}
    assert len(set(case.table("exchanges").column("operation").to_pylist())) == 32
    assert {span.attributes["url.template"] for span in spans(case)} == {"/users/{user}", "/orders/{id}", "/health"}


def test_what_was_one_path_too_many_is_found_in_a_template(tmp_path: Path) -> None:
    conversation = TcpConversation().open()
    many = [f"/users/{one}{other}" for one in PEOPLE for other in PEOPLE for _ in range(3)][: 3 * 800]
    many += [f"/users/{one}-{other}-x" for one in PEOPLE for other in PEOPLE] + [
        f"/users/{one}.{other}.y" for one in PEOPLE for other in PEOPLE
    ]
    for path in many:
        conversation.send(Side.CLIENT, f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        conversation.send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")
    path = write_pcap(tmp_path / "shop.pcap", conversation.close().packets)
    case = analyzed(tmp_path / "a.case", [path], Settings(jobs=1))
    assert "GET /…" in case.table("exchanges").column("operation").to_pylist()
    assert set(case.table("calls").column("operation").to_pylist()) == {"GET /users/{user}"}
