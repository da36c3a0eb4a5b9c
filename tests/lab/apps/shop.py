"""shop1: the threaded, blocking application behind nginx. A thread a connection, pools for everything it calls.

Usage: python -m tests.lab.apps.shop TRUTH_FILE
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import topology
from tests.lab.apps.blocking_http import Request, serve
from tests.lab.apps.pools import HttpSession, MariadbSession, MemcachedSession, Pool, PostgresqlSession
from tests.lab.truth import HEADER, TruthLog, endpoint, new_id, now_ns

POOL_SIZE = 8
OPENED_AT_START = 2
SIDE_BY_SIDE_THREADS = 16


def nothing() -> None:
    """What most requests leave to be done after their response."""


Answer = tuple[int, object, Callable[[], None]]


class Shop:
    """The endpoints."""

    def __init__(self, log: TruthLog) -> None:
        self._log = log
        account, price = topology.ipv4("account1"), topology.ipv6("price1")
        self._postgresql = Pool(POOL_SIZE, OPENED_AT_START, lambda: PostgresqlSession(log))
        self._mariadb = Pool(POOL_SIZE, OPENED_AT_START, lambda: MariadbSession(log))
        self._memcached = Pool(POOL_SIZE, OPENED_AT_START, lambda: MemcachedSession(log))
        self._account = Pool(POOL_SIZE, 0, lambda: HttpSession(log, "account", account, topology.ACCOUNT_PORT))
        self._price = Pool(POOL_SIZE, 0, lambda: HttpSession(log, "price", price, topology.PRICE_PORT))
        self._side_by_side = ThreadPoolExecutor(SIDE_BY_SIDE_THREADS)

    def handle(self, request: Request) -> tuple[int, bytes, Callable[[], None]]:
        """Answer a request and write it down."""
        start = now_ns()
        call_id = new_id()
        status, body, afterwards = self._route(call_id, request)
        self._log.write_served(
            call_id,
            request.headers[HEADER.lower()],
            "web",
            f"{request.method} {request.target}",
            endpoint(request.connection.getpeername()),
            endpoint(request.connection.getsockname()),
            start,
        )
        return status, json.dumps(body).encode(), afterwards

    def _route(self, call: str, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        match (request.method, *path.strip("/").split("/")):
            case ("GET", "products", number):
                return self.product(call, int(number))
            case ("GET", "search"):
                return self.search(call, query.removeprefix("q="))
            case ("GET", "recommendations", user):
                return self.recommendations(call, int(user))
            case ("POST", "carts", user, "items"):
                return self.add_to_cart(call, int(user), json.loads(request.body))
            case ("POST", "orders"):
                return self.order(call, json.loads(request.body))
            case ("GET", "orders", number):
                return self.show_order(call, int(number))
        return 404, {"error": "no such page"}, nothing

    def product(self, call: str, number: int) -> Answer:
        """Two calls where the product is cached, four where it is not."""
        with self._memcached.lease() as cache:
            cached = cache.get(call, f"product:{number}")
        if cached is None:
            with self._postgresql.lease() as database:
                rows = database.extended(
                    call, "SELECT id, name, price_cents, description FROM products WHERE id = %s", number
                )
            if not rows:
                return 404, {"error": f"no product {number}"}, nothing
            cached = json.dumps(rows[0]).encode()
            with self._memcached.lease() as cache:
                cache.set(call, f"product:{number}", cached)
        with self._mariadb.lease() as stock:
            stock.ping_if_idle()
            row = stock.prepared(call, "SELECT warehouse, quantity FROM stock WHERE product_id = ?", number)[0]
        _, name, price, description = json.loads(cached)
        return (
            200,
            {"id": number, "name": name, "price": price, "text": description, "stock": row[1], "from": row[0]},
            nothing,
        )

    def search(self, call: str, word: str) -> Answer:
        """A query with literals, then the prices of what it found."""
        with self._postgresql.lease() as database:
            rows = database.simple(
                call, "SELECT id, name FROM products WHERE category = %s ORDER BY name LIMIT 8", word
            )
        numbers = ",".join(str(row[0]) for row in rows)
        with self._price.lease() as price:
            _, prices = price.request(call, "GET", f"/prices?ids={numbers}")
        return 200, {"found": [row[1] for row in rows], "prices": json.loads(prices)}, nothing

    def recommendations(self, call: str, user: int) -> Answer:
        """Three calls side by side, then one that depends on them."""
        orders = self._side_by_side.submit(self._last_products, call, user)
        discount = self._side_by_side.submit(self._discount, call, user)
        with self._memcached.lease() as cache:
            seen = cache.get_many(call, [f"seen:{user}", f"cart:{user}"])
        products = orders.result()
        with self._mariadb.lease() as reviews:
            marks = ",".join(str(number) for number in products)
            words = reviews.text(call, f"SELECT product_id, rating FROM reviews WHERE product_id IN ({marks}) LIMIT 5")
        return 200, {"again": products, "reviews": words, "seen": len(seen), "discount": discount.result()}, nothing

    def _last_products(self, call: str, user: int) -> list[int]:
        with self._postgresql.lease() as database:
            rows = database.extended(
                call,
                "SELECT i.product_id FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.user_id = %s "
                "ORDER BY o.id DESC LIMIT 4",
                user,
            )
        return [row[0] for row in rows] or [1]

    def _discount(self, call: str, user: int) -> object:
        with self._price.lease() as price:
            return json.loads(price.request(call, "GET", f"/discounts/{user}")[1])

    def add_to_cart(self, call: str, user: int, item: dict[str, int]) -> Answer:
        """Three calls, one of them to an application that makes calls itself."""
        with self._account.lease() as account:
            status, _ = account.request(call, "GET", f"/users/{user}")
        if status != 200:
            return 404, {"error": f"no user {user}"}, nothing
        with self._mariadb.lease() as carts:
            carts.ping_if_idle()
            carts.text(
                call, "INSERT INTO cart_items (user_id, product_id, quantity) VALUES (%s, %s, %s)",
                user, item["product"], item["quantity"],
            )  # fmt: skip
        with self._memcached.lease() as cache:
            cache.delete(call, f"cart:{user}")
        return 201, {"user": user, "product": item["product"]}, nothing

    def order(self, call: str, order: dict[str, int]) -> Answer:
        """A transaction of four statements, a change of stock, a charge, and an event sent after the response."""
        user, product, quantity = order["user"], order["product"], order["quantity"]
        with self._postgresql.lease() as database:
            database.simple(call, "BEGIN")
            number = database.extended(
                call, "INSERT INTO orders (user_id, status) VALUES (%s, %s) RETURNING id", user, "new"
            )[0][0]
            database.extended(
                call,
                "INSERT INTO order_items (order_id, product_id, quantity) VALUES (%s, %s, %s)",
                number,
                product,
                quantity,
            )
            database.simple(call, "COMMIT")
        with self._mariadb.lease() as stock:
            stock.prepared(call, "UPDATE stock SET quantity = quantity - ? WHERE product_id = ?", quantity, product)
        body = json.dumps({"order": number, "product": product, "quantity": quantity}).encode()
        with self._account.lease() as account:
            status, _ = account.request(call, "POST", f"/users/{user}/charge", body)

        def tell() -> None:
            """Send the event once the response is on its way."""
            threading.Thread(target=self._send_event, args=(call, user, number), daemon=True).start()

        return (201 if status == 200 else 409), {"order": number}, tell

    def _send_event(self, call: str, user: int, number: int) -> None:
        body = json.dumps({"kind": "ordered", "user": user, "order": number}).encode()
        with self._account.lease() as account:
            account.request(call, "POST", "/events", body)

    def show_order(self, call: str, number: int) -> Answer:
        """One query, then the buyer and the quote side by side."""
        with self._postgresql.lease() as database:
            rows = database.simple(
                call,
                "SELECT o.user_id, i.product_id, i.quantity FROM orders o JOIN order_items i ON i.order_id = o.id "
                "WHERE o.id = %s",
                number,
            )
        if not rows:
            return 404, {"error": f"no order {number}"}, nothing
        user, product, quantity = rows[0]
        quote = self._side_by_side.submit(self._quote, call, product, user)
        with self._account.lease() as account:
            _, buyer = account.request(call, "GET", f"/users/{user}")
        return (
            200,
            {"order": number, "buyer": json.loads(buyer), "quote": quote.result(), "quantity": quantity},
            nothing,
        )

    def _quote(self, call: str, product: int, user: int) -> object:
        with self._price.lease() as price:
            return json.loads(price.request(call, "GET", f"/quotes/{product}?user={user}")[1])


def main() -> None:
    """Serve until SIGTERM."""
    log = TruthLog(Path(sys.argv[1]), "shop")

    def stop(*_: object) -> None:
        log.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    serve("0.0.0.0", topology.SHOP_PORT, Shop(log).handle)


if __name__ == "__main__":
    main()
