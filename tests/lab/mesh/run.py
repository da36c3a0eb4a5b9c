"""Starts the mesh once, and records many short windows, each with its own faults, whose truth it writes down.

`record(out, windows)` gives a folder a window: one capture a host, and `truth.json`.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.lab import servers, topology
from tests.lab.mesh import plan
from tests.lab.network import Network
from tests.lab.network import run as run_command
from tests.lab.recording import FILE_HEADER, RECORD_HEADER, Recording
from tests.lab.run import run_directory

if TYPE_CHECKING:
    import random
    from pathlib import Path

REQUESTS, RATE = 220, 45
"""Requests of a window, and how many begin in a second."""
BEGINS = 0.4
"""Share of a window that passes before a fault begins."""
PAUSE_SECONDS = 0.5
"""Between two windows."""
SETUP = """
import psycopg
from tests.lab import topology
from tests.lab.mesh import plan
with psycopg.connect(host=plan.address(plan.DATABASE), port=topology.POSTGRESQL_PORT, user=topology.USER,
                     dbname=topology.DATABASE, password=topology.PASSWORD) as connection:
    connection.execute("CREATE TABLE trouble (name text, ms float, fails float)")
    connection.execute('''CREATE FUNCTION trouble(wanted text) RETURNS int VOLATILE LANGUAGE plpgsql AS $$
        DECLARE found trouble;
        BEGIN
            SELECT * INTO found FROM trouble WHERE name = wanted;
            IF found.ms > 0 THEN PERFORM pg_sleep(found.ms * (0.8 + 0.4 * random()) / 1000); END IF;
            IF random() < found.fails THEN RAISE EXCEPTION 'broken' USING ERRCODE = 'P0001'; END IF;
            RETURN 0;
        END $$''')
    for table in plan.TABLES:
        connection.execute(f"CREATE TABLE mesh_{table} (id int PRIMARY KEY, word text)")
        connection.execute(f"INSERT INTO mesh_{table} SELECT n, 'word ' || n FROM generate_series(0, 499) n")
"""
TROUBLE = """
import sys, psycopg
from tests.lab import topology
from tests.lab.mesh import plan
with psycopg.connect(host=plan.address(plan.DATABASE), port=topology.POSTGRESQL_PORT, user=topology.USER,
                     dbname=topology.DATABASE, password=topology.PASSWORD, autocommit=True) as connection:
    for line in sys.stdin:
        name, ms, fails = line.split()
        connection.execute("DELETE FROM trouble")
        connection.execute("INSERT INTO trouble VALUES (%s, %s, %s)", (name, float(ms), float(fails)))
        print("done", flush=True)
"""


@dataclass(slots=True)
class Fault:
    """One fault, and what a diagnosis has to name."""

    kind: str
    """What it is: slow service, failing instance, slow link, ..."""
    truth: list[tuple[str, str]]
    """Components (kind, name) that are right: one, with its other names."""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Faults of instances, by HOST-PORT."""
    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Faults of links, by host."""
    statement: tuple[str, float, float] | None = None
    """Table, milliseconds, and share that fails."""
    always: bool = False
    """Whether it holds for the whole window."""


def random_fault(source: random.Random) -> Fault:
    """One fault of any kind, of a component that enough requests go through."""
    how = source.choice(["slow", "failing", "flaky"])
    effect: dict[str, Any] = {
        "slow": {"slow_ms": source.uniform(60, 200), "share": source.uniform(0.6, 1.0)},
        "failing": {"fail": 1.0},
        "flaky": {"fail": source.uniform(0.2, 0.5)},
    }[how]
    what = source.choice(["service", "instance", "host", "link", "host link", "statement"])
    if what == "service":
        name = source.choice([service for service in plan.INSTANCES if service != "gateway"])
        ends = plan.INSTANCES[name]
        same = [("service", name)]
        if len(ends) == 1:  # nothing tells the service from its only instance, or from the host that runs nothing else
            same += [("instance", f"{ends[0][0]}:{ends[0][1]}"), ("host", ends[0][0])]
        return Fault(f"{how} service", same, {f"{host}-{port}": effect for host, port in ends})
    if what == "instance":
        name = source.choice([service for service, ends in plan.INSTANCES.items() if len(ends) > 1])
        host, port = source.choice(plan.INSTANCES[name])
        alone = sum(one == host for one, _ in plan.INSTANCES[name]) == 1
        same = [("instance", f"{host}:{port}"), *([("host", host)] if alone else [])]
        return Fault(f"{how} instance", same, {f"{host}-{port}": effect})
    if what == "host":
        host = source.choice(
            [name for name in plan.HOSTS if name not in ("client", "gateway1", plan.DATABASE, plan.CACHE)]
        )
        there = [(service, at) for service, ends in plan.INSTANCES.items() for at in ends if at[0] == host]
        same = [("host", host)]
        if len(there) == 1:
            same += [("instance", f"{host}:{there[0][1][1]}")]
            same += [("service", there[0][0])] if len(plan.INSTANCES[there[0][0]]) == 1 else []
        return Fault(f"{how} host", same, {f"{host}-{port}": effect for _, (_, port) in there})
    if what == "statement":
        table = source.choice(plan.TABLES)
        trouble = (table, effect.get("slow_ms", 0.0), effect.get("fail", 0.0))
        return Fault(f"{how} statement", [("statement", f"{plan.statement(table)} (pg)")], statement=trouble)
    host, delay = source.choice(plan.SHAPED), source.uniform(25, 60)
    if what == "host link":
        return Fault("slow host link", [("host", host)], links={host: {"delay_ms": delay}})
    peers = {"shop2": ["gateway1", "price1", "stock1"], "stock1": ["shop1", "shop2", "cart1", plan.DATABASE]}
    peer = source.choice(peers[host])
    names = [("edge", f"{one} ↔ {other}") for one, other in ((host, peer), (peer, host))]
    services = [name.rstrip("0123456789") for name in (host, peer)]
    names += [("edge", f"{one} → {other}") for one, other in (services, services[::-1])]
    return Fault("slow link", names, links={host: {"delay_ms": delay, "peer": plan.address(peer)}})


def behaviour(what: str, source: random.Random) -> Fault:
    """What a system does that a rule has to tell: what is wrong with it is no fault of a component."""
    match what:
        case "n-plus-one":
            name, table = source.choice([("account", "addresses"), ("catalog", "entries"), ("stock", "stock")])
            effect = {"repeat": source.randrange(7, 12)}
            instances = {f"{host}-{port}": effect for host, port in plan.INSTANCES[name]}
            return Fault(what, [("statement", f"{plan.statement(table)} (pg)")], instances, always=True)
        case "missing-call":
            skipped = ["notify", "POST /mail"] if source.random() < 0.5 else ["shipping", "POST /parcels"]
            effect = {"skip": skipped, "every": source.randrange(12, 17)}
            instances = {f"{host}-{port}": effect for host, port in plan.INSTANCES["shop"]}
            return Fault(what, [("operation", f"{skipped[1]} ({skipped[0]})")], instances, always=True)
        case "duplicate-write":
            instances = {f"{host}-{port}": {"slow_ms": 700, "share": 0.3} for host, port in plan.INSTANCES["shop"]}
            instances["gateway1-8100"] = {"double": "POST /orders", "timeout_ms": 400}
            return Fault(what, [("operation", "POST /orders (shop)")], instances, always=True)
        case "client-timeout":
            wait = source.randrange(250, 700)
            effect = {"slow_ms": 3000, "share": 0.25}
            instances = {"bank1-8110": effect, "payment1-8109": {"stall": "bank", "timeout_ms": wait}}
            return Fault(what, [("edge", "payment → bank"), ("ms", str(wait))], instances, always=True)
        case _:
            return Fault(what, [("edge", "stock → pg"), ("size", "6")], statement=("stock", 330.0, 0.0), always=True)


BEHAVIOURS = ("n-plus-one", "missing-call", "duplicate-write", "client-timeout", "pool-size")


class Mesh:
    """The running mesh; a context manager."""

    def __init__(self, out: Path, seed: int) -> None:
        self.out, self.seed = out, seed
        self.windows: list[tuple[Path, int, int]] = []

    def __enter__(self) -> Mesh:
        topology.HOSTS.clear()
        topology.HOSTS.update(plan.HOSTS)
        self._folder = run_directory()
        self.directory = self._folder.__enter__()
        self.network = Network(list(plan.HOSTS), True)
        self.network.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        for host in plan.SHAPED:
            self._shape(host)
        waits = [
            servers.start_postgresql(self.network, self.directory, plan.DATABASE),
            servers.start_redis(self.network, self.directory, plan.CACHE),
        ]
        for wait in waits:
            wait()
        prepared = self.network.start(plan.DATABASE, [sys.executable, "-c", SETUP])
        if prepared.wait(30):
            raise RuntimeError("the tables of the mesh could not be made")
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.trouble = self.network.start(plan.DATABASE, [sys.executable, "-c", TROUBLE], **pipe)
        started = []
        for service, hosts in plan.INSTANCES.items():
            for host, port in hosts:
                command = [sys.executable, "-m", "tests.lab.mesh.service", service, host, str(port)]
                command += [str(self.directory), str(self.seed)]
                started.append((self.network.start(host, command), port))
        for process, port in started:
            self.network.wait_until_listening(process, port, 40)
        self.people = self.network.start(
            "client", [sys.executable, "-m", "tests.lab.mesh.load", str(self.seed)], **pipe
        )
        self._ask(60, 40)
        self.recording = Recording(self.network)
        for host in plan.HOSTS:
            if host != "client":
                self.recording.start(host, "eth0", self.directory / f"{host}.pcap", 65_535)
        self.recording.wait_until_listening()

    def _shape(self, host: str) -> None:
        """Put a link that can be delayed in the place of a host's."""
        network, hub = self.network, self.network.namespace("hub")
        run_command("ip", "-n", hub, "link", "delete", f"to-{host}")
        command = [
            sys.executable, "-m", "tests.lab.mesh.link", network.namespace(host), "eth0", hub, f"to-{host}",
            str(self.directory / f"link-{host}.sock"),
        ]  # fmt: skip
        relay = network.start(None, command, stdout=subprocess.PIPE)
        assert relay.stdout is not None
        if relay.stdout.readline() != b"ready\n":
            raise RuntimeError("the link did not start")
        network._connect(host)

    def window(self, name: str, faults: list[Fault], requests: int = REQUESTS, rate: float = RATE) -> None:
        """Make the requests of one window, and inject the faults into it."""
        folder = self.out / name
        folder.mkdir(parents=True)
        begin = time.time_ns()
        always = all(fault.always for fault in faults)
        if always:
            self._inject(faults)
        self._tell(f"{requests} {rate}")
        if faults and not always:
            time.sleep(BEGINS * requests / rate)
            self._inject(faults)
        self._wait()
        self._heal(faults)
        self.windows.append((folder, begin, time.time_ns()))
        truth = [{"kind": fault.kind, "truth": fault.truth} for fault in faults]
        (folder / "truth.json").write_text(json.dumps(truth))
        time.sleep(PAUSE_SECONDS)

    def _inject(self, faults: list[Fault]) -> None:
        for fault in faults:
            for name, effect in fault.services.items():
                self._send(f"{name}.sock", effect)
            for host, effect in fault.links.items():
                self._send(f"link-{host}.sock", effect)
            if fault.statement:
                self._set_trouble(*fault.statement)

    def _heal(self, faults: list[Fault]) -> None:
        for fault in faults:
            for name in fault.services:
                self._send(f"{name}.sock", {})
            for host in fault.links:
                self._send(f"link-{host}.sock", {})
            if fault.statement:
                self._set_trouble("none", 0, 0)

    def _send(self, name: str, effect: dict[str, Any]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(json.dumps(effect).encode(), str(self.directory / name))

    def _set_trouble(self, table: str, ms: float, fails: float) -> None:
        self.trouble.stdin.write(f"{table} {ms} {fails}\n".encode())
        self.trouble.stdin.flush()
        self.trouble.stdout.readline()

    def _ask(self, requests: int, rate: float) -> None:
        self._tell(f"{requests} {rate}")
        self._wait()

    def _tell(self, line: str) -> None:
        self.people.stdin.write(f"{line}\n".encode())
        self.people.stdin.flush()

    def _wait(self) -> None:
        if self.people.stdout.readline() != b"done\n":
            raise RuntimeError("the load ended")

    def finish(self) -> None:
        """End the captures, and cut them into windows."""
        self.recording.stop()
        for host in plan.HOSTS:
            if host != "client":
                cut(self.directory / f"{host}.pcap", self.windows)

    def __exit__(self, *_: object) -> None:
        self.network.close()
        self._folder.__exit__(None, None, None)


def cut(path: Path, windows: list[tuple[Path, int, int]]) -> None:
    """Write the packets of each window to a file of its own; classic nanosecond pcap, windows in order of time."""
    data = path.read_bytes()
    at, size = FILE_HEADER, len(data)
    for folder, begin, end in windows:
        kept = bytearray(data[:FILE_HEADER])
        while at + RECORD_HEADER <= size:
            seconds, nanoseconds, length = struct.unpack_from("<III", data, at)
            moment = seconds * 1_000_000_000 + nanoseconds
            if moment > end + 200_000_000:
                break
            if moment >= begin:
                kept += data[at : at + RECORD_HEADER + length]
            at += RECORD_HEADER + length
        (folder / path.name).write_bytes(kept)
    return
