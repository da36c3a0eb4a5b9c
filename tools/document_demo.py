"""Puts what `make demo` prints into README.md, with long lists shortened where it says so.

Run it when the summary or the captures changed: `python tools/document_demo.py`. A test holds the page against it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- demo: begin -->\n", "<!-- demo: end -->"
SHORTENED = ("What takes time", "Services")
"""Headings of the lists that are shortened."""
ROWS_KEPT = 3
PROGRAM = "from wiretrace.cli import main; main()"


def demo() -> str:
    """What the command of `make demo` prints in a pipe, up to the commands that it suggests."""
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, "analyze", "pcaps/shop"],
        stdout=subprocess.PIPE,
        env={**plain, "PYTHONPATH": str(ROOT / "src")},
        cwd=ROOT,
        text=True,
        check=True,
    )
    return result.stdout.partition("\nNext\n")[0]


def shortened(printed: str) -> str:
    """The same with only the first rows of the lists in SHORTENED."""
    sections = []
    for section in re.split(r"\n\n", printed.strip("\n")):
        lines = section.splitlines()
        if lines[0].startswith(SHORTENED):
            kept = ROWS_KEPT + 1
            rest = [line for line in lines[kept:] if not line.startswith("  …")]
            more = lines[kept + len(rest) :]
            lines = [*lines[:kept], f"  [{len(rest)} lines left out here]", *more] if rest else lines
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def readme(text: str) -> str:
    """The text of README.md with the demo as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, behind = rest.partition(END)
    return f"{before}{BEGIN}```text\n{shortened(demo())}```\n{END}{behind}"


if __name__ == "__main__":
    README.write_text(readme(README.read_text()))
