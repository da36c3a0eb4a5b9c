"""The tables of a case, declared once: name, type and one sentence for every column.

Types are Arrow type names as `model/schema.py` understands them: int16, int32, int64, uint8, uint64, double, bool, string,
category (a dictionary-encoded string), list<int32>, list<string>, list<uint64>. Times are int64 nanoseconds since the
epoch, UTC; sizes are bytes. -1 stands for "none" in integer columns that say so.
"""

from typing import NamedTuple


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: str
    sentence: str


CAPTURES = (
    Column(
        "capture",
        "string",
        "Name of the vantage point: the file name without suffixes, or the set's name for rotated files.",
    ),
    Column("path", "string", "File that was read, as given."),
    Column("format", "category", "pcap or pcapng, with the compression where there is one."),
    Column("bytes", "int64", "Size of the file."),
    Column("sha256", "string", "Digest of the file as it was read."),
    Column("packets", "int64", "Packets in the file."),
    Column("decoded", "int64", "Packets that carried TCP or UDP that could be read."),
    Column("dropped", "int64", "Packets that the capturing host says it dropped; -1 where it does not say."),
    Column("first_ns", "int64", "Time of the first packet, as written; -1 in an empty file."),
    Column("last_ns", "int64", "Time of the last packet, as written; -1 in an empty file."),
    Column("host", "string", "Host that recorded it, where known."),
)

CONNECTIONS = (
    Column("connection", "int64", "Number of the connection, unique in the case."),
    Column("capture", "category", "Vantage point that saw it."),
    Column("protocol", "category", "Protocol that was recognised by its bytes; empty if none was."),
    Column("client_address", "category", "Address of the end that opened it."),
    Column("client_port", "int32", "Port of the end that opened it."),
    Column("server_address", "category", "Address of the end that accepted it."),
    Column("server_port", "int32", "Port of the end that accepted it."),
    Column("opened_ns", "int64", "Time of its first packet, as captured."),
    Column("closed_ns", "int64", "Time of its last packet, as captured."),
    Column("handshake", "bool", "Whether its SYN was captured; if not, it was joined midway."),
    Column("ended", "category", "client_fin, server_fin, client_reset, server_reset, refused, unanswered, or open."),
    Column("handshake_rtt_ns", "int64", "SYN to SYN-ACK as seen here; -1 if not seen."),
    Column("client_bytes", "int64", "Payload bytes of the client that were captured, each counted once."),
    Column("server_bytes", "int64", "Payload bytes of the server that were captured, each counted once."),
    Column("client_lost_bytes", "int64", "Payload bytes of the client that the capture lacks."),
    Column("server_lost_bytes", "int64", "Payload bytes of the server that the capture lacks."),
    Column("retransmitted_segments", "int64", "Segments that brought nothing new, keep-alives not counted."),
    Column("out_of_order_segments", "int64", "Segments that came behind a later one."),
    Column("zero_windows", "int64", "Times an end said that it can take no more bytes."),
    Column("exchanges", "int64", "Exchanges read from it."),
)

EXCHANGES = (
    Column("capture", "category", "Vantage point that saw it."),
    Column("connection", "int64", "Connection that carried it."),
    Column("protocol", "category", "Protocol."),
    Column("operation", "category", "What was asked for, in few distinct forms."),
    Column("summary", "string", "The request in one line, redacted."),
    Column("status", "category", "The answer in the protocol's own word; empty if there is none."),
    Column("outcome", "category", "What happened; see Outcome."),
    Column("possible", "list<string>", "Every outcome that the packets leave open, where more than one."),
    Column(
        "proof",
        "category",
        "Why request and response belong together: acknowledged, identifier, order, or empty for a half.",
    ),
    Column("client_address", "category", "Address of the client."),
    Column("client_port", "int32", "Port of the client."),
    Column("server_address", "category", "Address of the server."),
    Column("server_port", "int32", "Port of the server."),
    Column("request_start_ns", "int64", "Capture time of the request's first byte; -1 if not captured."),
    Column("request_end_ns", "int64", "Capture time of the request's last byte; -1 if not captured."),
    Column("response_start_ns", "int64", "Capture time of the response's first byte; -1 if there is none."),
    Column("response_end_ns", "int64", "Capture time of the response's last byte; -1 if there is none."),
    Column("request_bytes", "int64", "Length of the request; 0 if not captured."),
    Column("response_bytes", "int64", "Length of the response; 0 if there is none."),
    Column("request_frames", "list<int32>", "Packets that brought the request, by number in the file."),
    Column("response_frames", "list<int32>", "Packets that brought the response."),
    Column(
        "request_seq",
        "int64",
        "TCP sequence number of the request's first byte, the same at every vantage point; -1 if not captured.",
    ),
    Column("response_seq", "int64", "TCP sequence number of the response's first byte; -1 if there is none."),
    Column(
        "request_digest",
        "uint64",
        "Keyed hash of what the request asks for; equal where one is a forwarded copy of the other; 0 if none.",
    ),
    Column(
        "transaction", "int64", "Number of the database transaction it ran in, unique in the capture; -1 outside one."
    ),
    Column("one_way", "bool", "Whether it asks for no response."),
    Column(
        "delivered",
        "bool",
        "Whether the server of the connection asked: a broker delivers a message. It is the client of this row then.",
    ),
    Column(
        "sent",
        "list<uint64>",
        "Keyed hashes of the messages that it puts on queues: of the destination and of the content of each in turn.",
    ),
    Column("received", "list<uint64>", "The same of the messages that it brings to whoever takes them off."),
    Column("request_tokens", "list<uint64>", "Keyed hashes of values in the request."),
    Column("response_tokens", "list<uint64>", "Keyed hashes of values in the response."),
    Column("identifiers", "list<string>", "Identifiers that other tools left on the wire, as kind:value."),
    Column("attributes", "string", "OpenTelemetry attributes as a JSON object, redacted."),
    Column("notes", "list<string>", "What could not be read of it."),
)

CALLS = (
    Column("id", "string", "16 hexadecimal digits, the same in every run over the same input."),
    Column("tree", "string", "Id of the request tree: the id of its root call."),
    Column("parent", "string", "Id of the call that caused it; null for a root."),
    Column("basis", "category", "stated, measured or inferred; null for a root."),
    Column(
        "relation",
        "category",
        "child: made while its parent was served; follows: because of a message that its parent put on a queue; null for a root.",
    ),
    Column("confidence", "double", "Probability that the parent is right; null for a root."),
    Column("question", "bool", "Whether the parent is too uncertain to be drawn as a link."),
    Column("protocol", "category", "Protocol."),
    Column("operation", "category", "What was asked for, in few distinct forms."),
    Column("summary", "string", "The request in one line, redacted."),
    Column("status", "category", "The answer in the protocol's own word."),
    Column("outcome", "category", "What happened; see Outcome."),
    Column("possible", "list<string>", "Every outcome that the packets leave open, where more than one."),
    Column("client_address", "category", "Address of the caller, as the caller's host sees it."),
    Column("client_port", "int32", "Port of the caller."),
    Column("client_host", "category", "Host of the caller."),
    Column("client_service", "category", "Service of the caller."),
    Column("server_address", "category", "Address of the callee, as the callee's host sees it."),
    Column("server_port", "int32", "Port of the callee."),
    Column("server_host", "category", "Host of the callee."),
    Column("server_service", "category", "Service of the callee."),
    Column(
        "start_ns", "int64", "First byte of the request, at the caller where it was captured, on the common time line."
    ),
    Column("end_ns", "int64", "Last byte of the response (of the request where there is none), likewise."),
    Column(
        "server_start_ns",
        "int64",
        "First byte of the request at the callee, on the common time line; -1 if not captured there.",
    ),
    Column(
        "server_end_ns",
        "int64",
        "Last byte of the response at the callee, on the common time line; -1 if not captured there.",
    ),
    Column("client_exchange", "int64", "Row of the caller's view in exchanges; -1 if not captured there."),
    Column("server_exchange", "int64", "Row of the callee's view in exchanges; -1 if not captured there."),
    Column("other_exchanges", "list<int64>", "Rows of further views: vantage points between the two, or copies."),
    Column("request_bytes", "int64", "Length of the request."),
    Column("response_bytes", "int64", "Length of the response."),
    Column("attributes", "string", "OpenTelemetry attributes as a JSON object, redacted."),
    Column("notes", "list<string>", "What could not be read of it."),
)

LINKS = (
    Column("child", "string", "Call that was caused."),
    Column("parent", "string", "Call that may have caused it."),
    Column(
        "rank",
        "int32",
        "0 for the chosen parent (of each message, where several were taken at once), then the runners-up.",
    ),
    Column("basis", "category", "stated, measured or inferred."),
    Column("relation", "category", "child or follows, as in calls."),
    Column("confidence", "double", "Probability that this is the parent."),
)

EVIDENCE = (
    Column("child", "string", "Call that was caused."),
    Column("parent", "string", "Call that may have caused it."),
    Column("kind", "category", "Kind of evidence: identifiers, proxied, sessions, values, timing, ..."),
    Column("weight", "double", "Log-likelihood ratio that this evidence gives (natural logarithm)."),
    Column("detail", "string", "The evidence in words."),
)

TREES = (
    Column("tree", "string", "Id of the tree: the id of its root call."),
    Column("operation", "category", "Operation of the root call."),
    Column("service", "category", "Service that the root call asked."),
    Column("start_ns", "int64", "Start of the root call."),
    Column("duration_ns", "int64", "End of the root call minus its start."),
    Column("calls", "int64", "Calls in the tree, the root included."),
    Column(
        "errors", "int64", "Calls in the tree that failed: their outcome is neither ok, unfinished nor not_captured."
    ),
    Column("depth", "int32", "Longest way from the root to a leaf, in calls."),
    Column("outcome", "category", "Outcome of the root call."),
    Column("confidence", "double", "Product of the confidences of its links."),
)

HOSTS = (
    Column("host", "string", "Name of the host."),
    Column("addresses", "list<string>", "Its addresses."),
    Column("services", "list<string>", "Services that it runs."),
    Column("captures", "list<string>", "Vantage points on it."),
    Column(
        "clock_offset_ns",
        "double",
        "What its clock shows minus the common time line, at the middle of the capture; null if unknown.",
    ),
    Column("clock_drift_ppm", "double", "Parts per million that its clock runs fast; null if unknown."),
    Column("clock_error_ns", "double", "Half the width of the interval that holds the offset; null if unknown."),
)

FINDINGS = (
    Column("code", "category", "Stable code of the rule."),
    Column("severity", "category", "info, warning or critical."),
    Column("title", "string", "The finding in one sentence."),
    Column("detail", "string", "What it rests on."),
    Column("calls", "list<string>", "Calls that show it."),
)

NOTES = (
    Column("kind", "category", "Kind of note; see NoteKind."),
    Column("subject", "string", "What it concerns."),
    Column("count", "int64", "How often."),
    Column("sentence", "string", "What it means."),
)

TABLES = {
    "captures": CAPTURES,
    "hosts": HOSTS,
    "connections": CONNECTIONS,
    "exchanges": EXCHANGES,
    "calls": CALLS,
    "links": LINKS,
    "evidence": EVIDENCE,
    "trees": TREES,
    "findings": FINDINGS,
    "notes": NOTES,
}
"""Every table of a case, by name."""
