"""``wiretrace doctor``: whether everything is there that wiretrace needs on this machine."""

import os
import platform
import re
from pathlib import Path

import click

CAP_NET_RAW = 13
"""Bit of the capability that opens packet sockets (capabilities(7), linux/capability.h)."""


@click.command("doctor")
@click.pass_context
def command(context: click.Context) -> None:
    """Check the libraries, and whether this user can capture packets.

    Exit status 1 means that a library is missing. Capturing is only told about: analyzing does not need it.
    """
    from wiretrace import __version__

    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    click.echo(f"wiretrace {__version__}, Python {platform.python_version()}, {system}")
    missing = False
    for name in required_libraries():
        version = library_version(name)
        missing |= version is None
        click.echo(f"{name:<16}{version or 'MISSING: pip install ' + name}")
    click.echo(f"{'libpcap':<16}{_libpcap()}")
    allowed = may_capture(Path("/proc/self/status"))
    click.echo(f"{'may capture':<16}{'yes' if allowed else 'no: needs root or the capability CAP_NET_RAW'}")
    if missing:
        context.exit(1)


def required_libraries() -> list[str]:
    """Names of the distributions that wiretrace requires, by its own metadata; none where it was not installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("wiretrace") or []
    except PackageNotFoundError:
        return []
    needed = [requirement for requirement in requirements if "extra ==" not in requirement]
    return sorted({re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in needed})


def library_version(name: str) -> str | None:
    """The version of an installed distribution, found without importing it; None if it is missing."""
    from importlib.metadata import PackageNotFoundError, version

    if name == "backports.zstd":
        from importlib.util import find_spec

        if find_spec("compression") is not None:
            return "in the standard library"
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def may_capture(status: Path) -> bool:
    """Whether this process may open packet sockets, by its effective capabilities (proc(5), CapEff)."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return os.geteuid() == 0
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> CAP_NET_RAW & 1)


def _libpcap() -> str:
    from ctypes.util import find_library

    return find_library("pcap") or "not found: capturing needs it (Debian: libpcap0.8)"
