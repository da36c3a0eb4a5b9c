"""The JSON Lines output holds every call, in order, as its schema says."""

import io
import json
from importlib.resources import files

import jsonschema
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.export.jsonl import JsonLines
from wiretrace.model.outcome import Outcome

SCHEMA = json.loads((files("wiretrace.export") / "schemas" / "call.schema.json").read_text())


def lines(case: Case) -> list[dict]:
    stream = io.BytesIO()
    JsonLines().write(case, stream)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_as_the_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    found = lines(case_of(build_analysis()))
    assert len(found) == 280
    for line in found:
        validator.validate(line)
    assert [line["start_ns"] for line in found] == sorted(line["start_ns"] for line in found)


def test_the_fields_stand_in_the_documented_order() -> None:
    """People read the lines, too."""
    first = lines(case_of(build_analysis(14)))[0]
    assert list(first) == list(SCHEMA["properties"])


def test_the_schema_knows_every_outcome() -> None:
    assert SCHEMA["properties"]["outcome"]["enum"] == [outcome.value for outcome in Outcome]


def test_captured_text_is_only_ever_a_string() -> None:
    """Hostile text comes back as it was, and can not end its line."""
    analysis = build_analysis(7)
    hostile = 'GET /"},\n\u2028{"id":"<script>\x1b[31m\u202e'
    calls = analysis.tables["calls"]
    rows = calls.to_pylist()
    for row in rows:
        row["summary"] = hostile
    analysis.tables["calls"] = calls.from_pylist(rows, calls.schema)
    stream = io.BytesIO()
    JsonLines().write(case_of(analysis), stream)
    assert stream.getvalue().count(b"\n") == 7
    assert {json.loads(line)["summary"] for line in stream.getvalue().split(b"\n")[:-1]} == {hostile}


def test_an_empty_case_is_an_empty_file() -> None:
    assert lines(case_of(build_analysis(0))) == []
