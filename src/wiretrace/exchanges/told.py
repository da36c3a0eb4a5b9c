"""What the protocols that a connection has left behind say of every request on it: whose it is, and where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.message import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wiretrace.model.identifier import IdentifierKind
    from wiretrace.model.message import Message
    from wiretrace.protocols.contract import Succession

REMEMBERED_ATTRIBUTES = 1000
"""Attributes of requests whose union with what is told is remembered: messages share dicts."""

Attributes = dict[str, "str | int"]


class Told:
    """Attributes and identifiers of one connection."""

    def __init__(self, succession: Succession, before: Told | None) -> None:
        self.attributes: Attributes = {**(before.attributes if before else {}), **(succession.attributes or {})}
        # What was said last is nearest to the requests.
        self.identifiers: tuple[tuple[IdentifierKind, bytes], ...] = succession.identifiers
        if before is not None and not self.identifiers:
            self.identifiers = before.identifiers
        self._known: dict[int, tuple[Attributes | None, Attributes]] = {}
        """By the identity of a request's own attributes: those, so that the identity stays theirs, and the union."""

    def tell(self, messages: Sequence[Message]) -> None:
        """Add what is told to the requests among messages; what they say themselves wins."""
        for message in messages:
            if message.role in (Role.REQUEST, Role.ONE_WAY):
                message.identifiers += self.identifiers
                message.attributes = self._union(message.attributes)

    def _union(self, own: Attributes | None) -> Attributes:
        known = self._known.get(id(own))
        if known is None:
            if len(self._known) >= REMEMBERED_ATTRIBUTES:
                self._known.clear()
            known = self._known[id(own)] = own, {**self.attributes, **(own or {})}
        return known[1]
