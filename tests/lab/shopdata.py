"""The shop's data: people, products, and how often each is asked for.

Rules of this file: equal seeds give equal data. Popularity falls as 1/rank (Zipf), so that the same few products are
in many requests and caches fill, as in a real shop; identifiers stand in paths, SQL and cache keys, and no
identifier names a request.
"""

import bisect
import itertools
import random

USERS = 2000
PRODUCTS = 1000
FIRST_NAMES = [
    "Ada",
    "Ben",
    "Chloe",
    "Dario",
    "Elif",
    "Femi",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kaya",
    "Leon",
    "Mona",
    "Nils",
    "Olga",
    "Priya",
    "Quinn",
    "Rosa",
    "Sam",
    "Tara",
]
LAST_NAMES = [
    "Abel",
    "Brandt",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Huber",
    "Ito",
    "Jensen",
    "Khan",
    "Lopez",
    "Meyer",
    "Novak",
    "Okafor",
    "Patel",
]
CITIES = [
    "Aarhus",
    "Bergen",
    "Cork",
    "Delft",
    "Evora",
    "Fulda",
    "Ghent",
    "Haifa",
    "Izmir",
    "Jena",
    "Kyoto",
    "Lyon",
    "Malmo",
    "Nantes",
    "Oslo",
    "Porto",
]
ADJECTIVES = [
    "amber",
    "brass",
    "copper",
    "dusky",
    "early",
    "folding",
    "granite",
    "hollow",
    "iron",
    "jade",
    "knitted",
    "linen",
    "maple",
    "narrow",
    "oak",
    "pine",
]
THINGS = [
    "lamp",
    "kettle",
    "chair",
    "basket",
    "clock",
    "desk",
    "ladder",
    "mirror",
    "shelf",
    "stool",
    "table",
    "tray",
    "vase",
    "bench",
    "bowl",
    "candle",
]


class Popularity:
    """Draws numbers from 1 to ``count``; number ranks are shuffled by ``seed`` and drawn Zipf-like."""

    def __init__(self, count: int, seed: int, exponent: float = 0.9) -> None:
        self._numbers = list(range(1, count + 1))
        random.Random(seed).shuffle(self._numbers)
        self._cumulative = list(itertools.accumulate(1 / rank**exponent for rank in range(1, count + 1)))

    def draw(self, source: random.Random) -> int:
        """The next number."""
        return self._numbers[bisect.bisect(self._cumulative, source.random() * self._cumulative[-1])]


def user_name(number: int) -> str:
    """The full name of a user."""
    return f"{FIRST_NAMES[number % len(FIRST_NAMES)]} {LAST_NAMES[number // 7 % len(LAST_NAMES)]}"


def user_email(number: int) -> str:
    """The e-mail address of a user."""
    return f"{user_name(number).lower().replace(' ', '.')}.{number}@example.org"


def product_name(number: int) -> str:
    """The name of a product."""
    return f"{ADJECTIVES[number % len(ADJECTIVES)]} {THINGS[number // 16 % len(THINGS)]} {number}"


def product_price(number: int) -> int:
    """The price of a product in cents."""
    return 199 + number * 7919 % 19_800


def postgresql_statements() -> list[str]:
    """The schema and the rows of the PostgreSQL database, one statement an item."""
    users = ",".join(
        f"({n},'{user_name(n)}','{user_email(n)}','{CITIES[n % len(CITIES)]}',{n * 37 % 90_000})"
        for n in range(1, USERS + 1)
    )
    products = ",".join(
        f"({n},'{product_name(n)}','{THINGS[n // 16 % len(THINGS)]}',{product_price(n)},"
        f"'A {product_name(n)}, made by hand in {CITIES[n % len(CITIES)]}. Ships within {n % 5 + 1} days.')"
        for n in range(1, PRODUCTS + 1)
    )
    return [
        "CREATE TABLE users (id int PRIMARY KEY, name text, email text UNIQUE, city text, balance_cents bigint)",
        "CREATE TABLE products (id int PRIMARY KEY, name text, category text, price_cents int, description text)",
        "CREATE TABLE orders (id bigserial PRIMARY KEY, user_id int, status text, created_at timestamptz DEFAULT now())",
        "CREATE TABLE order_items (order_id bigint, product_id int, quantity int)",
        "CREATE TABLE sessions (token text PRIMARY KEY, user_id int)",
        "CREATE INDEX ON order_items (order_id)",
        "CREATE INDEX ON orders (user_id)",
        "CREATE INDEX ON products (category)",
        f"INSERT INTO users VALUES {users}",
        f"INSERT INTO products VALUES {products}",
        "INSERT INTO orders (user_id, status) SELECT n * 13 % 2000 + 1, 'shipped' FROM generate_series(1, 3000) n",
        "INSERT INTO order_items SELECT n, n * 7 % 1000 + 1, n % 3 + 1 FROM generate_series(1, 3000) n",
        "ANALYZE",
    ]


def mariadb_statements() -> list[str]:
    """The schema and the rows of the MariaDB database, one statement an item."""
    stock = ",".join(f"({n},'{CITIES[n % 4]}',{1_000_000 + n})" for n in range(1, PRODUCTS + 1))
    reviews = [
        f"({n},{n % PRODUCTS + 1},{n % 5 + 1},'The {product_name(n % PRODUCTS + 1)} is just right, says {user_name(n)}')"
        for n in range(1, 3001)
    ]
    return [
        "CREATE TABLE stock (product_id INT PRIMARY KEY, warehouse VARCHAR(40), quantity INT)",
        "CREATE TABLE reviews (id INT PRIMARY KEY, product_id INT, rating INT, words VARCHAR(200), KEY (product_id))",
        "CREATE TABLE cart_items (user_id INT, product_id INT, quantity INT, KEY (user_id))",
        f"INSERT INTO stock VALUES {stock}",
        # mariadbd --bootstrap takes at most 60,000 bytes a statement.
        *(f"INSERT INTO reviews VALUES {','.join(reviews[at : at + 500])}" for at in range(0, len(reviews), 500)),
    ]
