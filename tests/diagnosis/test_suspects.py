"""Suspects come with what clears the others, and with the question that tells them apart."""

from tests.support.system import System

from wiretrace.diagnosis.diagnose import diagnose

FAILED = {"status": "500", "outcome": "error"}


def suspects() -> list[dict[str, object]]:
    """A database fails for one of three kinds of request; the others are well."""
    system = System()
    for number in range(120):
        at = number * 40.0
        operation, table = (("GET /a", "a"), ("GET /b", "b"), ("GET /c", "c"))[number % 3]
        bad = FAILED if table == "b" and number % 2 else {}
        web = system.call(None, ("client", "web1"), operation, at, 12, **bad)
        callee = "one1" if table == "c" else "two1"
        call = system.call(web, ("web1", callee), operation, at + 1, 10, **bad)
        system.call(
            call, (callee, "pg1"), f"SELECT {table}", at + 2, 4, **{"protocol": "postgresql", "status": "S", **bad}
        )
    return diagnose(system.case())["suspects"].to_pylist()


def test_the_statement_is_suspected_and_what_it_needs_is_not_cleared() -> None:
    rows = suspects()
    assert (rows[0]["component_kind"], rows[0]["component"]) == ("statement", "SELECT b (pg)")
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["failing"] == 20
    cleared = {row["component"] for row in rows if row["cleared"]}
    assert {"one", "one1", "web"} <= cleared
    assert "pg" not in cleared


def test_cleared_components_come_last_and_say_by_what() -> None:
    rows = suspects()
    flags = [row["cleared"] for row in rows]
    assert flags == sorted(flags)
    for row in rows:
        if row["cleared"]:
            assert f"{row['good']:,} good requests used it" in row["words"]


def test_the_next_question_goes_through_some_suspects_and_past_others() -> None:
    question = suspects()[0]["next_step"]
    assert question.startswith("Ask for GET /")
    assert "and not through" in question
