"""Run the analyzer over captures that others recorded, and compare what it reads with what tshark reads.

Usage: python tools/conformance.py [CAPTURES] [--file NAME] [--workers N]
CAPTURES is a directory with MANIFEST.tsv (columns `path` and `oracle`), by default ../shared/captures. Prints how the
analyzer bore the files, agreement per protocol, and every disagreement with its explanation
(tools/conformance_explained.toml). Exit status 1 if anything is unexplained or went wrong.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "src")]

from tools.oracle.comparison import Comparison, Disagreement, Kind, compare  # noqa: E402 - the path is set only now
from tools.oracle.explanations import Explanations  # noqa: E402
from tools.oracle.running import (  # noqa: E402
    RESIDENT_BYTES_AT_MOST,
    SECONDS_AT_MOST,
    FileResult,
    run_files,
)
from tools.oracle.transactions import PROTOCOLS, Exchange, Transaction, read_key_log_path, read_oracle  # noqa: E402

CAPTURES = REPOSITORY.parent / "shared" / "captures"
EXPLAINED = Path(__file__).with_name("conformance_explained.toml")
WORKERS = 2
DEFECT_LINES = 6
"""Last lines of a traceback that are printed."""
TEXT = 70


def main() -> int:
    """Run everything, print it, and return the exit status."""
    parser = argparse.ArgumentParser(description="Agreement with tshark on captures that others recorded.")
    parser.add_argument("captures", nargs="?", type=Path, default=CAPTURES, help="directory with MANIFEST.tsv")
    parser.add_argument("--file", help="show the comparison of this file of the manifest in detail")
    parser.add_argument("--workers", type=int, default=WORKERS)
    arguments = parser.parse_args()
    manifest = arguments.captures / "MANIFEST.tsv"
    if not manifest.is_file():
        parser.error(f"{manifest} is missing: name a directory of captures that has one")
    with manifest.open(newline="") as file:
        oracles = {row["path"]: row["oracle"] for row in csv.DictReader(file, delimiter="\t")}
    files = list(oracles) if arguments.file is None else [arguments.file]
    if arguments.file is not None and arguments.file not in oracles:
        parser.error(f"{arguments.file} is not in {manifest}")
    found = {
        file: read_key_log_path(arguments.captures / oracles[file], arguments.captures)
        for file in files
        if oracles[file]
    }
    key_logs = {file: path for file, path in found.items() if path is not None}
    results = []
    for result in run_files(arguments.captures, files, arguments.workers, key_logs):
        results.append(result)
        if len(results) % 100 == 0:
            print(f"{len(results)} of {len(files)} files", file=sys.stderr)
    results.sort(key=lambda result: result.file)
    compared = {
        result.file: compare(read_oracle(arguments.captures / oracles[result.file]), result.exchanges)
        for result in results
        if oracles[result.file]
    }
    healthy = print_robustness(results)
    if arguments.file is not None:
        print_detail(compared.get(arguments.file, {}))
    explained = print_agreement(compared, Explanations.read(EXPLAINED))
    return 0 if healthy and explained else 1


def print_robustness(results: list[FileResult]) -> bool:
    """Print how the analyzer bore the files. Returns whether it bore them all."""
    defects = [result for result in results if result.defect]
    slow = [result for result in results if result.seconds > SECONDS_AT_MOST]
    large = [result for result in results if result.resident_bytes > RESIDENT_BYTES_AT_MOST]
    unexplained = [result for result in results if result.unexplained_bytes]
    print("Robustness")
    rows = (
        ("files", len(results)),
        ("refused with a message", sum(1 for result in results if result.refused)),
        ("exceptions", len(defects)),
        (f"over {SECONDS_AT_MOST} s", len(slow)),
        (f"over {RESIDENT_BYTES_AT_MOST >> 20} MB", len(large)),
        ("payload bytes do not add up", len(unexplained)),
    )
    for name, count in rows:
        print(f"  {name:<30}{count:>8}")
    print(f"  {'payload bytes':<30}{sum(result.captured_bytes for result in results):>8}")
    print(f"  {'longest time':<30}{max((result.seconds for result in results), default=0):>8.2f} s")
    most = max((result.resident_bytes for result in results), default=0)
    print(f"  {'most memory':<30}{most >> 20:>8} MB")
    for result in defects:
        print(f"  exception: {result.file}")
        for line in result.defect.strip().splitlines()[-DEFECT_LINES:]:
            print(f"    {line}")
    for result in slow:
        print(f"  slow: {result.file}: {result.seconds:.1f} s")
    for result in large:
        print(f"  large: {result.file}: {result.resident_bytes >> 20} MB")
    for result in unexplained:
        print(f"  unexplained: {result.file}: {result.unexplained_bytes} of {result.captured_bytes} bytes")
    print()
    return not (defects or slow or large or unexplained)


def print_agreement(compared: dict[str, dict[str, Comparison]], explanations: Explanations) -> bool:
    """Print agreement per protocol and every disagreement. Returns whether all are explained."""
    print("Agreement with tshark")
    print(
        f"  {'protocol':<12}{'files':>7}{'oracle':>8}{'agreed':>8}{'in scope':>10}{'extra':>7}{'explained':>11}{'not':>6}"
    )
    listing: dict[str, list[str]] = defaultdict(list)
    everything_explained = True
    for protocol in PROTOCOLS.values():
        counts: Counter[str] = Counter()
        for file, found in compared.items():
            comparison = found.get(protocol)
            if comparison is None:
                continue
            reasons = explanations.reasons(file, protocol, comparison.disagreements)
            counts["files"] += 1
            counts["oracle"] += comparison.transactions
            counts["agreed"] += len(comparison.agreed)
            for disagreement, reason in zip(comparison.disagreements, reasons, strict=True):
                counts["extra"] += disagreement.kind is Kind.EXTRA
                counts["explained" if reason else "not"] += 1
                counts["out"] += bool(reason) and disagreement.kind is not Kind.EXTRA
            listing[protocol] += _lines(file, comparison.disagreements, reasons)
        in_scope = counts["oracle"] - counts["out"]
        share = f"{100 * counts['agreed'] / in_scope:.2f} %" if in_scope else "-"
        print(
            f"  {protocol:<12}{counts['files']:>7}{counts['oracle']:>8}{counts['agreed']:>8}{share:>10}"
            f"{counts['extra']:>7}{counts['explained']:>11}{counts['not']:>6}"
        )
        everything_explained &= not counts["not"]
    for protocol, lines in listing.items():
        print(f"\nDisagreements: {protocol}")
        print("\n".join(lines) if lines else "  none")
    return everything_explained


def _lines(file: str, disagreements: list[Disagreement], reasons: list[str | None]) -> list[str]:
    lines = []
    for reason in dict.fromkeys(reasons):
        some = [each for each, its in zip(disagreements, reasons, strict=True) if its == reason]
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(each.kind for each in some).items())
        lines.append(f"  {file}: {kinds}: {reason or 'UNEXPLAINED'}")
        if reason is None:
            lines += [f"    {_describe(each)}" for each in some]
    return lines


def _describe(disagreement: Disagreement) -> str:
    ours = "; ".join(_exchange(exchange) for exchange in disagreement.exchanges[:3]) or "nothing"
    theirs = _transaction(disagreement.transaction) if disagreement.transaction is not None else "nothing"
    return f"{disagreement.kind}: tshark {theirs} | wiretrace {ours}"


def _transaction(transaction: Transaction) -> str:
    return (
        f"{transaction.client}>{transaction.server} {transaction.request_frame}→{transaction.response_frame} "
        f"{transaction.text[:TEXT]!a} {transaction.status}"
    )


def _exchange(exchange: Exchange) -> str:
    return (
        f"{exchange.client}>{exchange.server} {_frames(exchange.request_frames)}→{_frames(exchange.response_frames)} "
        f"{exchange.text[:TEXT]!a} {exchange.status!a} {exchange.outcome}"
    )


def _frames(frames: tuple[int, ...]) -> str:
    return f"{frames[0]}..{frames[-1]}" if len(frames) > 1 else str(frames[0]) if frames else "None"


def print_detail(found: dict[str, Comparison]) -> None:
    """Print every transaction and exchange of one file."""
    for protocol, comparison in found.items():
        print(f"{protocol}: {comparison.transactions} transactions of tshark, {len(comparison.agreed)} agreed")
        for transaction, exchange in comparison.agreed:
            print(f"  agreed: tshark {_transaction(transaction)} | wiretrace {_exchange(exchange)}")
        for disagreement in comparison.disagreements:
            print(f"  {_describe(disagreement)}")
    print()


if __name__ == "__main__":
    sys.exit(main())
