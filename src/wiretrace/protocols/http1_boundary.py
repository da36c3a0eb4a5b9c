"""Where HTTP/1 messages begin in bytes whose past is not known: recognition, and finding a boundary behind a gap.

Rules: strict, because a false boundary costs a false message. At the start of a line a whole start line is enough, with a
method that is registered. Elsewhere (a body without a line end runs into the next message) it must also be followed by a
header line and, for a request, have one of the common methods. Where a run of bytes begins, a message often begins too:
there a start line may be cut off.
"""

import re

from wiretrace.model.side import Side

COMMON_METHODS = rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH)"
OTHER_METHODS = (
    rb"(?:PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|SEARCH|REPORT|MKCALENDAR|ACL|BIND|LINK|UNLINK|PURGE|QUERY|BAN)"
)
TARGET = rb"[^\x00-\x20\x7f]{1,8000}"
HEADER_LINE = rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}[ \t]*:|\r?\n)"
REQUEST = re.compile(
    rb"(?<=\n)(?:%(common)s|%(other)s) %(target)s HTTP/1\.[01]\r?\n(?:\Z|%(header)s)"
    rb"|%(common)s (?:/|https?://)[^\x00-\x20\x7f]{0,8000} HTTP/1\.[01]\r\n%(header)s"
    % {b"common": COMMON_METHODS, b"other": OTHER_METHODS, b"target": TARGET, b"header": HEADER_LINE}
)
RESPONSE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [^\x00-\x1f\x7f]{0,200})?\r?\n" + HEADER_LINE)
RESPONSE_AT_LINE = re.compile(rb"(?<=\n)HTTP/1\.[01] [1-5][0-9][0-9](?: [^\x00-\x1f\x7f]{0,200})?\r?\n\Z")
REQUEST_LINE = re.compile(rb"[A-Z][A-Z-]{2,19} [^\x00-\x20\x7f][^\x00-\x1f\x7f]{0,8000} HTTP/1\.[01]\r?\n")
"""Where a connection begins, a target with spaces in it is believed."""
REQUEST_AT_START = re.compile(
    COMMON_METHODS
    + rb" (?:"
    + TARGET
    + rb" HTTP/1\.[01]\r?\n|(?:/|https?://)[^\x00-\x20\x7f]*(?: [HTP/1.0]{0,8}\r?)?\Z)"
)
RESPONSE_AT_START = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?:[ \r\n]|\Z)")
LEADING_LINES = re.compile(rb"[\r\n]{0,8}")


def boundary_in(side: Side, data: bytes, at: int) -> int | None:
    """The index in `data[at:]` of the first start line of `side` that can be trusted, or None."""
    if side is Side.CLIENT:
        if REQUEST_AT_START.match(data, at):
            return at
        found = REQUEST.search(data, at)
    else:
        if RESPONSE_AT_START.match(data, at):
            return at
        found = RESPONSE.search(data, at) or RESPONSE_AT_LINE.search(data, at)
    return None if found is None else found.start()


ONE_SIDED = 0.6
"""Likelihood where one side opens with a whole start line and the other one with something else (HTTP/0.9, an error)."""


def likelihood(client: bytes, server: bytes) -> float:
    """How surely these first bytes of two directions are HTTP/1, in these roles; see `Protocol.probe`."""
    asks = start_likelihood(Side.CLIENT, client)
    answers = start_likelihood(Side.SERVER, server)
    if asks == 0.0 or answers == 0.0:
        return ONE_SIDED if 1.0 in (asks, answers) else 0.0
    known = [likely for likely in (asks, answers) if likely is not None]
    return max(known, default=0.0)


def start_likelihood(side: Side, data: bytes) -> float | None:
    """How surely `data` is the beginning of what `side` sends; None if it does not tell, because it is empty."""
    begun = LEADING_LINES.match(data)
    start = begun.end() if begun else 0
    if start == len(data):
        return None
    whole = REQUEST_LINE if side is Side.CLIENT else RESPONSE_AT_START
    if whole.match(data, start):
        return 1.0
    if boundary_in(side, data, start) is not None:
        return 0.8
    return 0.0
