"""What the protocols of brokers share: names of destinations, what tells a message from others, breadcrumbs in headers.

Rules: an operation is `{operation} {destination}`, as OpenTelemetry's messaging conventions have it, in few distinct forms:
what looks like an identifier in a destination's name is replaced. Destinations are shown, bodies never.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from wiretrace.model.message import QueuedMessage
from wiretrace.protocols.http_semantics import BREADCRUMBS, admitted, operations_of, segment_template

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wiretrace.model.identifier import IdentifierKind
    from wiretrace.protocols.contract import Context

LONGEST_DESTINATION = 255
"""Bytes of a destination's name that are shown."""
CONTENT_BYTES = 256
"""Bytes of a body by which it is recognised: bodies that begin alike and have one length are alike."""
SEPARATORS = re.compile(r"([/.:])")
GENERATED = re.compile(r"\A(amq\.(?:gen|ctag)-|amq\.rabbitmq\.reply-to\.|_INBOX\.|_R_\.).*", re.DOTALL)
"""Names that brokers and their clients make up: the beginning says what for, the rest is random."""


@lru_cache(maxsize=8192)
def destination_template(name: str) -> str:
    """`name` with everything that looks like an identifier replaced: 'orders.42.done' gives 'orders.{id}.done'."""
    generated = GENERATED.match(name)
    if generated is not None:
        return f"{generated[1]}{{id}}"
    if name.isalpha():
        return name
    return "".join(
        part if len(part) < 2 and not part.isdigit() else segment_template(part) for part in SEPARATORS.split(name)
    )


def operation_on(context: Context, operation: str, destination: str) -> str:
    """'publish orders', in a bounded number of forms."""
    if not destination:
        return operation
    return admitted(f"{operation} {destination_template(destination)}", operations_of(context))


@lru_cache(maxsize=8192)
def readable(name: bytes) -> str:
    """A destination's name as a person may read it: cut, and without characters that act."""
    shown = name[:LONGEST_DESTINATION].decode("utf-8", "replace")
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
    return shown + "…" if len(name) > LONGEST_DESTINATION else shown


def queued_body(destination: bytes, body: bytes, length: int) -> QueuedMessage:
    """A message that is known by its body, of which `body` is the beginning and `length` the whole length."""
    return QueuedMessage(destination, b"%d:%b" % (length, body[:CONTENT_BYTES]))


def breadcrumbs(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[IdentifierKind, bytes], ...]:
    """The identifiers that tracers left in headers of a message. Names are compared in lower case."""
    found = []
    for name, value in headers:
        breadcrumb = BREADCRUMBS.get(name.lower())
        if breadcrumb is not None:
            identifier = breadcrumb[1](value.strip())
            if identifier is not None:
                found.append((breadcrumb[0], identifier))
    return tuple(dict.fromkeys(found))
