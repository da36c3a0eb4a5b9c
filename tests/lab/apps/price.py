"""price1: an internal HTTP service with a cache behind it, called over IPv6.

Usage: python -m tests.lab.apps.price TRUTH_FILE
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import web
from tests.lab import shopdata, topology
from tests.lab.apps.asynchronous import RedisPool, run_until_terminated, served
from tests.lab.truth import TruthLog


class Price:
    """The endpoints."""

    def __init__(self, log: TruthLog) -> None:
        self.redis = RedisPool(log, size=16)

    async def prices(self, call: str, request: web.Request) -> tuple[int, object]:
        """One MGET, and a pipelined store of what it lacked."""
        numbers = [int(number) for number in request.query["ids"].split(",") if number]
        if not numbers:
            return 200, {}
        (cached,) = await self.redis.call(call, ("MGET", *(f"price:{number}" for number in numbers)))
        assert isinstance(cached, list)
        missing = [number for number, value in zip(numbers, cached, strict=True) if value is None]
        if missing:
            await self.redis.call(
                call, *(("SET", f"price:{number}", shopdata.product_price(number), "EX", 300) for number in missing)
            )
        return 200, {number: shopdata.product_price(number) for number in numbers}

    async def quote(self, call: str, request: web.Request) -> tuple[int, object]:
        """A price with the buyer's discount: one call."""
        (percent,) = await self.redis.call(call, ("GET", f"discount:{request.query['user']}"))
        price = shopdata.product_price(int(request.match_info["product"]))
        return 200, {"price": price * (100 - int(str(percent or 0))) // 100}

    async def discount(self, call: str, request: web.Request) -> tuple[int, object]:
        """One call, two where the discount was not known."""
        user = int(request.match_info["user"])
        (percent,) = await self.redis.call(call, ("GET", f"discount:{user}"))
        if percent is None:
            percent = user % 4 * 5
            await self.redis.call(call, ("SET", f"discount:{user}", percent))
        return 200, {"percent": int(str(percent))}


async def main() -> None:
    """Serve until SIGTERM."""
    log = TruthLog(Path(sys.argv[1]), "price")
    price = Price(log)
    await price.redis.warm(2)
    application = web.Application()
    application.router.add_get("/prices", served(log, price.prices))
    application.router.add_get("/quotes/{product}", served(log, price.quote))
    application.router.add_get("/discounts/{user}", served(log, price.discount))
    await run_until_terminated(application, topology.ipv6("price1"), topology.PRICE_PORT, log)


if __name__ == "__main__":
    asyncio.run(main())
