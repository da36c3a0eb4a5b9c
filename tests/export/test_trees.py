"""The JSON document nests every call once, under its parent, and questions under nobody."""

import io
import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from tests.support.cases import Analysis, build_analysis, case_of

from wiretrace.export import trees
from wiretrace.export.jsonl import JsonLines
from wiretrace.export.trees import JsonTrees
from wiretrace.model.settings import Settings

SCHEMA = json.loads((files("wiretrace.export") / "schemas" / "trees.schema.json").read_text())
CALL_SCHEMA = json.loads((files("wiretrace.export") / "schemas" / "call.schema.json").read_text())


def written(analysis: Analysis) -> bytes:
    stream = io.BytesIO()
    JsonTrees().write(case_of(analysis), stream)
    return stream.getvalue()


def nested(call: dict[str, Any]) -> list[dict[str, Any]]:
    return [call, *(below for child in call["children"] for below in nested(child))]


def with_parents(analysis: Analysis, parents: list[int | None]) -> Analysis:
    """Replace the parents of the calls by rows of the table, and leave no questions."""
    calls = analysis.tables["calls"]
    rows = calls.to_pylist()[: len(parents)]
    for row, parent in zip(rows, parents, strict=True):
        row["parent"] = None if parent is None else rows[parent]["id"]
        row["question"] = False
    analysis.tables["calls"] = calls.from_pylist(rows, calls.schema)
    return analysis


@pytest.mark.parametrize("calls", [0, 7, 280])
def test_the_document_is_as_the_schema_says(calls: int) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(written(build_analysis(calls))))


def test_a_nested_call_has_the_fields_of_a_line_and_its_children() -> None:
    nested_call = SCHEMA["$defs"]["call"]["properties"]
    assert {name: schema for name, schema in nested_call.items() if name != "children"} == CALL_SCHEMA["properties"]


def test_every_call_is_in_the_document_once_and_under_its_parent() -> None:
    analysis = build_analysis()
    document = json.loads(written(analysis))
    stream = io.BytesIO()
    JsonLines().write(case_of(analysis), stream)
    expected = {line["id"]: line for line in map(json.loads, stream.getvalue().splitlines())}
    found = [call for tree in document["trees"] for call in nested(tree["root"])]
    found += [call for root in document["unlinked"] for call in nested(root)]
    assert sorted(call["id"] for call in found) == sorted(expected)
    for call in found:
        for child in call["children"]:
            assert child["parent"] == call["id"]
        assert {name: value for name, value in call.items() if name != "children"} == expected[call["id"]]


def test_questions_stand_under_nobody() -> None:
    document = json.loads(written(build_analysis()))
    assert document["unlinked"]
    assert all(call["parent"] and call["confidence"] < 0.5 for call in document["unlinked"])
    for tree in document["trees"]:
        assert tree["id"] == tree["root"]["id"]
        assert all(call["confidence"] >= 0.5 for call in nested(tree["root"])[1:])


def test_the_accounting_adds_up() -> None:
    accounting = json.loads(written(build_analysis()))["accounting"]
    assert accounting["unexplained"] == 0
    assert accounting["captured"] == sum(count for fate, count in accounting.items() if fate != "captured") > 0


def test_a_tree_may_be_deeper_than_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "BUFFER_BYTES", 100)
    text = written(with_parents(build_analysis(5000), [None, *range(4999)]))
    assert text.count(b'"children":[{') == 4999
    assert text.count(b"{") == text.count(b"}")


def test_calls_in_a_circle_are_not_lost() -> None:
    document = json.loads(written(with_parents(build_analysis(14), [2, 0, 1, None, 3])))
    assert [len(nested(tree["root"])) for tree in document["trees"]] == [2]
    assert [len(nested(call)) for call in document["unlinked"]] == [3]


def test_kept_values_are_marked() -> None:
    stream = io.BytesIO()
    JsonTrees().write(case_of(build_analysis(7), Settings(keep_values=True)), stream)
    document = json.loads(stream.getvalue())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["notes"][-1]["kind"] == "values_kept"
    assert all(note["kind"] != "values_kept" for note in json.loads(written(build_analysis(7)))["notes"])
