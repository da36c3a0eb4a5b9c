"""A spool gives back what was written, whole or row by row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.hosts.synthetic import EXCHANGE_DEFAULTS, chain, table

from wiretrace.exchanges import spool as spool_module
from wiretrace.exchanges.spool import Spool, SpoolWriter
from wiretrace.model.schema import table_schema


@pytest.fixture
def exchanges() -> pa.Table:
    return table("exchanges", chain(20).exchanges, EXCHANGE_DEFAULTS)


def written(path: Path, batches: list[pa.Table]) -> Spool:
    with SpoolWriter(path) as writer:
        for batch in batches:
            writer.write(batch.combine_chunks().to_batches()[0])
    return writer.spool()


def test_rows_come_back_in_parts_and_by_number(
    tmp_path: Path, exchanges: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches with different categories, cut into small parts: nothing is mixed up."""
    monkeypatch.setattr(spool_module, "PART_ROWS", 7)
    spool = written(tmp_path / "a.arrow", [exchanges.slice(0, 33), exchanges.slice(33)])
    assert len(spool) == len(exchanges)
    assert max(len(part) for part in spool.parts()) == 7
    assert pa.Table.from_batches(spool.parts()).to_pylist() == exchanges.to_pylist()
    rows = np.array([0, 3, 6, 7, 32, 33, 60, len(exchanges) - 1])
    assert spool.take(rows).to_pylist() == exchanges.take(pa.array(rows)).to_pylist()


def test_an_empty_spool_has_a_schema(tmp_path: Path) -> None:
    spool = written(tmp_path / "a.arrow", [])
    assert len(spool) == 0
    assert list(spool.parts()) == []
    assert spool.take(np.zeros(0, np.int64)).schema.equals(table_schema("exchanges"))
