"""Writes docs/case.md: what a case is, and every column of its tables with its sentence.

Run it after changing model/tables.py: `python tools/document_case.py`. A test holds the page against it.
"""

from pathlib import Path

from wiretrace.case.manifest import SCHEMA_VERSION
from wiretrace.model.tables import TABLES

PAGE = Path(__file__).parent.parent / "docs" / "case.md"
HEAD = f"""# The case

`wiretrace analyze CAPTURE... -o CASE` writes a *case*: a directory with one Parquet file a table and `manifest.json`. It
is written under another name beside it and renamed when it is complete, so that it exists whole or not at all. Equal
captures and settings give byte-equal cases.

The manifest holds the version of the tables (now {SCHEMA_VERSION}), the version of wiretrace, the capture files with their
digests and drop counts, the settings that can change a result, and where every captured payload byte went.

`wiretrace query CASE SQL` runs SQL (DuckDB) over the tables. The SQL can read nothing but these tables:

```text
wiretrace query shop.case "SELECT server_service, operation, count(*) AS calls,
    max(end_ns - start_ns) / 1e6 AS longest_ms
    FROM calls GROUP BY ALL ORDER BY longest_ms DESC"
```

Any other reader of Parquet opens the files as well. Times are nanoseconds since the epoch, UTC; sizes are bytes; -1 stands
for "none" in columns of integers that say so. In the files, a `category` is a string.

What a case holds is redacted: SQL literals, secrets in headers, queries and bodies, and what looks like one, are gone
before anything is written. `--keep-values` keeps them, and marks the case.

Packets are not copied. Rows name the capture and the frames, so that they can be found again.

This page is written by `tools/document_case.py`.
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for name, columns in TABLES.items():
        lines += [f"## {name}", "", "| column | type | meaning |", "|---|---|---|"]
        for column in columns:
            kind = column.type.replace("<", " of ").strip(">")
            lines.append(f"| `{column.name}` | {kind} | {column.sentence} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
