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
    optional: bool = False
    """Whether it may be null."""


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
    Column(
        "transport",
        "category",
        "tcp or udp: a UDP conversation is what two ends send each other without a long silence.",
    ),
    Column("protocol", "category", "Protocol that was recognised by its bytes; empty if none was."),
    Column("client_address", "category", "Address of the end that opened it."),
    Column("client_port", "int32", "Port of the end that opened it."),
    Column("server_address", "category", "Address of the end that accepted it."),
    Column("server_port", "int32", "Port of the end that accepted it."),
    Column("opened_ns", "int64", "Time of its first packet, as captured."),
    Column("closed_ns", "int64", "Time of its last packet, as captured."),
    Column(
        "handshake",
        "bool",
        "Whether its SYN was captured; if not, it was joined midway. Always true of UDP, which has none.",
    ),
    Column(
        "ended",
        "category",
        "client_fin, server_fin, client_reset, server_reset, refused, unanswered, half_open, unreachable, or open.",
    ),
    Column("handshake_rtt_ns", "int64", "SYN to SYN-ACK as seen here; -1 if not seen."),
    Column("connect_ns", "int64", "First SYN to the ACK that ends the handshake, as seen here; -1 if not seen."),
    Column(
        "syns_repeated",
        "int64",
        "SYNs sent again: they, or their answers, were lost, or the listen queue of the server's host was full.",
    ),
    Column("syn_acks_repeated", "int64", "SYN-ACKs sent again: they, or the ACKs that answer them, were lost."),
    Column(
        "client_data_rtt_ns",
        "int64",
        "Shortest time from data of the client to its acknowledgement, as seen here; or -1.",
    ),
    Column(
        "server_data_rtt_ns",
        "int64",
        "Shortest time from data of the server to its acknowledgement, as seen here; or -1.",
    ),
    Column("client_bytes", "int64", "Payload bytes of the client that were captured, each counted once."),
    Column("server_bytes", "int64", "Payload bytes of the server that were captured, each counted once."),
    Column("client_lost_bytes", "int64", "Payload bytes of the client that the capture lacks."),
    Column("server_lost_bytes", "int64", "Payload bytes of the server that the capture lacks."),
    Column("client_segments", "int64", "Segments with payload that the client sent, what it sent again included."),
    Column("server_segments", "int64", "Segments with payload that the server sent, what it sent again included."),
    Column("retransmitted_segments", "int64", "Segments that brought nothing new, keep-alives not counted."),
    Column("client_retransmitted", "int64", "Those of them that the client sent."),
    Column("server_retransmitted", "int64", "Those of them that the server sent."),
    Column("keep_alives", "int64", "Probes that ask an idle end whether it is still there (RFC 9293 section 3.8.4)."),
    Column("out_of_order_segments", "int64", "Segments that came behind a later one."),
    Column("zero_windows", "int64", "Times an end said that it can take no more bytes."),
    Column("client_zero_window_ns", "int64", "How long the client took no more bytes, in all."),
    Column("server_zero_window_ns", "int64", "How long the server took no more bytes, in all."),
    Column("reset_by", "category", "client or server: the end that sent the first RST; empty if none was captured."),
    Column("unreachable", "category", "What an ICMP error said of it, in its own words; empty if there was none."),
    Column(
        "client_think_ns",
        "int64",
        "Time between an answer and the next request, in all: the client had nothing to ask, or was busy.",
    ),
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
        "TCP sequence number of the request's first byte, or checksum of its first datagram: the same at every vantage point; "
        "-1 if not captured.",
    ),
    Column("response_seq", "int64", "The same of the response; -1 if there is none."),
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
    Column("opens", "bool", "Whether it is the first exchange of a connection whose beginning was captured."),
    Column("tls_ns", "int64", "How long the TLS handshake before it took, where it opens the connection; else 0."),
    Column("request_acknowledged", "bool", "Whether the server's host acknowledged the whole request, as captured."),
    Column("response_acknowledged", "bool", "Whether the client's host acknowledged the whole response, as captured."),
    Column("request_retransmitted", "int32", "Segments of the request that were sent again."),
    Column("response_retransmitted", "int32", "Segments of the response that were sent again."),
    Column(
        "request_stalled_ns",
        "int64",
        "Time in which the request waited for segments of it to be sent again, or to fill a hole, as seen here.",
    ),
    Column("response_stalled_ns", "int64", "The same of the response."),
    Column("request_blocked_ns", "int64", "Time in it in which the server took no more bytes: its window was zero."),
    Column("response_blocked_ns", "int64", "Time in it in which the client took no more bytes: its window was zero."),
    Column(
        "queued_ns",
        "int64",
        "Time that it waited, sent in whole, for the answers to earlier requests on its connection.",
    ),
    Column(
        "given_up_ns",
        "int64",
        "Capture time of the FIN, RST or ICMP error that ended the wait for an answer; -1 where none did.",
    ),
    Column(
        "outcome_frames",
        "list<int32>",
        "Packets that prove the outcome, beside those of request and response: what was sent again, what ended it.",
    ),
    Column("request_tokens", "list<uint64>", "Keyed hashes of values in the request."),
    Column("response_tokens", "list<uint64>", "Keyed hashes of values in the response."),
    Column("identifiers", "list<string>", "Identifiers that other tools left on the wire, as kind:value."),
    Column("attributes", "string", "OpenTelemetry attributes as a JSON object, redacted."),
    Column("notes", "list<string>", "What could not be read of it."),
)

CALLS = (
    Column("id", "string", "16 hexadecimal digits, the same in every run over the same input."),
    Column("tree", "string", "Id of the request tree: the id of its root call."),
    Column("parent", "string", "Id of the call that caused it; null for a root.", optional=True),
    Column("basis", "category", "stated, measured or inferred; null for a root.", optional=True),
    Column(
        "relation",
        "category",
        "child: made while its parent was served; follows: because of a message that its parent put on a queue; null for a root.",
        optional=True,
    ),
    Column("confidence", "double", "Probability that the parent is right; null for a root.", optional=True),
    Column(
        "question",
        "bool",
        "Whether the parent is too uncertain to be drawn as a link: less likely than not, or inferred at a host not captured.",
    ),
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
    Column(
        "end_ns",
        "int64",
        "Last byte of the response, likewise; where there is none, what ended the wait for it, or the last packet of the "
        "request.",
    ),
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
    Column(
        "lookup_exchange",
        "int64",
        "Row in exchanges of the lookup that gave the address of its connection, of which it is the first call; -1 if none.",
    ),
    Column("other_exchanges", "list<int64>", "Rows of further views: vantage points between the two, or copies."),
    Column("request_bytes", "int64", "Length of the request."),
    Column("response_bytes", "int64", "Length of the response."),
    Column(
        "whole_ns",
        "int64",
        "lookup_ns, connect_ns and tls_ns, which come before its start, and its end minus its start; pauses of the client "
        "between them are not counted. The ten parts that follow add up to it; a part that does not apply is 0. An attempt to "
        "connect that came to nothing is all connect_ns, a TLS handshake that failed all tls_ns.",
    ),
    Column("lookup_ns", "int64", "Looking up the server's name; told of the first call of a connection only."),
    Column("connect_ns", "int64", "Opening the TCP connection; told of its first call only."),
    Column("tls_ns", "int64", "The TLS handshake; told of the first call of a connection only."),
    Column("request_ns", "int64", "Sending the request, from its first byte to its last."),
    Column("queued_ns", "int64", "Waiting, sent in whole, for the answers to earlier requests on the connection."),
    Column(
        "network_ns",
        "int64",
        "On the way there and back: the caller's wait less the callee's; 0 where not both ends were captured: then the way "
        "is in server_ns.",
    ),
    Column(
        "server_ns", "int64", "From the whole request to the first byte of the response, at the callee if captured."
    ),
    Column("response_ns", "int64", "Receiving the response, from its first byte to its last."),
    Column("retransmission_ns", "int64", "Waiting for what was lost to be sent again; not counted in the other parts."),
    Column("zero_window_ns", "int64", "Waiting for the receiver to take more bytes; not counted in the other parts."),
    Column(
        "network_measured", "bool", "Whether both ends were captured, so that network_ns and server_ns are told apart."
    ),
    Column(
        "self_ns",
        "int64",
        "Its end minus its start, less the time in which any call ran that it caused (questions left out).",
    ),
    Column("retransmitted", "int32", "Segments of it that were sent again, at the view that shows most of them."),
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
        optional=True,
    ),
    Column("clock_drift_ppm", "double", "Parts per million that its clock runs fast; null if unknown.", optional=True),
    Column(
        "clock_error_ns",
        "double",
        "Half the width of the interval that holds the offset; null if unknown.",
        optional=True,
    ),
)

FINDINGS = (
    Column("number", "int32", "Its number, from 1: what touches most requests, and most gravely, comes first."),
    Column("code", "category", "Stable code of the rule; `wiretrace explain CODE` tells about it."),
    Column("severity", "category", "critical, warning or info; see Severity."),
    Column("title", "string", "The finding in one sentence."),
    Column("detail", "string", "The figures that it rests on."),
    Column(
        "component_kind",
        "category",
        "What it points at: service, instance, host, edge, operation, statement or connection.",
    ),
    Column("component", "string", "Name of what it points at."),
    Column("owner", "string", "Who answers for the component, from the names file; empty where it does not say."),
    Column("external", "bool", "Whether the names file says that the component belongs to somebody else."),
    Column("requests", "int64", "Requests (calls that enter the system) that it touched."),
    Column("occurrences", "int64", "Calls that show it, those that are not listed included."),
    Column("calls", "list<string>", "Calls that prove it, those that show most first; at most 20."),
    Column(
        "frames",
        "list<string>",
        "Packets that prove it, as CAPTURE:FRAME, of the first of these calls; empty where none do.",
    ),
    Column("first_ns", "int64", "Start of the earliest call that shows it, on the common time line; -1 if none."),
    Column("last_ns", "int64", "End of the latest call that shows it, likewise; -1 if none."),
    Column("next_step", "string", "What to do now, in a sentence."),
)

SUSPECTS = (
    Column("rank", "int32", "From 1, the likeliest first; those that are cleared come last."),
    Column("component_kind", "category", "service, instance, host, edge, operation, statement or connection."),
    Column("component", "string", "Name of the component."),
    Column("owner", "string", "Who answers for the component, from the names file; empty where it does not say."),
    Column("external", "bool", "Whether the names file says that the component belongs to somebody else."),
    Column(
        "score",
        "double",
        "How well it explains which requests are bad, from 0 (not at all) to 1 (all of them, and no good one).",
    ),
    Column("failing", "int64", "Bad request trees that used it: failed, or slow against the usual of their operation."),
    Column("good", "int64", "Good request trees that used it."),
    Column("cleared", "bool", "Whether the good trees that used it clear it."),
    Column("words", "string", "Why it is suspected, or what cleared it."),
    Column("next_step", "string", "The one request that best tells it from the other suspects; empty where none does."),
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
    "suspects": SUSPECTS,
    "notes": NOTES,
}
"""Every table of a case, by name."""
