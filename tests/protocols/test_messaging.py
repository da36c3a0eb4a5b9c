"""What the protocols of brokers share: names of destinations, and what tells messages apart."""

from __future__ import annotations

import pytest

from wiretrace.model.identifier import IdentifierKind
from wiretrace.protocols.contract import Context
from wiretrace.protocols.http_semantics import DISTINCT_OPERATIONS
from wiretrace.protocols.messaging import breadcrumbs, destination_template, operation_on, queued_body, readable


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("orders", "orders"),
        ("orders.42.done", "orders.{id}.done"),
        ("devices/8813/temperature", "devices/{id}/temperature"),
        ("events:order.created", "events:order.created"),
        ("amq.gen-Iq95Zja_wgS1oeYQv1bfSg", "amq.gen-{id}"),
        ("_INBOX.abcdefghijk.lmn", "_INBOX.{id}"),
        ("", ""),
    ],
)
def test_what_varies_in_a_name_is_replaced(name: str, template: str) -> None:
    assert destination_template(name) == template


def test_operations_are_bounded() -> None:
    context = Context()
    names = {operation_on(context, "publish", f"queue{'x' * number}") for number in range(DISTINCT_OPERATIONS + 50)}
    assert len(names) == DISTINCT_OPERATIONS + 1
    assert operation_on(context, "publish", "") == "publish"


def test_bodies_of_other_lengths_are_other_messages() -> None:
    assert (
        queued_body(b"q", b"x" * 300, 300) == queued_body(b"q", b"x" * 256, 300) != queued_body(b"q", b"x" * 256, 256)
    )


def test_headers_of_tracers_are_read_whatever_their_case() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert breadcrumbs([(b"Traceparent", trace), (b"color", b"red"), (b"b3", b"not one")]) == (
        (IdentifierKind.TRACEPARENT, b"0af7651916cd43dd8448eb211c80319c"),
    )


def test_names_do_not_act_on_a_terminal() -> None:
    assert readable(b"or\x1b[31mders") == "or\N{REPLACEMENT CHARACTER}[31mders"
    assert len(readable(b"x" * 10_000)) == 256
