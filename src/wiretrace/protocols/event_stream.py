"""Server-sent events: how many a body of type text/event-stream holds (HTML Living Standard, section 9.2).

Rules: bytes come in any pieces, and only what a line begins with is kept. An event is dispatched by an empty line, if a
``data`` field came before it; a comment alone, which keeps a connection alive, is none.
"""

from __future__ import annotations

import re

NOT_COUNTED = -1
"""Number of events where bytes of the body were not read."""
LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")
KEPT_OF_LINE = 5
"""Bytes of an unfinished line that tell whether it is a ``data`` field."""


class EventCounter:
    """Counts the events of one body."""

    __slots__ = ("_begun", "_data", "_return", "count")

    def __init__(self) -> None:
        self.count = 0
        """Events so far, or NOT_COUNTED."""
        self._begun = b""
        """How the unfinished line begins."""
        self._data = False
        """Whether the unfinished event has data."""
        self._return = False
        """Whether the last byte was CR, so that LF belongs to it."""

    def feed(self, body: bytes) -> None:
        """Take the next bytes of the body."""
        if self.count == NOT_COUNTED or not body:
            return
        at = 1 if self._return and body[:1] == b"\n" else 0
        self._return = body[-1:] == b"\r"
        begun = self._begun
        for line in LINE.finditer(body, at):
            text = begun + line[1][:KEPT_OF_LINE] if begun else line[1]
            begun = b""
            if not text:
                self.count += self._data
                self._data = False
            elif text[:4] == b"data" and text[4:5] in (b"", b":"):
                self._data = True
            at = line.end()
        self._begun = (begun + body[at : at + KEPT_OF_LINE])[:KEPT_OF_LINE]

    def give_up(self) -> None:
        """Bytes of the body are not read: the number is not known any more."""
        self.count = NOT_COUNTED

    def told(self, attributes: dict[str, str | int] | None) -> dict[str, str | int] | None:
        """`attributes` with the number of events, where it is known."""
        if self.count == NOT_COUNTED:
            return attributes
        return {**(attributes or {}), "wiretrace.http.response.events": self.count}
