"""The hosts of the lab, their addresses and the ports of their servers."""

HOSTS = {
    "client": 2,
    "web1": 3,
    "shop1": 4,
    "account1": 5,
    "price1": 6,
    "pg1": 7,
    "maria1": 8,
    "cache1": 9,
}
"""Host name to the last number of its addresses."""

HTTP_PORT = 80
SHOP_PORT = 8080
ACCOUNT_PORT = 8081
PRICE_PORT = 8082
POSTGRESQL_PORT = 5432
MARIADB_PORT = 3306
REDIS_PORT = 6379
MEMCACHED_PORT = 11211

USER = "shop"
PASSWORD = "correct horse"
DATABASE = "shop"


def ipv4(host: str) -> str:
    """The IPv4 address of ``host``."""
    return f"10.77.0.{HOSTS[host]}"


def ipv6(host: str) -> str:
    """The IPv6 address of ``host``. price1 is called over IPv6 only."""
    return f"fd77::{HOSTS[host]}"
