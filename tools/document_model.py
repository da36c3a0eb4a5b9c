"""Writes docs/limits.md and docs/notes-and-outcomes.md from the sentences of the model.

Run it after changing model/limits.py, note.py, outcome.py or analysis.py: `python tools/document_model.py`. A test holds
the pages against it.
"""

import ast
import dataclasses
import inspect
from enum import StrEnum
from pathlib import Path

from wiretrace.model.analysis import Payload
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.model.outcome import Outcome

DOCS = Path(__file__).parent.parent / "docs"
LIMITS = """# Limits

Whatever a capture holds, memory and time stay bounded. Each bound has a name. Reaching one is never silent: the answer
then has a note of kind `limit_reached` that names it.

| limit | value | what it bounds, and what happens beyond it |
|---|---|---|
"""
NOTES = """# Notes and outcomes

Three words are never mixed. A **note** is what we could not see or read. An **outcome** is what happened to an exchange. A
**finding** is what we conclude from them.

## Notes

They stand in the table `notes` of a case, with how often and about what (a file, a protocol, a reason).

| note | meaning |
|---|---|
"""
OUTCOMES = """
## Outcomes

They stand in the column `outcome` of exchanges and calls. Where packets leave several causes open, the column `possible`
lists them all.

| outcome | meaning |
|---|---|
"""
PROOFS = (Path(__file__).parent / "outcomes.md").read_text()
"""What proves each outcome: written by hand."""
PAYLOAD = """
## Where every byte went

Every captured payload byte ends in one of these, and the sums are printed with every answer. A difference would be a defect
of wiretrace, and is printed as "unexplained".

| | bytes that |
|---|---|
"""
FOOT = "\nThis page is written by `tools/document_model.py`.\n"


def sentences(described: type) -> dict[str, str]:
    """The docstring behind each assignment in the body of a class, by the name that is assigned; '' where there is none."""
    (definition,) = ast.parse(inspect.getsource(described)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, behind in zip(definition.body, [*definition.body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                match behind:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = inspect.cleandoc(text).replace("\n", " ")
                    case _:
                        found[name] = ""
    return found


def member_sentences(described: type[StrEnum]) -> dict[str, str]:
    """The docstring of each member of an enumeration, by its value."""
    behind = sentences(described)
    return {member.value: behind[member.name] for member in described}


def rows(table: dict[str, str]) -> str:
    """Rows of a table of two columns."""
    return "".join(f"| `{name}` | {sentence} |\n" for name, sentence in table.items())


def limits_page() -> str:
    """The page of limits."""
    text = sentences(Limits)
    values = {limit.name: limit.default for limit in dataclasses.fields(Limits)}
    return LIMITS + "".join(f"| `{name}` | {value:,} | {text[name]} |\n" for name, value in values.items()) + FOOT


def notes_page() -> str:
    """The page of notes and outcomes."""
    parts = [NOTES, rows({kind.value: kind.sentence for kind in NoteKind})]
    parts += [OUTCOMES, rows(member_sentences(Outcome)), PROOFS, PAYLOAD, rows(member_sentences(Payload))]
    return "".join(parts) + FOOT


if __name__ == "__main__":
    (DOCS / "limits.md").write_text(limits_page())
    (DOCS / "notes-and-outcomes.md").write_text(notes_page())
