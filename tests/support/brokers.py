"""Real message brokers for tests: started on loopback with their own data in a temporary directory, and ended.

They are the Debian packages' programs. Every wait is bounded; what was started is ended by its own process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.servers import directory, free_port, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
END_SECONDS = 20


@contextlib.contextmanager
def rabbitmq(address: str = "127.0.0.1") -> Iterator[int]:
    """A RabbitMQ server with user guest; gives its port. Its port mapper (epmd) is its own, too."""
    assert RABBITMQ.is_file(), "RabbitMQ is needed (apt install rabbitmq-server)"
    epmd = next(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"), None)
    assert epmd is not None, "RabbitMQ's Erlang is not complete"
    port, mapper_port, distribution_port = free_port(), free_port(), free_port()
    with directory(None) as home:
        (home / "plugins").write_text("[].")
        (home / "rabbitmq.conf").write_text("loopback_users = none\nheartbeat = 30\n")
        environment = os.environ | {
            "HOME": str(home),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper_port),
            "RABBITMQ_NODENAME": "wiretrace@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": address,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        mapper = subprocess.Popen([epmd, "-address", "127.0.0.1", "-port", str(mapper_port)], stdout=subprocess.DEVNULL)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen([RABBITMQ], env=environment, cwd="/", **quiet)
        try:
            wait_for(port, server, address)
            yield port
        finally:
            for process in (server, mapper):
                process.terminate()
                try:
                    process.wait(timeout=END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(timeout=5)
            time.sleep(0.2)


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """A Mosquitto that lets anybody in; gives its port."""
    port = free_port()
    with directory(None) as home:
        configuration = home / "mosquitto.conf"
        configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with running([program, "-c", str(configuration)], port, None):
            yield port


@contextlib.contextmanager
def nats() -> Iterator[int]:
    """A NATS server with JetStream; gives its port."""
    port = free_port()
    with directory(None) as home:
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        with running([program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(home)], port, None):
            yield port
