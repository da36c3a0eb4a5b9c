"""Owners and external marks are found for every kind of component."""

import pytest
from tests.support.system import System

from wiretrace.diagnosis.owners import Owners
from wiretrace.model.errors import UserError
from wiretrace.model.finding import ComponentKind


def owners(names: object) -> Owners:
    system = System({"names": names})
    system.call(None, ("client", "shop1"), "GET /", 0, 1)
    case = system.case()
    hosts = case.table("hosts")
    rows = [row | {"services": [row["host"].rstrip("0123456789")]} for row in hosts.to_pylist()]
    case._tables["hosts"] = hosts.from_pylist(rows, hosts.schema)
    return Owners(case)


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        (ComponentKind.SERVICE, "shop"),
        (ComponentKind.OPERATION, "GET /orders/{id} (shop)"),
        (ComponentKind.STATEMENT, "SELECT (a) (shop)"),
        (ComponentKind.EDGE, "web → shop"),
        (ComponentKind.INSTANCE, "shop1:80"),
        (ComponentKind.HOST, "shop1"),
    ],
)
def test_the_owner_of_a_component_is_that_of_its_service(kind: ComponentKind, component: str) -> None:
    marks = owners({"shop": {"owner": "team-shop", "external": True}}).of(kind, component)
    assert (marks.owner, marks.external) == ("team-shop", True)


def test_nobody_owns_what_the_file_does_not_name() -> None:
    assert owners({"shop": {"owner": "team-shop"}}).of(ComponentKind.SERVICE, "web").owner == ""
    assert owners({}).of(ComponentKind.HOST, "shop1").owner == ""


def test_a_manifest_that_holds_something_else_is_damage() -> None:
    with pytest.raises(UserError, match="damaged"):
        owners({"shop": 3})
