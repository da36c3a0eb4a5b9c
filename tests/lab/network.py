"""Hosts as network namespaces, joined by a bridge in a namespace of its own.

Rules of this file: every name carries the process id of the run, so that two labs do not meet; everything made is
removed, and what a killed run left is removed by the next one. A host's link is a veth pair, or, where it loses or
delays packets, a pair of TAP devices with tests/lab/link.py between them: that needs no netem in the kernel.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.lab import topology

REPOSITORY = Path(__file__).parents[2]
NAMESPACE = re.compile(r"wtlab-(\d+)-\w+")
SECONDS_TO_END = 5.0


class Network:
    """The namespaces of one run and the processes in them; a context manager."""

    def __init__(self, hosts: list[str], offload: bool) -> None:
        self._hosts = hosts
        self._offload = offload
        self._run = os.getpid()
        self._processes: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []

    def namespace(self, host: str) -> str:
        """The name of a host's namespace; ``hub`` is that of the bridge."""
        return f"wtlab-{self._run}-{host}"

    def __enter__(self) -> Self:
        remove_left_over()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def _build(self) -> None:
        hub = self.namespace("hub")
        for name in ("hub", *self._hosts):
            run("ip", "netns", "add", self.namespace(name))
        run("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
        run("ip", "netns", "exec", hub, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        run("ip", "-n", hub, "link", "set", "br0", "up")
        for host in self._hosts:
            space = self.namespace(host)
            run("ip", "-n", hub, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0", "netns", space)
            self._connect(host)

    def _connect(self, host: str) -> None:
        """Give a host's end of its link addresses, and put the other end on the bridge."""
        space, hub = self.namespace(host), self.namespace("hub")
        if not self._offload:
            for name, device in ((space, "eth0"), (hub, f"to-{host}")):
                run("ip", "netns", "exec", name, "ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
        run("ip", "-n", hub, "link", "set", f"to-{host}", "master", "br0", "up")
        run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", space, "address", "add", f"{topology.ipv4(host)}/24", "dev", "eth0")
        run("ip", "-n", space, "-6", "address", "add", f"{topology.ipv6(host)}/64", "dev", "eth0", "nodad")
        run("ip", "-n", space, "link", "set", "eth0", "up")

    def impair(self, host: str, loss_percent: float, delay_ms: float, seed: int) -> None:
        """Replace a host's link by one that loses and delays packets in both directions."""
        self.replace_link(host, "tests.lab.link", str(loss_percent), str(delay_ms), str(seed))

    def replace_link(self, host: str, module: str, *arguments: str) -> None:
        """Replace a host's link by a pair of TAP devices with the program `module` between them.

        It is told the host's namespace and device, the bridge's, and `arguments`, and prints ``ready``.
        """
        run("ip", "-n", self.namespace("hub"), "link", "delete", f"to-{host}")
        relay = self.start(
            None,
            [
                sys.executable, "-m", module, self.namespace(host), "eth0", self.namespace("hub"), f"to-{host}", *arguments,
            ],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert relay.stdout is not None
        if relay.stdout.readline() != b"ready\n":
            raise RuntimeError("the impaired link did not start")
        self._connect(host)

    def start(
        self,
        host: str | None,
        command: list[str],
        user: str | None = None,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen[bytes]:
        """Start a process on a host (None: outside). ``end_signal`` ends it; it dies with this one whatever happens."""
        inside = [] if host is None else ["ip", "netns", "exec", self.namespace(host)]
        drop = [] if user is None else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        process = subprocess.Popen(
            [*inside, "setpriv", *drop, "--pdeathsig=KILL", "--", *command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            cwd=REPOSITORY if user is None else "/",
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "LC_ALL": "C.UTF-8"},
        )
        self._processes.append((process, end_signal))
        return process

    def wait_until_listening(self, process: subprocess.Popen[bytes], port: int, seconds: float = 20.0) -> None:
        """Wait until a socket of the process's namespace listens on ``port``; no packet is sent to find out."""
        wanted = re.compile(rf":{port:04X} 0+:0000 0A ")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with status {process.returncode}")
            own = Path("/proc") / str(process.pid)
            try:
                if (own / "ns/net").readlink() != Path("/proc/self/ns/net").readlink() and wanted.search(
                    (own / "net/tcp").read_text() + (own / "net/tcp6").read_text()
                ):
                    return
            except OSError:
                continue  # it is just ending, which the next turn tells
            time.sleep(0.02)
        raise TimeoutError(f"{process.args} does not listen on port {port}")

    def close(self) -> None:
        """End the processes and remove the namespaces."""
        for process, end_signal in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(end_signal)
        deadline = time.monotonic() + SECONDS_TO_END
        for process, _ in reversed(self._processes):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        for name in ("hub", *self._hosts):
            subprocess.run(["ip", "netns", "delete", self.namespace(name)], stderr=subprocess.DEVNULL, check=False)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run(*command: str) -> None:
    """Run a command that must work."""
    result = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.decode().strip()}")


def remove_left_over() -> None:
    """Remove the namespaces of runs whose process is gone."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, check=True).stdout.decode()
    for match in NAMESPACE.finditer(listed):
        if not Path(f"/proc/{match[1]}").exists():
            subprocess.run(["ip", "netns", "delete", match[0]], stderr=subprocess.DEVNULL, check=False)
