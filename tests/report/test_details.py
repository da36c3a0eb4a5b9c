"""What an opened call shows is what the tables hold of it, in whichever block it stands."""

import pyarrow as pa
import pytest
from tests.report.test_block import read
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.report import details
from wiretrace.report.details import FRAMES_KEPT, details_blocks
from wiretrace.report.order import tree_order


def blocks_of(case: Case) -> list[dict[str, list[object]]]:
    order = tree_order(case.table("calls"), case.table("trees"))
    return [read(block.encode()) for block in details_blocks(case, order.rows)]


def test_blocks_part_the_calls_without_losing_a_row(small_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = blocks_of(small_case)
    monkeypatch.setattr(details, "CALLS_PER_BLOCK", 64)
    parts = blocks_of(small_case)
    assert (len(whole), len(parts)) == (1, 11)
    for name, column in whole[0].items():
        assert column == [value for part in parts for value in part[name]]


def test_every_view_link_and_piece_of_evidence_is_kept(small_case: Case) -> None:
    block = blocks_of(small_case)[0]
    assert len(block["view_capture"]) == len(small_case.table("exchanges"))
    assert len(block["candidate_basis"]) == len(small_case.table("links"))
    assert sorted(map(str, block["reason_detail"])) == sorted(small_case.table("evidence")["detail"].to_pylist())


def test_a_long_list_of_frames_is_cut_and_its_length_kept() -> None:
    analysis = build_analysis(7)
    exchanges = analysis.tables["exchanges"]
    long = [row | {"response_frames": list(range(1, 5001))} for row in exchanges.to_pylist()]
    analysis.tables["exchanges"] = pa.Table.from_pylist(long, exchanges.schema)
    block = blocks_of(case_of(analysis))[0]
    assert set(block["response_frames"]) == {FRAMES_KEPT}
    assert set(block["response_frames_total"]) == {5000}
    assert block["response_frames_values"][:FRAMES_KEPT] == list(range(1, FRAMES_KEPT + 1))
