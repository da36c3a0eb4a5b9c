"""The mesh: which service runs where, what it is asked for, and what it asks for then.

A step is (service, operation), ("pg", statement) or ("redis", command). A list of steps in place of one runs side by side.
"""

from __future__ import annotations

INSTANCES: dict[str, list[tuple[str, int]]] = {
    "gateway": [("gateway1", 8100)],
    "shop": [("shop1", 8101), ("shop2", 8101)],
    "account": [("account1", 8102), ("account2", 8102)],
    "price": [("price1", 8103), ("price1", 8203), ("price2", 8103)],
    "stock": [("stock1", 8104)],
    "search": [("search1", 8105)],
    "catalog": [("catalog1", 8106)],
    "cart": [("cart1", 8107)],
    "session": [("session1", 8108)],
    "payment": [("payment1", 8109)],
    "bank": [("bank1", 8110)],
    "notify": [("notify1", 8111)],
    "shipping": [("shipping1", 8112)],
}
"""Hosts and ports of the instances of each service."""
DATABASE, CACHE = "pg1", "cache1"
HOSTS = {
    name: number
    for number, name in enumerate(
        ["client", *dict.fromkeys(host for ends in INSTANCES.values() for host, _ in ends), DATABASE, CACHE], 2
    )
}
"""Host to the last number of its addresses."""
SHAPED = ("shop2", "stock1")
"""Hosts whose link can be delayed."""

ROUTES = {
    "gateway": {
        "GET /products": [("session", "GET /check"), ("shop", "GET /products")],
        "GET /search": [("search", "GET /search")],
        "GET /account": [("session", "GET /check"), ("account", "GET /people")],
        "POST /orders": [("session", "GET /check"), ("shop", "POST /orders")],
        "GET /cart": [("session", "GET /check"), ("cart", "GET /cart")],
    },
    "shop": {
        "GET /products": [("price", "GET /price"), ("stock", "GET /stock")],
        "POST /orders": [
            ("account", "GET /people"),
            ("stock", "POST /reserve"),
            ("payment", "POST /pay"),
            ("shipping", "POST /parcels"),
            ("notify", "POST /mail"),
        ],
    },
    "account": {"GET /people": [("pg", "people"), ("pg", "addresses")]},
    "price": {"GET /price": [("redis", "GET"), ("pg", "prices")]},
    "stock": {"GET /stock": [("pg", "stock")], "POST /reserve": [("pg", "stock"), ("pg", "reservations")]},
    "search": {"GET /search": [("catalog", "GET /entries"), ("price", "GET /price")]},
    "catalog": {"GET /entries": [("pg", "entries")]},
    "cart": {"GET /cart": [("redis", "LRANGE"), ("stock", "GET /stock")]},
    "session": {"GET /check": [("redis", "INCR")]},
    "payment": {"POST /pay": [("bank", "POST /transfer"), ("pg", "payments")]},
    "bank": {"POST /transfer": []},
    "notify": {"POST /mail": [("redis", "LPUSH")]},
    "shipping": {"POST /parcels": [("pg", "parcels")]},
}
ENTRIES = list(ROUTES["gateway"])
TABLES = ("people", "addresses", "prices", "stock", "reservations", "entries", "payments", "parcels")
WRITTEN = ("reservations", "payments", "parcels")
"""Tables that are written; the others are read."""
PAGES = {"GET": "/{number}", "POST": ""}
"""What is behind the path: a number, so that paths are many and operations few."""


def address(host: str) -> str:
    """The IPv4 address of a host."""
    return f"10.77.0.{HOSTS[host]}"


def statement(table: str) -> str:
    """The operation of the statement on a table."""
    return f"{'UPDATE' if table in WRITTEN else 'SELECT'} mesh_{table}"


def target(operation: str, number: int) -> tuple[str, str]:
    """Method and path of one request of an operation."""
    method, _, path = operation.partition(" ")
    return method, path + PAGES[method].format(number=number)


def owners_file() -> str:
    """The names file of the mesh: who answers for each service."""
    return "".join(f'[service.{service}]\nowner = "team-{service}"\n' for service in INSTANCES)
