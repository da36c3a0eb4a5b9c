"""No secret that a capture holds is in any byte of any output, and hostile text acts on nothing.

The captures hold secrets of every kind in every place where protocols carry them; every output is searched, decompressed.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.captures import Packet, TcpConversation, merge, write_pcap
from tests.support.command_line import PROGRAM, environment, invoke, run_on_terminal
from tests.support.outputs import all_outputs

from wiretrace.case.reader import Case
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from pathlib import Path

CARD = "4111111111111111"
MAIL = "alice.kanari@example.com"
AWS_KEY = "AKIAIOSFODNN7EXAMPLE"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrYW5hcmkifQ.dozjgNryP4J3jVmNHl0w5N"
RANDOM = "wJalrXUtnFEMI9K7MDENG2bPxRfiCYEXAMPLEKEY7x3Q"
BASIC = base64.b64encode(b"alice:kanaribasic").decode()
SECRETS = (CARD, MAIL, AWS_KEY, TOKEN, RANDOM, BASIC)
"""Secrets by their looks, wherever they stand."""
CANARY = re.compile(rb"kanari[a-z]+", re.IGNORECASE)
"""Secrets by their place: every password in the captures begins like this and looks like an ordinary word."""

MARKUP = b"<script>alert(1)</script><img src=x onerror=alert(1)>"
HOSTILE = MARKUP + b"\x1b[31m\x1b]0;owned\x07\0\xe2\x80\xae\xe2\x81\xa6\x7f\xc2\x9b\xff\xfe"
LONG = 1_000_000
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Characters that act on a terminal, or on the direction of reading."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

Turns = list[tuple[bytes, bytes]]


def captured(path: Path, *conversations: tuple[int, Turns]) -> Path:
    """A capture of one conversation with each of some ports: turns of what the client and then the server says."""
    packets: list[list[Packet]] = []
    for number, (port, turns) in enumerate(conversations):
        conversation = TcpConversation(("10.0.0.1", 40000 + number), ("10.0.0.2", port), mss=60_000).open()
        for client, server in turns:
            for side, data in ((Side.CLIENT, client), (Side.SERVER, server)):
                if data:
                    conversation.send(side, data)
        packets.append(conversation.close().packets)
    return write_pcap(path, merge(*packets))


def request(head: str, *fields: str, body: str = "") -> bytes:
    lines = [head + " HTTP/1.1", "Host: shop", *fields, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def response(status: str, *fields: str, body: str = "") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", body]).encode()


def http_turns() -> Turns:
    form, json_type = "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json"
    return [
        (
            request(
                f"GET /login?password=kanariquery&user=alice&card={CARD}&mail={MAIL}&x={TOKEN}&y={AWS_KEY}&z={RANDOM}"
            ),
            response("200 OK", "Set-Cookie: sid=kanarisetcookie; Path=/", body="kanaribody"),
        ),
        (
            request(
                "POST /login", form, f"Authorization: Basic {BASIC}", body=f"user=a&password=kanariform&pan={CARD}"
            ),
            response("401 Unauthorized", "WWW-Authenticate: Basic realm=x"),
        ),
        (
            request(
                "POST /pay",
                json_type,
                f"Authorization: Bearer {TOKEN}",
                "Cookie: session=kanaricookie",
                "X-Api-Key: kanariapikey",
                body=f'{{"password":"kanarijson","card":"{CARD}","mail":"{MAIL}"}}',
            ),
            response("200 OK", json_type, body='{"token":"kanarianswer"}'),
        ),
        (request(f"GET /cards/{CARD}/of/{MAIL}/{AWS_KEY}/{RANDOM}"), response("404 Not Found")),
        (request(f"GET http://alice:kanariuser@shop/{TOKEN}"), response(f"500 Oops {MAIL}")),
        (
            request(
                "GET /x",
                f"User-Agent: agent/1 ({MAIL}; {AWS_KEY})",
                f"X-Request-Id: {CARD}",
                f"X-Correlation-Id: {MAIL}",
                f"Referer: http://shop/?password=kanarireferer&card={CARD}",
                f"X-Forwarded-For: {MAIL}",
            ),
            response("302 Found", "Location: /?token=kanarilocation"),
        ),
    ]


def pg(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


READY = pg(b"Z", b"I")


def postgresql_turns(extra: bytes = b"") -> Turns:
    startup = struct.pack(">I", 3 << 16) + b"user\0alice\0database\0shop\0\0"
    failure = f"SERROR\0VERROR\0C23505\0Mduplicate key {MAIL}\0DKey (card)=({CARD}) kanaridetail\0\0".encode()
    statements = [
        f"SELECT * FROM users WHERE password = 'kanarisql' AND card = {CARD} AND mail = '{MAIL}'",
        "ALTER USER alice WITH PASSWORD 'kanarialter'",
        f"SELECT $tag$kanaridollar$tag$, E'kanari\\'escape', U&'kanariunicode' /* kanaricomment {AWS_KEY} */ -- kanariline",
        f"INSERT INTO keys VALUES ('{TOKEN}', '{RANDOM}')",
        "SELECT 'kanariunended",
    ]
    turns = [
        (struct.pack(">I", len(startup) + 4) + startup, pg(b"R", struct.pack(">I", 3))),
        (pg(b"p", b"kanaripassword\0"), pg(b"R", bytes(4)) + READY),
    ]
    turns += [(pg(b"Q", text.encode() + extra + b"\0"), pg(b"C", b"SELECT 1\0") + READY) for text in statements]
    bind = b"\0s1\0" + struct.pack(">HHI", 0, 1, 12) + b"kanaribinder" + struct.pack(">H", 0)
    turns += [
        (
            pg(b"P", b"s1\0SELECT id FROM users WHERE password = $1\0\0\0")
            + pg(b"B", bind)
            + pg(b"E", bytes(5))
            + pg(b"S"),
            pg(b"1") + pg(b"2") + pg(b"C", b"SELECT 0\0") + READY,
        ),
        (pg(b"Q", b"SELECT 1" + extra + b"\0"), pg(b"E", failure + extra.replace(b"\0", b"")) + READY),
    ]
    return turns


def my(*payloads: bytes, first: int = 0) -> bytes:
    return b"".join(
        struct.pack("<I", len(payload) | (first + index & 0xFF) << 24) + payload
        for index, payload in enumerate(payloads)
    )


def mysql_turns(extra: bytes = b"") -> Turns:
    greeting = (
        b"\x0a8.0.1\0" + bytes(4) + b"12345678\0" + struct.pack("<HBHHB", 0x8208, 33, 2, 0, 0) + bytes(10) + bytes(13)
    )
    done = b"\0\0\0\2\0\0\0"
    login = struct.pack("<IIB", 0x8208, 1 << 24, 33) + bytes(23) + b"alice\0\x0ckanarimysqlx" + b"shop\0"
    failure = f"#23000Duplicate entry '{MAIL}' for kanariduplicate".encode()
    return [
        (b"", my(greeting)),
        (my(login, first=1), my(done, first=2)),
        (my(f"\x03SELECT \"kanaridouble\", 'kanarisingle', {CARD}".encode() + extra), my(done, first=1)),
        (my(b"\x03SET PASSWORD = 'kanarisetpassword'"), my(done, first=1)),
        (my(b"\x03INSERT INTO users VALUES ('x')" + extra), my(b"\xff\x26\x04" + failure + extra, first=1)),
    ]


def bulk(*arguments: str | bytes) -> bytes:
    parts = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def redis_turns(extra: bytes = b"") -> Turns:
    return [
        (bulk("AUTH", "kanariredis"), b"+OK\r\n"),
        (bulk("HELLO", "3", "AUTH", "alice", "kanarihello"), b"+OK\r\n"),
        (bulk("SET", b"user:8812" + extra, "kanarivalue"), b"+OK\r\n"),
        (bulk("SET", f"mail:{MAIL}", RANDOM), b"+OK\r\n"),
        (bulk("CONFIG", "SET", "requirepass", "kanariconfig"), b"+OK\r\n"),
        (bulk("EVAL", "return 'kanariscript'", "0"), b"+OK\r\n"),
        (bulk("GET", f"card:{CARD}"), b"$11\r\nkanarireply\r\n"),
        (bulk("INCR", b"n" + extra), b"-ERR kanarierror " + MAIL.encode() + extra.replace(b"\n", b"") + b"\r\n"),
    ]


def memcached_turns(extra: bytes = b"") -> Turns:
    key = re.sub(rb"[\x00-\x20\x7f]", b"", extra)[:200]
    return [
        (b"set user:8812%s 0 0 12\r\nkanaricached\r\n" % key, b"STORED\r\n"),
        (b"get user:8812%s\r\n" % key, b"VALUE user:8812%s 0 12\r\nkanaricached\r\nEND\r\n" % key),
        (b"get card:%s\r\n" % CARD.encode(), b"END\r\n"),
    ]


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return captured(
        tmp_path_factory.mktemp("secret") / "web1.pcap",
        (80, http_turns()),
        (5432, postgresql_turns()),
        (3306, mysql_turns()),
        (6379, redis_turns()),
        (11211, memcached_turns()),
    )


@pytest.fixture(scope="module")
def outputs(secret: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return all_outputs(secret, tmp_path_factory.mktemp("outputs"))


def test_the_captures_were_read(outputs: dict[str, bytes]) -> None:
    """Nothing is redacted by not being read."""
    for operation in (b"POST /login", b"ALTER USER", b"login", b"AUTH", b"get", b"SELECT users"):
        assert operation in outputs["table calls"], operation


def test_no_secret_is_in_any_output(outputs: dict[str, bytes]) -> None:
    found = [(name, canary) for name, content in outputs.items() for canary in set(CANARY.findall(content))]
    found += [
        (name, text.encode()) for name, content in outputs.items() for text in SECRETS if text.encode() in content
    ]
    assert found == []


def test_kept_values_are_marked(secret: Path, tmp_path: Path) -> None:
    """With --keep-values there are secrets in the outputs, and each that a person reads says so."""
    kept = all_outputs(secret, tmp_path, "--keep-values")
    assert b"kanarisql" in kept["table calls"]
    assert b"--keep-values" in kept["terminal"]
    assert b'"values_kept"' in kept["json"]
    assert b'"keepsValues":true' in kept["html"]
    assert Case.open(tmp_path / "a.case").manifest.keeps_values
    shown = [content for name, content in kept.items() if name.startswith("show ")]
    assert all(b"--keep-values" in content for content in shown)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = HOSTILE.replace(b"\0", b"")
    plain = re.sub(rb"[\x00-\x20]", b"", text)
    line = "a" * LONG
    web = [
        (
            b"".join(
                (b"GET /", plain, b"?", plain, b"=1 HTTP/1.1\r\nHost: ", plain, b"\r\nUser-Agent: ", text, b"\r\n\r\n")
            ),
            b"".join((b"HTTP/1.1 500 ", text, b"\r\nServer: ", text, b"\r\nContent-Length: 0\r\n\r\n")),
        ),
        (request(f"GET /{line}"), response("200 OK")),
        (request("GET /1", f"User-Agent: {line}", f"Host: {line}", f"X-Request-Id: {line}"), response(f"500 {line}")),
    ]
    long_sql = b"SELECT '" + b"x" * LONG + b"' FROM " + HOSTILE.replace(b"\0", b"") + b"t" * LONG
    statements = [(pg(b"Q", long_sql + b"\0"), pg(b"E", b"C" + HOSTILE + b"\0M" + b"m" * LONG + b"\0\0") + READY)]
    sql = HOSTILE.replace(b"\0", b"")
    return captured(
        tmp_path_factory.mktemp("hostile") / "<script>alert(1)<\x1b[31m.pcap".replace("/", ""),
        (80, web),
        (5432, postgresql_turns(sql) + statements),
        (3306, mysql_turns(HOSTILE)),
        (
            6379,
            [
                *redis_turns(HOSTILE),
                (bulk("GET", b"k" * LONG), b"$-1\r\n"),
                (bulk("SET", "k", b"v" * LONG), b"+OK\r\n"),
            ],
        ),
        (11211, memcached_turns(HOSTILE)),
    )


def test_hostile_text_acts_nowhere(hostile: Path, tmp_path: Path) -> None:
    """No control or bidirectional character reaches a terminal, a page or JSON, and no markup a page."""
    shutil.copy(hostile, tmp_path / "web1.pcap")  # what a user calls a file is no captured text
    for name, content in all_outputs(tmp_path / "web1.pcap", tmp_path).items():
        if name.startswith("file ") and name.endswith(".parquet"):
            continue  # its cells are in the tables
        if name.startswith("html block "):
            (size,) = struct.unpack_from("<I", content)
            content = content[4 : 4 + size]  # the header, which holds all text; numbers follow
        text = content.decode()  # strictly: every output is UTF-8
        if name == "html":
            text = re.sub(r"<script[ >].*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
            assert "<img" not in text
            assert "alert(1)" not in text
        assert ACTS.findall(text) == [], name
    overview = re.search(rb'id="overview">(.*?)</script>', (tmp_path / "a.html").read_bytes(), re.DOTALL)
    assert overview is not None
    assert b"<" not in overview[1]


def test_hostile_text_acts_on_no_terminal(hostile: Path, tmp_path: Path) -> None:
    """Standard output on a terminal: colours are ours, and nothing else is there that moves or titles anything."""
    shown = run_on_terminal(["analyze", hostile, "--jobs", "1", "--jsonl", "-"])
    case = tmp_path / "a.case"
    invoke(["analyze", hostile, "-o", case, "--jobs", "1"])
    shown += run_on_terminal(["show", case, "--limit", "0"]) + run_on_terminal(["query", case, "SELECT * FROM calls"])
    drawn = re.sub(
        r"\x1b\[(?:[0-9;]*m|\?25[lh]|2K|1A)", "", shown
    )  # the progress bar hides the cursor, and clears its line
    assert ACTS.findall(drawn.replace("\r", "")) == []


def test_memory_is_bounded_and_nothing_is_written_elsewhere(hostile: Path, tmp_path: Path) -> None:
    before = sorted(hostile.parent.iterdir())
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    more = {"TMPDIR": str(temporary), "HOME": str(work)}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "analyze", str(hostile), "--jobs", "1", "--html", "a.html", "--json", "a.json"],
        stdout=subprocess.DEVNULL,
        env=environment(more),
        cwd=work,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert usage.ru_maxrss < 600 * 1024  # KiB
    assert sorted(entry.name for entry in work.iterdir()) == ["a.html", "a.json"]
    assert list(temporary.iterdir()) == []
    assert sorted(hostile.parent.iterdir()) == before
