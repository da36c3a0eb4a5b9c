"""The command line of the lab: ``python -m tests.lab``."""

import json
import signal
import sys
from pathlib import Path

import click
from tests.lab import topology
from tests.lab.run import LabOptions, record_lab


def _clock(text: str) -> tuple[str, tuple[float, float]]:
    """Read ``HOST=OFFSET_S[,DRIFT_PPM]``."""
    host, _, numbers = text.partition("=")
    offset, _, drift = numbers.partition(",")
    if host not in topology.HOSTS:
        raise click.BadParameter(f"no host is named {host}; there are {', '.join(topology.HOSTS)}")
    try:
        return host, (float(offset), float(drift or 0))
    except ValueError:
        raise click.BadParameter(f'"{text}" is not HOST=OFFSET_S[,DRIFT_PPM]') from None


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lab-out"),
    show_default=True,
    help="Directory of the result.",
)
@click.option("--requests", default=400, show_default=True, help="Requests of all people together.")
@click.option("--concurrency", default=8, show_default=True, help="People at once.")
@click.option("--think-ms", default=5.0, show_default=True, help="Mean pause of a person between requests.")
@click.option("--loss", default=0.0, help="Percent of packets lost on the link, each way.")
@click.option("--delay-ms", default=0.0, help="Delay of the link, each way.")
@click.option(
    "--link",
    type=click.Choice(list(topology.HOSTS)),
    default="shop1",
    show_default=True,
    help="Host whose link loses and delays.",
)
@click.option(
    "--clock", multiple=True, metavar="HOST=S[,PPM]", help="A host's clock is ahead by S seconds and gains PPM."
)
@click.option("--midway", is_flag=True, help="Recording begins when applications and pools are long running.")
@click.option("--snaplen", default=262_144, show_default=True, help="Bytes kept of each packet.")
@click.option(
    "--offload",
    type=click.Choice(["on", "off"]),
    default="on",
    show_default=True,
    help="Segmentation offload of the links.",
)
@click.option(
    "--record",
    type=click.Choice(["hosts", "bridge"]),
    default="hosts",
    show_default=True,
    help="A file a host, or one of the bridge.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of people and losses.")
def main(
    out: Path, requests: int, concurrency: int, think_ms: float, loss: float, delay_ms: float, link: str,
    clock: tuple[str, ...], midway: bool, snaplen: int, offload: str, record: str, seed: int,
) -> None:  # fmt: skip
    """Record a small shop of real servers, with its truth, and print a summary."""
    clocks = dict(map(_clock, clock))
    if clocks and record == "bridge":
        raise click.UsageError("the bridge has one clock: --clock needs --record hosts")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    summary = record_lab(
        LabOptions(
            out.resolve(), requests, concurrency, think_ms, loss, delay_ms, link, clocks, midway, snaplen,
            offload == "on", record, seed,
        )
    )  # fmt: skip
    click.echo(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
