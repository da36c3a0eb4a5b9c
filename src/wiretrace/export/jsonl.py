"""JSON Lines: one call a line, sorted by start. The line is `schemas/call.schema.json`."""

from itertools import islice
from typing import BinaryIO

import msgspec

from wiretrace.case.calls import call_records
from wiretrace.case.reader import Case
from wiretrace.export.contract import Exporter

LINES = 4096
"""Lines that are encoded at once."""


class JsonLines(Exporter):
    """One JSON object a call, one call a line."""

    name = "jsonl"
    sentence = "One call a line as JSON, for jq, log tools and scripts."

    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the calls of the case."""
        encoder = msgspec.json.Encoder()
        records = call_records(case)
        while some := list(islice(records, LINES)):
            stream.write(encoder.encode_lines(some))
