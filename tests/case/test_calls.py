"""Rows become call records in the fixed form, in order, whatever the slices."""

import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cases import build_analysis, build_case, case_of

from wiretrace.case import calls as calls_module
from wiretrace.case.calls import call_records, plain_list
from wiretrace.model.errors import UserError


def test_a_record_says_what_the_tables_say(tmp_path: Path) -> None:
    case = build_case(tmp_path / "a.case")
    records = {record.id: record for record in call_records(case)}
    exchanges = case.table("exchanges").to_pylist()
    links = case.table("links").to_pylist()
    evidence = case.table("evidence").to_pylist()
    calls = case.table("calls").to_pylist()
    assert len(records) == len(calls)
    for call in calls:
        record = records[call["id"]]
        for name in ("tree", "parent", "basis", "confidence", "protocol", "operation", "summary", "status", "outcome"):
            assert getattr(record, name) == call[name]
        assert (record.start_ns, record.end_ns) == (call["start_ns"], call["end_ns"])
        assert record.client == calls_module.Party(
            call["client_address"], call["client_port"], call["client_host"] or None, call["client_service"] or None
        )
        assert msgspec.json.decode(call["attributes"]) == record.attributes
        assert [(item.kind, item.weight, item.detail) for item in record.evidence] == [
            (row["kind"], row["weight"], row["detail"])
            for row in evidence
            if row["child"] == call["id"] and row["parent"] == call["parent"]
        ]
        assert [(other.parent, other.confidence) for other in record.alternatives] == [
            (row["parent"] or None, row["confidence"])
            for row in links
            if row["child"] == call["id"] and row["rank"] > 0
        ]
        rows = [row for row in (call["client_exchange"], call["server_exchange"]) if row >= 0]
        for view, row in zip(record.views, rows, strict=True):
            seen = exchanges[row]
            assert view.capture == seen["capture"]
            assert view.request == calls_module.Part(seen["request_frames"], seen["request_bytes"])
            assert (view.response is None) == (seen["response_start_ns"] < 0)
            assert view.start_ns == seen["request_start_ns"]
    assert {view.role for record in records.values() for view in record.views} == {"client", "server"}
    assert any(record.alternatives for record in records.values())


def test_records_are_sorted_and_slices_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = build_case(tmp_path / "a.case")
    whole = list(call_records(case))
    assert [(record.start_ns, record.id) for record in whole] == sorted(
        (record.start_ns, record.id) for record in whole
    )
    monkeypatch.setattr(calls_module, "SLICE_ROWS", 13)
    assert list(call_records(case)) == whole


def test_a_case_without_calls_has_no_records() -> None:
    analysis = build_analysis(0)
    assert list(call_records(case_of(analysis))) == []


@pytest.mark.parametrize(("column", "value"), [("attributes", "[1]"), ("attributes", "{"), ("client_exchange", 10**9)])
def test_a_case_that_contradicts_itself_is_one_line(column: str, value: object) -> None:
    analysis = build_analysis(14)
    calls = analysis.tables["calls"]
    position = calls.schema.get_field_index(column)
    changed = pa.array([value] * len(calls), calls.schema.field(column).type)
    analysis.tables["calls"] = calls.set_column(position, calls.schema.field(column), changed)
    with pytest.raises(UserError, match="damaged"):
        list(call_records(case_of(analysis)))


ARRAYS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()).map(lambda values: pa.array(values, pa.int64())),
    st.lists(st.sampled_from(["a", "b", ""]) | st.none()).map(
        lambda values: pa.array(values, pa.string()).dictionary_encode()
    ),
    st.lists(st.lists(st.integers(0, 2**31 - 1)) | st.none()).map(
        lambda values: pa.array(values, pa.list_(pa.int32()))
    ),
    st.lists(st.lists(st.text()) | st.none()).map(lambda values: pa.array(values, pa.list_(pa.string()))),
    st.lists(st.floats(allow_nan=False) | st.none()).map(lambda values: pa.array(values, pa.float64())),
    st.lists(st.booleans() | st.none()).map(lambda values: pa.array(values, pa.bool_())),
)


@given(array=ARRAYS, cut=st.integers(0, 5), data=st.data())
def test_plain_list_is_to_pylist(array: pa.Array, cut: int, data: st.DataObject) -> None:
    """The fast way and Arrow's own way agree, on slices and on chunks."""
    piece = array.slice(min(cut, len(array)))
    assert plain_list(piece) == piece.to_pylist()
    middle = data.draw(st.integers(0, len(array)))
    chunked = pa.chunked_array([array.slice(0, middle), array.slice(middle)], array.type)
    assert plain_list(chunked) == array.to_pylist()


def test_records_are_fast_enough(tmp_path: Path) -> None:
    """A call takes less than 100 microseconds of processor time (20 are usual; the rest is for a busy machine)."""
    case = build_case(tmp_path / "a.case", calls=7000)
    begun = time.process_time()
    encoded = msgspec.json.Encoder().encode_lines(call_records(case))
    assert encoded.count(b"\n") == 7000
    assert time.process_time() - begun < 0.7
