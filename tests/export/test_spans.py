"""The formats of tracing tools hold every call once, with the fields and types that those tools require."""

import io
import json
import re
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.export.registry import known_exporters
from wiretrace.export.span import OtherParent, spans


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(build_analysis(700))


def exported(case: Case, name: str) -> bytes:
    stream = io.BytesIO()
    known_exporters()[name]().write(case, stream)
    return stream.getvalue()


def calls_of(case: Case) -> dict[str, dict[str, Any]]:
    return {call["id"]: call for call in case.table("calls").to_pylist()}


def test_a_span_has_a_parent_only_where_the_link_is_no_question(case: Case) -> None:
    calls = calls_of(case)
    traces = {span.call.id: span.trace for span in spans(case)}
    seen = set()
    for span in spans(case):
        call = calls[span.call.id]
        assert span.parent == (None if call["question"] else call["parent"])
        assert span.parent is None or span.parent in seen
        if call["question"]:
            assert span.others[0] == OtherParent(call["parent"], traces[call["parent"]], call["confidence"])
            assert span.trace == call["id"]
        seen.add(span.call.id)
    assert seen == set(calls)


def test_a_clients_error_is_not_the_servers() -> None:
    """OpenTelemetry: 4xx leaves the status of a server span unset."""
    analysis = build_analysis(7)
    rows = analysis.tables["calls"].to_pylist()
    rows[0] |= {"status": "404", "outcome": "error"}
    rows[1] |= {"status": "503", "outcome": "error"}
    analysis.tables["calls"] = analysis.tables["calls"].from_pylist(rows, analysis.tables["calls"].schema)
    first, second, *_ = spans(case_of(analysis))
    assert (first.is_error, second.is_error) == (False, True)
    assert second.attributes["error.type"] == "503"


def test_otlp_has_the_types_of_its_specification(case: Case) -> None:
    calls = calls_of(case)
    found = {}
    for line in exported(case, "otlp").splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            (service,) = resource["resource"]["attributes"]
            for span in resource["scopeSpans"][0]["spans"]:
                found[span["spanId"]] = span
                call = calls[span["spanId"]]
                assert service == {"key": "service.name", "value": {"stringValue": call["server_service"]}}
                assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"])
                assert set(span["traceId"]) != {"0"}
                assert span["startTimeUnixNano"] == str(call["start_ns"])
                assert span["kind"] == 2
                assert span.get("status", {"code": 2}) == {"code": 2}
                for attribute in span["attributes"]:
                    ((kind, value),) = attribute["value"].items()
                    assert isinstance(value, float if kind == "doubleValue" else str)
    assert set(found) == set(calls)
    assert sum("status" in span for span in found.values()) == sum(call["outcome"] != "ok" for call in calls.values())


def test_jaeger_refers_to_spans_and_processes_that_exist(case: Case) -> None:
    traces = json.loads(exported(case, "jaeger"))["data"]
    count = 0
    for trace in traces:
        ids = {span["spanID"] for span in trace["spans"]}
        count += len(ids)
        for span in trace["spans"]:
            assert span["traceID"] == trace["traceID"]
            assert span["processID"] in trace["processes"]
            assert all(reference["spanID"] in ids for reference in span["references"])
            assert span["duration"] >= 1
            assert isinstance(span["startTime"], int)
            assert {tag["type"] for tag in span["tags"]} <= {"string", "bool", "int64", "float64"}
    assert count == 700


def test_zipkin_has_lower_case_names_string_tags_and_no_zero(case: Case) -> None:
    found = json.loads(exported(case, "zipkin"))
    assert len({span["id"] for span in found}) == 700
    for span in found:
        assert span["name"] == span["name"].lower()
        assert span["duration"] >= 1
        assert all(isinstance(value, str) for value in span["tags"].values())
        assert span["localEndpoint"]["ipv4"].startswith("10.0.0.")
        assert all(span[end].get("port", 1) > 0 for end in ("localEndpoint", "remoteEndpoint"))


def test_slices_of_one_lane_never_overlap_and_arrows_begin_inside(case: Case) -> None:
    """Perfetto moves slices that do not nest to another track."""
    events = json.loads(exported(case, "perfetto"))["traceEvents"]
    lanes: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "X":
            lanes.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    assert sum(map(len, lanes.values())) == 700
    for slices in lanes.values():
        assert all(before[1] <= after[0] + 1e-6 for before, after in pairwise(sorted(slices)))
    starts = [event for event in events if event["ph"] == "s"]
    assert len(starts) == sum(bool(call["parent"]) and not call["question"] for call in calls_of(case).values())
    for event in starts:
        assert any(begin <= event["ts"] <= end for begin, end in lanes[event["pid"], event["tid"]])


def test_parquet_is_flat_and_has_timestamps(case: Case) -> None:
    table = pq.read_table(io.BytesIO(exported(case, "parquet")))
    assert len(table) == 700
    assert str(table.schema.field("start").type) == "timestamp[ns, tz=UTC]"
    assert not any(str(field.type).startswith(("list", "dictionary")) for field in table.schema)
    assert table.column("server_start").null_count == sum(
        call["server_start_ns"] == -1 for call in calls_of(case).values()
    )


@pytest.fixture(scope="module")
def queue_case() -> Case:
    """A call that took two messages off a queue, whose parent put the first of them there."""
    analysis = build_analysis(14)
    first, second, taker = analysis.tables["calls"].to_pylist()[:3]
    calls = analysis.tables["calls"].to_pylist()
    links = [row for row in analysis.tables["links"].to_pylist() if row["child"] != taker["id"]]
    for call in calls:
        if call["id"] == taker["id"]:
            call |= {
                "parent": second["id"],
                "basis": "measured",
                "relation": "follows",
                "confidence": 0.999,
                "question": False,
            }
    link = {"child": taker["id"], "rank": 0, "basis": "measured", "relation": "follows", "confidence": 0.999}
    links += [{**link, "parent": parent["id"]} for parent in (second, first)]
    for name, rows in (("calls", calls), ("links", links)):
        analysis.tables[name] = pa.Table.from_pylist(rows, analysis.tables[name].schema)
    return case_of(analysis)


def test_what_follows_is_told_from_what_is_a_child_in_every_format(queue_case: Case) -> None:
    taker = next(call for call in calls_of(queue_case).values() if call["relation"] == "follows")
    lines = exported(queue_case, "otlp").splitlines()
    spans = [
        span for line in lines for each in json.loads(line)["resourceSpans"] for span in each["scopeSpans"][0]["spans"]
    ]
    links = next(span["links"] for span in spans if span["spanId"] == taker["id"])
    assert len([each for each in links if each["attributes"][0]["value"] == {"stringValue": "follows"}]) == 2
    traces = json.loads(exported(queue_case, "jaeger"))["data"]
    jaeger = next(span for trace in traces for span in trace["spans"] if span["spanID"] == taker["id"])
    assert [each["refType"] for each in jaeger["references"]] == ["FOLLOWS_FROM"] * 2
    row = next(
        json.loads(line) for line in exported(queue_case, "jsonl").splitlines() if taker["id"].encode() in line[:40]
    )
    assert (row["relation"], len(row["also_follows"])) == ("follows", 1)
    events = json.loads(exported(queue_case, "perfetto"))["traceEvents"]
    assert "followed" in {event["name"] for event in events if event["ph"] == "s"}
