"""Show tells the answer first, fits its place, draws trees, and lets no captured text through raw."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support.cases import build_analysis, build_case, write_case
from tests.support.command_line import invoke, run, run_on_terminal

from wiretrace.model.settings import Settings

HOSTILE = "<script>\x1b]0;owned\x07\x1b[2J\r\u202e\u2066\x9b31m\u2028\n[bold]x[/]\U000e0041\u200b"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "a.case"
    build_case(path, calls=280)
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case with hostile text in every text that the tables can hold, but for ids and fixed words."""
    fixed = {"id", "tree", "parent", "child", "basis", "relation", "outcome", "possible", "attributes"}
    analysis = build_analysis(70)
    for name, table in analysis.tables.items():
        rows = table.to_pylist()
        for row in rows:
            for field in table.schema:
                if field.name in fixed:
                    continue
                if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type):
                    row[field.name] = HOSTILE
                elif field.type == pa.list_(pa.string()):
                    row[field.name] = [HOSTILE]
            if "attributes" in row:
                row["attributes"] = '{"<b>\\u001b[31m": "\\u001b[2J\\u202e"}'
            if name == "calls" and row["outcome"] == "ok":
                row["outcome"] = "error"
        analysis.tables[name] = pa.Table.from_pylist(rows, table.schema)
    path = tmp_path_factory.mktemp("cases") / "hostile.case"
    write_case(path, analysis, Settings())
    return path


def first_tree(case: Path) -> str:
    return run(
        ["query", case, "SELECT tree FROM trees ORDER BY errors DESC, tree LIMIT 1", "--format", "csv"]
    ).stdout.split()[1]


def test_the_summary_says_all_that_it_should(stored: Path) -> None:
    text = invoke(["show", stored])
    sections = [
        " failed: 280 calls, from 4 captures of 5 hosts.",
        "What is wrong",
        "What failed",
        "because of SELECT orders (postgresql): 40P01",
        "What takes time",
        "For example: tree ",
        "Services",
        "How sure",
        "What could not be seen or read",
        "Payload: ",
        "Unexplained: 0 bytes.",
        "Next",
        "\n40 request trees\n",
    ]
    positions = [text.find(section) for section in sections]
    assert -1 not in positions
    assert positions == sorted(positions)


def test_in_a_pipe_it_is_plain_text_of_80_columns(stored: Path) -> None:
    """Only commands to copy may be longer: cut, they would be useless."""
    result = run(["show", stored])
    assert "\x1b" not in result.stdout
    lines = [line for line in result.stdout.splitlines() if not line.startswith("  wiretrace ")]
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert result.stderr == ""


@pytest.mark.parametrize("columns", [40, 60, 120, 200])
def test_the_width_is_respected(stored: Path, columns: int) -> None:
    for arguments in (["show", stored], ["show", stored, first_tree(stored), "--why"]):
        text = invoke(arguments, columns)
        lines = [line for line in text.splitlines() if not line.startswith("  wiretrace ")]
        assert max(map(len, lines)) <= columns


def test_a_terminal_gets_colour_and_no_color_none(stored: Path) -> None:
    """Without colour, not a word is lost."""
    coloured = run_on_terminal(["show", stored], more={"COLUMNS": "100"})
    plain = run_on_terminal(["show", stored], more={"COLUMNS": "100", "NO_COLOR": "1"})
    assert re.search(r"\x1b\[3\d", coloured)
    assert not re.search(r"\x1b\[[0-9;]*3\d", plain)
    assert COLOUR.sub("", coloured) == COLOUR.sub("", plain)


def test_a_terminal_without_unicode_gets_ascii(stored: Path) -> None:
    text = run(["show", stored], more={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}).stdout
    assert text.isascii()
    assert "`- GET /api/orders/{id} . shop" in text
    assert "\\u" not in text


def test_a_tree_shows_who_caused_whom_and_how_sure(stored: Path) -> None:
    text = invoke(["show", stored, first_tree(stored)], 100)
    drawn = text.split("\n\n")[-1].splitlines()
    assert len(drawn) == 7
    assert drawn[0].startswith("GET /orders/{id} · web")
    assert drawn[1].startswith("└─ GET /api/orders/{id} · shop")
    assert drawn[1].endswith("stated")
    assert drawn[2].startswith("   ├─ GET · redis")
    assert drawn[2].endswith("measured")
    assert drawn[3].startswith("   ├╌ SELECT orders · postgresql")
    assert "✗ 40P01" in drawn[3]
    assert drawn[3].endswith("≈98%")


def test_a_question_does_not_look_like_a_link(stored: Path) -> None:
    question = run(["query", stored, "SELECT id FROM calls WHERE question LIMIT 1", "--format", "csv"]).stdout.split()[
        1
    ]
    drawn = invoke(["show", stored, question]).split("\n\n")[-1]
    assert re.search(r"├\? UPDATE stock.*≈41%\?", drawn)


def test_why_tells_the_evidence_and_the_runners_up(stored: Path) -> None:
    question = run(["query", stored, "SELECT id FROM calls WHERE question LIMIT 1", "--format", "csv"]).stdout.split()[
        1
    ]
    text = invoke(["show", stored, question, "--why"], 120)
    assert "identifiers (+20.0): both carry the same x-request-id" in text
    assert re.search(r"or caused by [0-9a-f]{16}, 38%", text)
    assert "or caused by nothing captured, 5%" in text


def test_a_call_is_told_in_full(stored: Path) -> None:
    call = run(
        ["query", stored, "SELECT id FROM calls WHERE protocol = 'redis' LIMIT 1", "--format", "csv"]
    ).stdout.split()[1]
    text = invoke(["show", stored, call[:10]])
    assert text.startswith("GET order:42\n")
    assert f"call {call} of tree " in text
    assert re.search(r"seen in app\d \(client\): request 192 bytes in frame \d+, response", text)
    assert "seen in db1 (server)" in text


def test_ids_that_mean_nothing_or_too_much_are_refused(stored: Path) -> None:
    unknown = run(["show", stored, "zzz"])
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no call or tree" in unknown.stderr
    several = run(["show", stored, ""])
    assert several.returncode == 1
    assert "give more digits" in several.stderr


def test_the_list_of_trees_is_limited_on_demand(stored: Path) -> None:
    def listed(limit: str) -> int:
        text = invoke(["show", stored, "--limit", limit])
        return len(re.findall(r"^[0-9a-f]{16} \d\d:", text.split("40 request trees\n")[1], re.MULTILINE))

    assert (listed("3"), listed("0")) == (3, 40)


def test_hostile_text_never_reaches_the_terminal_raw(hostile: Path) -> None:
    """Everything but our own colours and line ends is a visible character."""
    for arguments in (
        ["show", hostile],
        ["show", hostile, first_tree(hostile), "--why"],
        ["export", hostile, "--format", "json"],
    ):
        text = COLOUR.sub("", run_on_terminal(arguments, more={"COLUMNS": "150"})).replace("\r\n", "\n")
        assert len(text) > 100
        assert [line for line in text.split("\n") if not line.isprintable()] == []


def test_hostile_text_in_a_pipe_is_escaped_in_what_people_read(hostile: Path) -> None:
    for arguments in (
        ["show", hostile],
        ["show", hostile, first_tree(hostile)],
        ["show", hostile, first_tree(hostile), "--why"],
        ["query", hostile, "SELECT * FROM calls"],
    ):
        text = invoke(arguments, 160)
        assert "[bold]x[/]" in text  # no markup either: it is shown as it is
        assert [line for line in text.split("\n") if not line.isprintable()] == []


def test_where_lists_the_trees_that_a_filter_finds(stored: Path) -> None:
    """In the language of the report: tests/report/test_page.py holds the two together."""
    listed = invoke(["show", stored, "--where", "any.status:40P01", "--limit", "0"]).splitlines()
    sql = "SELECT DISTINCT tree FROM calls WHERE status = '40P01'"
    trees = run(["query", stored, sql, "--format", "csv"]).stdout.split()[1:]
    assert f"{len(trees)} of 40 request trees" in listed
    assert sorted(line.split()[0] for line in listed[-len(trees) :]) == sorted(trees)


def test_a_mistake_in_a_filter_is_told_in_a_line(stored: Path) -> None:
    result = run(["show", stored, "--where", "colour:red"])
    assert result.returncode == 1
    assert result.stderr.startswith("wiretrace: there is no field 'colour'")
