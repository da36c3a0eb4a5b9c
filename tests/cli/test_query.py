"""Query prints what SQL returns, in three forms, and nothing outside the case."""

import csv
import io
import json
from pathlib import Path

import pytest
from tests.support.cases import build_case
from tests.support.command_line import invoke, run

from wiretrace.model.errors import UserError

EVERY_KIND = (
    "SELECT 1 AS whole, 1.5 AS part, NULL AS none, 'a,\"b' AS words, [1, 2] AS list, {'a': 1} AS struct, "
    "make_timestamp_ns(1795211204066087693) AS moment, INTERVAL 90 SECOND AS span, 10::HUGEINT AS huge, "
    "1.25::DECIMAL(9, 2) AS exact, 'x'::BLOB AS raw, DATE '2026-11-20' AS day"
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "a.case"
    build_case(path, calls=140)
    return path


def test_a_table_has_columns_that_line_up(stored: Path) -> None:
    lines = invoke(["query", stored, "SELECT operation, count(*) AS calls FROM calls GROUP BY 1 ORDER BY 1"]).split(
        "\n"
    )
    assert lines[0] == "operation             calls"
    assert lines[1] == "--------------------  -----"
    assert lines[3] == "GET /api/orders/{id}  20"
    assert len(lines) == 10


def test_every_kind_of_value_is_printed_in_every_form(stored: Path) -> None:
    for form in ("table", "csv", "json"):
        assert "2026-11-20 21:46:44.066087693" in invoke(["query", stored, EVERY_KIND, "--format", form])
    (row,) = json.loads(invoke(["query", stored, EVERY_KIND, "--format", "json"]))
    assert (row["whole"], row["part"], row["none"], row["list"], row["struct"]) == (1, 1.5, None, [1, 2], {"a": 1})


def test_csv_and_json_hold_every_row(stored: Path) -> None:
    sql = "SELECT id, operation FROM calls ORDER BY start_ns"
    rows = list(csv.DictReader(io.StringIO(invoke(["query", stored, sql, "--format", "csv"]))))
    assert rows == json.loads(invoke(["query", stored, sql, "--format", "json"]))
    assert len(rows) == 140


def test_no_rows_are_valid_in_every_form(stored: Path) -> None:
    sql = "SELECT id FROM calls WHERE false"
    assert json.loads(invoke(["query", stored, sql, "--format", "json"])) == []
    assert invoke(["query", stored, sql, "--format", "csv"]) == "id\n"
    assert invoke(["query", stored, sql]) == "id\n--\n"


@pytest.mark.parametrize(
    "sql", ["SELECT nothing", "SELECT error('boom')", "COPY calls TO 'out.csv'", "SELECT * FROM '/etc/hostname'", "("]
)
def test_what_goes_wrong_is_one_line(stored: Path, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^query: [^\n]+$"):
        invoke(["query", stored, sql])
    assert list(tmp_path.iterdir()) == []


def test_wrong_sql_ends_with_status_1(stored: Path) -> None:
    result = run(["query", stored, "SELECT nothing"])
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("wiretrace: query: ")
