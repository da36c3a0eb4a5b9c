"""The real servers: nginx, PostgreSQL, MariaDB, Redis and memcached, each on its own data directory without fsync.

Rules of this file: filled data directories are made once and kept as templates in ``~/.cache/wiretrace-lab``, under
a name that changes with the servers' versions and the data; a run works on copies, which are thrown away: servers
are ended without writing them out. Nothing touches the directories and services of the distribution.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import shopdata, topology
from tests.lab.network import Network

POSTGRESQL_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wiretrace-lab"
PREPARE_SECONDS = 120

Wait = Callable[[], None]
"""Waits until a server that was started is ready."""

NGINX = """
daemon off; worker_processes 1; user root; pid {directory}/nginx.pid; error_log {directory}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; server_tokens off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream shop {{ server {shop}; keepalive 32; }}
  upstream account {{ server {account}; keepalive 32; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr;
  server {{
    listen {port} backlog=1024;
    location / {{ proxy_pass http://shop; }}
    location /users/ {{ proxy_pass http://account; }}
    location = /login {{ proxy_pass http://account; }}
  }}
}}
"""


def start_postgresql(network: Network, directory: Path, host: str = "pg1") -> Wait:
    """Start PostgreSQL with the shop's data."""
    data = _copy_of_template("postgresql", _make_postgresql, directory)
    process = network.start(
        host,
        [
            str(POSTGRESQL_BINARIES[-1] / "postgres"), "-D", str(data), "-p", str(topology.POSTGRESQL_PORT), "-k", "",
            "-c", "listen_addresses=*", "-c", "fsync=off", "-c", "max_connections=120", "-c", "full_page_writes=off",
            "-c", "logging_collector=off", "-c", "log_min_messages=panic", "-c", "autovacuum=off",
        ],
        user="postgres",
        end_signal=signal.SIGQUIT,
    )  # fmt: skip

    def wait() -> None:
        network.wait_until_listening(process, topology.POSTGRESQL_PORT)
        deadline = time.monotonic() + 20
        while "ready" not in (data / "postmaster.pid").read_text():
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL does not become ready")
            time.sleep(0.02)

    return wait


def _make_postgresql(data: Path) -> None:
    binaries = POSTGRESQL_BINARIES[-1]
    password = data.parent / "password"
    password.write_text(topology.PASSWORD)
    _as_user(
        "postgres", [str(binaries / "initdb"), "-D", str(data), "-U", topology.USER, "--no-sync", "--locale=C", "-E", "UTF8",
                     "--auth=scram-sha-256", f"--pwfile={password}"], "",
    )  # fmt: skip
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all all scram-sha-256\n")
    single = [str(binaries / "postgres"), "--single", "-j", "-D", str(data), "-F"]
    _as_user("postgres", [*single, "postgres"], f"CREATE DATABASE {topology.DATABASE};\n\n")
    _as_user("postgres", [*single, topology.DATABASE], "".join(f"{s};\n\n" for s in shopdata.postgresql_statements()))


def start_mariadb(network: Network, directory: Path, host: str = "maria1") -> Wait:
    """Start MariaDB with the shop's data."""
    data = _copy_of_template("mariadb", _make_mariadb, directory)
    process = network.start(
        host,
        [
            "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={data}/socket", f"--pid-file={data}/pid",
            f"--port={topology.MARIADB_PORT}", "--bind-address=0.0.0.0", "--skip-name-resolve", "--skip-log-bin",
            "--table-open-cache=200", "--max-connections=100", "--open-files-limit=1000",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=64M",
            f"--log-error={data}/error.log", *MARIADB_FILES,
        ],
        user="mysql",
        end_signal=signal.SIGKILL,
    )  # fmt: skip
    return lambda: network.wait_until_listening(process, topology.MARIADB_PORT)


MARIADB_FILES = ["--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:12M:autoextend"]
"""Small files: a run copies them."""


def _make_mariadb(data: Path) -> None:
    _as_user(
        "mysql", ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
                  "--auth-root-authentication-method=normal", *MARIADB_FILES], "",
    )  # fmt: skip
    statements = [
        "FLUSH PRIVILEGES",
        f"CREATE DATABASE {topology.DATABASE}",
        f"USE {topology.DATABASE}",
        f"CREATE USER '{topology.USER}'@'%' IDENTIFIED BY '{topology.PASSWORD}'",
        f"GRANT ALL ON {topology.DATABASE}.* TO '{topology.USER}'@'%'",
        *shopdata.mariadb_statements(),
    ]
    _as_user(
        "mysql", ["mariadbd", "--no-defaults", f"--datadir={data}", "--bootstrap", *MARIADB_FILES],
        "".join(f"{statement};\n" for statement in statements),
    )  # fmt: skip


def start_redis(network: Network, directory: Path, host: str = "cache1") -> Wait:
    """Start an empty Redis."""
    process = network.start(
        host,
        [
            "redis-server", "--port", str(topology.REDIS_PORT), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
            "--dir", str(directory), "--logfile", "/dev/null",
        ],
        user="redis",
    )  # fmt: skip
    return lambda: network.wait_until_listening(process, topology.REDIS_PORT)


def start_memcached(network: Network, host: str = "cache1") -> Wait:
    """Start an empty memcached."""
    process = network.start(
        host, ["memcached", "-l", "0.0.0.0", "-p", str(topology.MEMCACHED_PORT), "-t", "1", "-u", "nobody"]
    )
    return lambda: network.wait_until_listening(process, topology.MEMCACHED_PORT)


def start_nginx(network: Network, directory: Path, configuration: str = NGINX, host: str = "web1") -> Wait:
    """Start nginx in front of the applications."""
    (directory / "nginx.conf").write_text(
        configuration.format(
            directory=directory,
            port=topology.HTTP_PORT,
            shop=f"{topology.ipv4('shop1')}:{topology.SHOP_PORT}",
            account=f"{topology.ipv4('account1')}:{topology.ACCOUNT_PORT}",
        )
    )
    process = network.start(host, ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")])
    return lambda: network.wait_until_listening(process, topology.HTTP_PORT)


def _copy_of_template(name: str, make: Callable[[Path], None], directory: Path) -> Path:
    """Copy a filled data directory into ``directory``, making the template when there is none of this version."""
    template = _template(name, make)
    target = directory / name
    subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(target)], check=True)
    return target


def _template(name: str, make: Callable[[Path], None]) -> Path:
    ingredients = hashlib.sha256(
        Path(__file__).read_bytes() + Path(shopdata.__file__).read_bytes() + _versions().encode()
    ).hexdigest()[:12]
    template = CACHE / f"{name}-{ingredients}"
    if template.exists():
        return template
    CACHE.mkdir(parents=True, exist_ok=True)
    # The servers' users can not enter a home directory: the template is made beside the run's files and moved.
    work = Path(tempfile.mkdtemp(prefix="wiretrace-lab-template-"))
    work.chmod(0o755)
    try:
        user = "postgres" if name == "postgresql" else "mysql"
        shutil.chown(work, user, user)
        make(work / "data")
        moved = CACHE / f"{template.name}.{os.getpid()}"
        shutil.move(work / "data", moved)
        try:
            moved.rename(template)
        except OSError:  # another run was faster
            shutil.rmtree(moved)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return template


def _versions() -> str:
    return (
        f"{POSTGRESQL_BINARIES[-1]} "
        + subprocess.run(["mariadbd", "--version"], capture_output=True, check=True).stdout.decode()
    )


def _as_user(user: str, command: list[str], text: str) -> None:
    result = subprocess.run(
        ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", *command],
        input=text.encode(), capture_output=True, timeout=PREPARE_SECONDS, cwd="/", check=False,
    )  # fmt: skip
    if result.returncode or b"ERROR" in result.stderr:
        raise RuntimeError(f"{command[0]} failed: {result.stderr.decode(errors='replace')[-800:]}")
