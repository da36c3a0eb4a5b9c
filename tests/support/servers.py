"""Real database servers for tests: started on loopback with their own data in a temporary directory, and ended.

They are the Debian packages' programs. Every wait is bounded; what was started is ended by its own process.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.tls import make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 120.0
"""Longest time that a server is given to start: RabbitMQ takes most of a minute where the processors are busy."""
INITDB_OPTIONS = ("--no-sync", "--no-instructions", "--locale=C.UTF-8")
INSTALL_OPTIONS = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes], address: str = "127.0.0.1") -> None:
    """Return when something accepts connections on `port`."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended while starting"
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


@contextlib.contextmanager
def running(command: list[str], port: int, user: str | None) -> Iterator[int]:
    """Run a server in the foreground until the block is left."""
    process = subprocess.Popen(command, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


@contextlib.contextmanager
def directory(user: str | None) -> Iterator[Path]:
    """A temporary directory that belongs to `user`."""
    with tempfile.TemporaryDirectory(prefix="wiretrace-test-", ignore_cleanup_errors=True) as name:
        path = Path(name)
        if user is not None:
            shutil.chown(path, user)
        yield path


def unprivileged(user: str) -> str | None:
    """`user` where we are root (servers refuse to run as root), else None: stay who we are."""
    if os.geteuid() != 0:
        return None
    pwd.getpwnam(user)
    return user


def certificate(home: Path, user: str | None, certificate_name: str, key_name: str) -> list[str]:
    """Write a certificate and its key for `user`, and name them as two settings."""
    make_certificate(home)
    if user is not None:
        shutil.chown(home / "key.pem", user)
    return [f"{certificate_name}={home}/certificate.pem", f"{key_name}={home}/key.pem"]


@contextlib.contextmanager
def postgresql(*, tls: bool = False) -> Iterator[int]:
    """A PostgreSQL server: user 'shop' with password 'correct horse', database 'shop'. Gives its port.

    With `tls` it accepts TLS.
    """
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    user = unprivileged("postgres")
    with directory(user) as home:
        secret = home / "secret"
        secret.write_text("correct horse")
        secret.chmod(0o644)
        data = home / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "shop", "-A", "scram-sha-256", "--pwfile", secret, *INITDB_OPTIONS],
            user=user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        port = free_port()
        options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"]
        options += ["-c", f"unix_socket_directories={home}"]
        if tls:
            options += [
                "-c",
                "ssl=on",
                *(f"-c{name}" for name in certificate(home, user, "ssl_cert_file", "ssl_key_file")),
            ]
        with running([str(programs / "postgres"), "-D", str(data), "-p", str(port), *options], port, user):
            ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + START_SECONDS
            while subprocess.run(ready, timeout=10).returncode:  # it listens before it lets anybody in
                assert time.monotonic() < deadline, "the server does not get ready"
                time.sleep(0.1)
            yield port


@contextlib.contextmanager
def mariadb(*, tls: bool = False) -> Iterator[int]:
    """A MariaDB server: user 'shop' with password 'correct horse', database 'shop'. Gives its port.

    With `tls` it accepts TLS.
    """
    user = unprivileged("mysql")
    with directory(user) as home:
        data = home / "data"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", *INSTALL_OPTIONS],
            user=user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
        begin = home / "begin.sql"
        begin.write_text(
            "CREATE DATABASE shop;\nCREATE USER shop@'%' IDENTIFIED BY 'correct horse';\nGRANT ALL ON *.* TO shop@'%';\n"
        )
        begin.chmod(0o644)
        port = free_port()
        command = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={home}/socket", f"--port={port}"]
        command += ["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]
        command += [f"--init-file={begin}", "--local-infile=1", "--skip-name-resolve", f"--pid-file={home}/pid"]
        if tls:
            command += [f"--{name}" for name in certificate(home, user, "ssl-cert", "ssl-key")]
        with running([shutil.which("mariadbd") or "/usr/sbin/mariadbd", *command[1:]], port, user):
            yield port
