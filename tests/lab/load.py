"""A plain load for each protocol, in which every response repeats the nonce of its request: it measures pairing.

Usage: python -m tests.lab.load --protocol redis --exchanges 100000 --out DIR
Writes ``load-PROTOCOL.pcap`` and ``load-PROTOCOL.truth.jsonl``: a line a connection, with its variant and its nonces
in order.

Rules of this file: the servers are the real ones; the clients are bare sockets for speed, after a login by the usual
library. Pipelined variants send two to sixteen requests at once.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tests.lab import servers
from tests.lab.network import Network
from tests.lab.recording import Recording
from tests.lab.run import run_directory

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER_HOSTS = {"http": "web1", "postgresql": "pg1", "mysql": "maria1", "redis": "cache1", "memcached": "cache1"}
ECHO_NGINX = """
daemon off; worker_processes 1; user root; pid {directory}/nginx.pid; error_log {directory}/nginx.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off; server_tokens off; keepalive_requests 100000000; default_type text/plain;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{ listen {port}; location /echo/ {{ return 200 "you asked for $uri\\n"; }} }}
}}
"""


def record_load(protocol: str, exchanges: int, connections: int, out: Path, seed: int) -> dict[str, object]:
    """Record ``exchanges`` of ``protocol`` and return a summary. Raises `RuntimeError` where packets are dropped."""
    out.mkdir(parents=True, exist_ok=True)
    capture, truth = out / f"load-{protocol}.pcap", out / f"load-{protocol}.truth.jsonl"
    capture.unlink(missing_ok=True)
    server = SERVER_HOSTS[protocol]
    with run_directory() as directory, Network(["client", server], offload=True) as network:
        start: dict[str, Callable[[], servers.Wait]] = {
            "http": lambda: servers.start_nginx(network, directory, ECHO_NGINX),
            "postgresql": lambda: servers.start_postgresql(network, directory),
            "mysql": lambda: servers.start_mariadb(network, directory),
            "redis": lambda: servers.start_redis(network, directory),
            "memcached": lambda: servers.start_memcached(network),
        }
        start[protocol]()()
        numbers = [str(number) for number in (exchanges, connections, seed)]
        client = network.start(
            "client",
            [sys.executable, "-m", "tests.lab.load_client", protocol, *numbers, str(truth)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        if client.stdout.readline() != b"ready\n":
            raise RuntimeError("the load did not start")
        recording = Recording(network, buffer_kib=262_144)
        recording.start("client", "eth0", capture, 262_144)
        recording.wait_until_listening()
        client.stdin.write(b"go\n")
        client.stdin.flush()
        if client.wait(timeout=600) != 0:
            raise RuntimeError("the load failed")
        seconds = json.loads(client.stdout.readline())["seconds"]
        counts = recording.stop()[capture.name]
    if counts.dropped:
        raise RuntimeError(f"the kernel dropped {counts.dropped} packets")
    return {"protocol": protocol, "exchanges": exchanges, "seconds": seconds, "packets": counts.captured}


@click.command()
@click.option("--protocol", type=click.Choice([*SERVER_HOSTS, "all"]), default="all", show_default=True)
@click.option(
    "--exchanges", default=100_000, show_default=True, help="Exchanges of each protocol, all variants together."
)
@click.option("--connections", default=4, show_default=True, help="Connections of each variant.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("lab-out"), show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(protocol: str, exchanges: int, connections: int, out: Path, seed: int) -> None:
    """Record loads whose responses repeat the nonces of their requests."""
    for name in SERVER_HOSTS if protocol == "all" else [protocol]:
        click.echo(json.dumps(record_load(name, exchanges, connections, out.resolve(), seed)))


if __name__ == "__main__":
    main()
