"""One run of the lab: network, servers, captures, applications, people, truth."""

import contextlib
import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import servers, topology
from tests.lab.network import Network
from tests.lab.recording import Recording, leaks, mask, shift_clock
from tests.lab.truth import merge

MOST_WARM_UP_REQUESTS = 200
AFTER_THE_LAST_RESPONSE = 0.4
"""Seconds in which what was begun after a response ends."""
SECONDS_A_REQUEST = 0.25
"""The longest that a request takes on average, pauses included, before the run is given up."""


@dataclass(frozen=True, slots=True)
class LabOptions:
    """What a run does; the options of ``python -m tests.lab``."""

    out: Path
    requests: int = 400
    concurrency: int = 8
    think_ms: float = 5.0
    loss_percent: float = 0.0
    delay_ms: float = 0.0
    link: str = "shop1"
    clocks: dict[str, tuple[float, float]] = field(default_factory=dict)
    midway: bool = False
    snaplen: int = 262_144
    offload: bool = True
    record: str = "hosts"
    seed: int = 1


def record_lab(options: LabOptions) -> dict[str, object]:
    """Run the lab and return its summary, which is also in ``lab.json``.

    Raises `RuntimeError` where a process fails, packets are dropped, or a truth id is left in a capture.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    for old in [*options.out.glob("*.pcap"), *options.out.glob("truth.jsonl"), *options.out.glob("lab.json")]:
        old.unlink()
    began = time.monotonic()
    with run_directory() as directory, Network(list(topology.HOSTS), options.offload) as network:
        if options.loss_percent or options.delay_ms:
            network.impair(options.link, options.loss_percent, options.delay_ms, options.seed)
        _start_servers(network, directory)
        recording = Recording(network)
        if not options.midway:
            _record(recording, options)
        _start_applications(network, directory, options.seed)
        people = _start_people(network, directory, options)
        if options.midway:
            _record(recording, options)
        seen = _make_requests(people, options)
        time.sleep(AFTER_THE_LAST_RESPONSE)
        counts = recording.stop()
        network.close()
        calls = merge(sorted(directory.glob("*.truth")), recording.began_ns, options.out / "truth.jsonl")
    masked = {path.name: mask(path) for path in sorted(options.out.glob("*.pcap"))}
    ids = {call.id for call in calls}
    for path in sorted(options.out.glob("*.pcap")):
        if left := leaks(path, ids):
            raise RuntimeError(f"{path.name} still holds {len(left)} ids of the truth, such as {left[0]}")
    for host, (offset, drift) in options.clocks.items():
        shift_clock(options.out / f"{host}.pcap", offset, drift)
    summary = {
        **seen,
        "requests": options.requests,
        "concurrency": options.concurrency,
        "truth_calls": sum(not call.setup for call in calls),
        "truth_setup_calls": sum(call.setup for call in calls),
        "captures": {name: count._asdict() | {"ids_masked": masked[name]} for name, count in counts.items()},
        "clocks": options.clocks,
        "link": {"host": options.link, "loss_percent": options.loss_percent, "delay_ms": options.delay_ms},
        "midway": options.midway,
        "snaplen": options.snaplen,
        "offload": options.offload,
        "seed": options.seed,
        "lab_seconds": round(time.monotonic() - began, 2),
    }
    (options.out / "lab.json").write_text(json.dumps(summary, indent=1) + "\n")
    if dropped := {name: count.dropped for name, count in counts.items() if count.dropped}:
        raise RuntimeError(f"the kernel dropped packets: {dropped}")
    return summary


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A directory for the run's files that the servers' users can enter."""
    directory = Path(tempfile.mkdtemp(prefix="wiretrace-lab-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start_servers(network: Network, directory: Path) -> None:
    """Start all, then wait for all."""
    waits = [
        servers.start_mariadb(network, directory),
        servers.start_postgresql(network, directory),
        servers.start_redis(network, directory),
        servers.start_memcached(network),
        servers.start_nginx(network, directory),
    ]
    for wait in waits:
        wait()


def _start_applications(network: Network, directory: Path, seed: int) -> None:
    """Start all, then wait for all: they call each other only when they are called."""
    started = []
    for name, port in (
        ("price", topology.PRICE_PORT),
        ("account", topology.ACCOUNT_PORT),
        ("shop", topology.SHOP_PORT),
    ):
        command = [sys.executable, "-m", f"tests.lab.apps.{name}", str(directory / f"{name}.truth"), str(seed)]
        process = network.start(f"{name}1", command)
        started.append((process, port))
    for process, port in started:
        network.wait_until_listening(process, port)


def _start_people(network: Network, directory: Path, options: LabOptions) -> subprocess.Popen[bytes]:
    """Start the load and wait until its warm-up, if any, is over."""
    warm_up = min(MOST_WARM_UP_REQUESTS, options.requests) if options.midway else 0
    numbers = (options.requests, options.concurrency, options.think_ms, options.seed, warm_up)
    people = network.start(
        "client",
        [sys.executable, "-m", "tests.lab.client", str(directory / "client.truth"), *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if _line(people, options) != b"ready\n":
        raise RuntimeError("the load did not start")
    return people


def _make_requests(people: subprocess.Popen[bytes], options: LabOptions) -> dict[str, object]:
    assert people.stdin is not None
    people.stdin.write(b"go\n")
    people.stdin.flush()
    line = _line(people, options)
    if not line:
        raise RuntimeError("the load ended before its requests did")
    seen: dict[str, object] = json.loads(line)
    return seen


def _line(people: subprocess.Popen[bytes], options: LabOptions) -> bytes:
    """The next line of the load's output. Raises `TimeoutError` where it does not come in a time that the options allow."""
    assert people.stdout is not None
    if not select.select([people.stdout], [], [], 60 + options.requests * SECONDS_A_REQUEST)[0]:
        raise TimeoutError("the load does not end")
    return people.stdout.readline()


def _record(recording: Recording, options: LabOptions) -> None:
    if options.record == "bridge":
        recording.start("hub", "br0", options.out / "all.pcap", options.snaplen)
    else:
        for host in topology.HOSTS:
            recording.start(host, "eth0", options.out / f"{host}.pcap", options.snaplen)
    recording.wait_until_listening()
