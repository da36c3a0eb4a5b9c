"""The command line of the fault lab: ``python -m tests.lab.faults``."""

import signal
import sys
from pathlib import Path

import click
from tests.lab.faults.recording import FaultOptions, record_faults
from tests.lab.faults.truth import OUTCOME_OF


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("faults-out"), show_default=True, help="Directory."
)
@click.option("--count", default=100, show_default=True, help="Calls of each class of fault.")
@click.option("--seed", default=1, show_default=True, help="Seed of their order and of the waits.")
@click.argument("faults", nargs=-1, type=click.Choice(list(OUTCOME_OF)))
def main(out: Path, count: int, seed: int, faults: tuple[str, ...]) -> None:
    """Record calls that meet with FAULTS (all, where none is named) at both hosts, with the truth."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name, counts in record_faults(FaultOptions(out.resolve(), count, faults, seed)).items():
        click.echo(f"{name}: {counts.captured:,} packets")


if __name__ == "__main__":
    main()
