"""Everything that wiretrace writes about captures, as plain text: nothing compressed, nothing left out.

`all_outputs` runs the real command and gives every output by name: what the terminal shows, the tables of the case cell by
cell, the report with its blocks decoded, JSON, JSON Lines, and every exporter.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from tests.support.command_line import invoke, run

from wiretrace.case.reader import Case
from wiretrace.export.registry import known_exporters
from wiretrace.model.tables import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

DATA_BLOCK = re.compile(rb'<script type="application/octet-stream;base64" id="([^"]*)">([^<]*)</script>')


def all_outputs(captures: Path, folder: Path, *options: str) -> dict[str, bytes]:
    """Analyze `captures` into `folder`; returns the bytes of every output by its name."""
    case_path = folder / "a.case"
    analysis = run(
        ["analyze", captures, "-o", case_path, "--html", folder / "a.html", "--json", folder / "a.json", *options]
    )
    assert analysis.returncode == 0, analysis.stderr
    found = {"terminal": analysis.stdout.encode(), "diagnostics": analysis.stderr.encode()}
    found["json"] = (folder / "a.json").read_bytes()
    found["html"] = (folder / "a.html").read_bytes()
    for name, block in DATA_BLOCK.findall(found["html"]):
        found[f"html block {name.decode()}"] = zlib.decompress(base64.b64decode(block))
    for path in case_path.iterdir():
        found[f"file {path.name}"] = path.read_bytes()
    case = Case.open(case_path)
    for name in TABLES:
        found[f"table {name}"] = _cells(case.table(name))
    for name, exporter in known_exporters().items():
        stream = io.BytesIO()
        exporter().write(case, stream)
        found[f"export {name}"] = (
            stream.getvalue() if exporter.is_text else _cells(pq.read_table(io.BytesIO(stream.getvalue())))
        )
    for root in case.table("trees").column("tree").to_pylist()[:12]:
        found[f"show {root}"] = invoke(["show", case_path, root, "--why"]).encode()
    return found


def _cells(table: pa.Table) -> bytes:
    """All cells of a table, a line each."""
    return "\n".join(_told(value) for row in table.to_pylist() for value in row.values()).encode()


def _told(value: object) -> str:
    """A cell as it is, lists item by item: `repr` would escape what is looked for."""
    return "\n".join(_told(item) for item in value) if isinstance(value, list) else str(value)
