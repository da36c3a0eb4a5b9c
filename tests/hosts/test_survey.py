"""The survey counts what all exchanges say, and keeps a sample that has an exchange everywhere or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from tests.hosts.synthetic import EXCHANGE_DEFAULTS, chain, table

from wiretrace.hosts import survey as survey_module
from wiretrace.hosts.survey import ServerEnd, Survey

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def surveyed(exchanges: pa.Table, captures: list[str], folder: Path) -> Survey:
    survey = Survey(len(exchanges), len(captures), folder)
    for name in captures:
        survey.add(name, exchanges.filter(pc.equal(exchanges.column("capture"), name)).to_batches(max_chunksize=7))
    return survey


def test_times_servers_and_operations_are_those_of_the_exchanges(tmp_path: Path) -> None:
    """Against plain Python."""
    exchanges = table("exchanges", chain(20).exchanges, EXCHANGE_DEFAULTS)
    survey = surveyed(exchanges, ["web1", "app1", "db1"], tmp_path)
    for number, capture in enumerate(survey.captures):
        rows = [row for row in exchanges.to_pylist() if row["capture"] == capture]
        starts, ends = survey.moments[number].every(1)
        assert starts.tolist() == [row["request_start_ns"] for row in rows]
        assert ends.tolist() == [row["response_end_ns"] for row in rows]
        for address, port in {(row["server_address"], row["server_port"]) for row in rows}:
            here = [row for row in rows if (row["server_address"], row["server_port"]) == (address, port)]
            end = ServerEnd(number, address, port, here[0]["protocol"])
            assert survey.asked[end] == len(here)
            assert survey.operations[end] == {row["operation"] for row in here}
    assert len(survey.sample) == len(exchanges)


def test_a_large_sample_has_an_exchange_at_every_vantage_point_or_at_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(survey_module, "SAMPLED_EXCHANGES", 150)
    exchanges = table("exchanges", chain(200).exchanges, EXCHANGE_DEFAULTS)
    sample = surveyed(exchanges, ["web1", "app1", "db1"], tmp_path).sample
    assert 50 < len(sample) < 300
    seen: dict[tuple[int, int], set[str]] = {}
    for row in sample.to_pylist():
        seen.setdefault((row["client_port"], row["request_seq"]), set()).add(row["capture"])
    inner = [captures for (port, _), captures in seen.items() if port in (40_001, 41_001)]
    assert inner
    assert all(len(captures) == 2 for captures in inner)
