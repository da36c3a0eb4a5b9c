"""Writes docs/findings/: a page for every rule, as `wiretrace explain` tells it, and their index.

Run it after changing a rule: `python tools/document_findings.py`. A test holds the pages against it.
"""

from pathlib import Path

from wiretrace.diagnosis.rules.contract import HEADINGS, Rule
from wiretrace.diagnosis.rules.registry import known_rules

FOLDER = Path(__file__).parent.parent / "docs" / "findings"
HEAD = """# Findings

A finding is what wiretrace concludes. Each kind has a code that stays, a page here, and the same words in
`wiretrace explain CODE`. `wiretrace why CASE` tells the findings of a case by impact; they are in its table `findings`.

`critical` asks for somebody now, `warning` for somebody today, and `info` harmed no request that was captured.

These pages are written by `tools/document_findings.py`.
"""


def pages() -> dict[str, str]:
    """The text of each page by the name of its file."""
    rows = [f"- [{code}]({code}.md): {rule.title}." for code, rule in known_rules().items()]
    found = {"index.md": HEAD + "\n" + "\n".join(rows) + "\n"}
    return found | {f"{code}.md": page(rule) for code, rule in known_rules().items()}


def page(rule: Rule) -> str:
    """The page of one rule."""
    lines = [f"# {rule.code}", "", f"{rule.title}."]
    for heading, part in HEADINGS.items():
        lines += ["", f"## {heading}", "", getattr(rule.page, part)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
