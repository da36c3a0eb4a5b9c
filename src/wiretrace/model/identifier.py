"""Identifiers that other tools leave on the wire, and that name a request (breadcrumbs)."""

import enum


class IdentifierKind(enum.StrEnum):
    """Where an identifier was found. Two calls that share one belong to one request."""

    TRACEPARENT = "traceparent"
    """W3C Trace Context: the trace id of the ``traceparent`` header."""
    B3 = "b3"
    """Zipkin B3, single or multiple headers: the trace id."""
    UBER_TRACE_ID = "uber-trace-id"
    """Jaeger: the trace id of ``uber-trace-id``."""
    SW8 = "sw8"
    """SkyWalking: the trace id of ``sw8``."""
    AMZN_TRACE_ID = "x-amzn-trace-id"
    """AWS X-Ray: the Root of ``X-Amzn-Trace-Id``."""
    DATADOG = "x-datadog-trace-id"
    """Datadog: ``x-datadog-trace-id``."""
    CLOUD_TRACE = "x-cloud-trace-context"
    """Google Cloud: the trace id of ``X-Cloud-Trace-Context``."""
    REQUEST_ID = "x-request-id"
    """A request or correlation id header, in the request or echoed in the response."""
    SQLCOMMENTER = "sqlcommenter"
    """The trace id of a ``traceparent`` in an SQL comment."""
    PROXIED_CONNECTION = "proxied-connection"
    """Both ends of a connection that a proxy passes on, as its PROXY protocol header says; and of the connection itself."""
    TCP_OPTION = "tcp-option-25"
    """The trace id in TCP option 25, as OpenTelemetry's eBPF instrumentation writes it."""


def connection_ends(client: str, client_port: int, server: str, server_port: int) -> str:
    """Both ends of a connection as one text: the value of a PROXIED_CONNECTION."""
    return f"{client}:{client_port}>{server}:{server_port}"
