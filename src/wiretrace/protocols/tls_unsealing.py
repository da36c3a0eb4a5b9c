"""Opens the protected records of one direction in order: which keys, which sequence number, also behind a gap.

Rules: a record counts as opened only if it is authentic. Behind a gap, the numbers that the missing bytes allow are tried,
up to the limit `lost_records`; which one fits tells how many records are missing. The keys of the next phase of TLS 1.3
(handshake, application data, KeyUpdate) are tried where the present ones do not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wiretrace.protocols.tls_handshake import TLS_1_3
from wiretrace.protocols.tls_key_log import APPLICATION, MASTER_SECRET, TRAFFIC_SECRETS, KeyLog
from wiretrace.protocols.tls_key_schedule import connection_keys, next_secret, traffic_keys
from wiretrace.protocols.tls_opening import Opener, opener
from wiretrace.protocols.tls_wire import HEADER_BYTES, LONGEST_RECORD

if TYPE_CHECKING:
    from wiretrace.protocols.tls_suites import Suite

FRUITLESS = 8
"""Gaps behind which no record could be opened after which numbers are not tried any more."""


class Opened(NamedTuple):
    """A record that was opened."""

    kind: int
    content: bytes
    body: int
    """Index in the payload of the byte that stands for the first byte of the content."""
    missing: int
    """Bytes of content in the records that are missing before it, as far as their lengths tell."""


class Epoch(NamedTuple):
    """Records under one set of keys."""

    opener: Opener
    application: bool
    """Whether they carry application data."""
    secret: bytes = b""
    """TLS 1.3: what the keys behind a KeyUpdate are made from."""


class Unsealer:
    """The protected records of one direction."""

    def __init__(self, epochs: list[Epoch], suite: Suite, most_lost: int) -> None:
        """`epochs` in the order of their use, at least one. `most_lost` is the limit `lost_records`."""
        self._epochs = epochs
        self._suite = suite
        self._most_lost = most_lost
        self._sequence = 0
        self._fruitless = 0

    @property
    def carries_data(self) -> bool:
        """Whether the phase has come in which application data are sent."""
        return self._epochs[0].application

    def open(self, header: bytes, payload: bytes, gap: int) -> Opened | None:
        """Open a record; `gap` bytes of the stream before it could not be opened. None if it is not authentic."""
        # The present epoch may be over, and the next one with it if the gap holds all of it.
        for place, epoch in enumerate(self._reachable(gap)):
            expected = 0 if place else self._sequence
            for skipped in self._skips(epoch.opener, gap, place):
                found = epoch.opener.open(expected + skipped, header, payload)
                if found is not None:
                    self._advance(place, epoch, expected + skipped + 1)
                    missing = max(0, gap - skipped * (HEADER_BYTES + epoch.opener.overhead)) if gap else 0
                    return Opened(*found, epoch.opener.before, missing)
        self._epochs[0].opener.pass_over(payload)
        self._fruitless += gap > 0
        return None

    def update(self) -> None:
        """The direction has sent KeyUpdate: its next record is under new keys."""
        self._epochs = [self._updated(self._epochs[0])]
        self._sequence = 0

    def _reachable(self, gap: int) -> list[Epoch]:
        epochs = self._epochs if gap else self._epochs[:2]
        last = epochs[-1]
        return [*epochs, self._updated(last)] if gap and last.secret and last.application else epochs

    def _updated(self, epoch: Epoch) -> Epoch:
        secret = next_secret(epoch.secret, self._suite)
        return Epoch(opener(self._suite, traffic_keys(secret, self._suite), TLS_1_3), True, secret)

    def _skips(self, used: Opener, gap: int, place: int) -> range:
        """How many records may be missing where `gap` bytes are."""
        if not gap or self._fruitless >= FRUITLESS:
            return range(1)
        fewest = 0 if place else max(0, gap // (HEADER_BYTES + LONGEST_RECORD))
        most = gap // (HEADER_BYTES + used.overhead) + 1
        return range(fewest, min(most, fewest + self._most_lost) + 1)

    def _advance(self, place: int, epoch: Epoch, sequence: int) -> None:
        if place:
            self._epochs = self._epochs[place:] or [epoch]
        self._sequence = sequence


def unsealer_1_3(log: KeyLog, side: int, random: bytes, suite: Suite, most_lost: int) -> Unsealer | None:
    """For a direction of TLS 1.3; None if the log lacks the secret of its application data."""
    epochs = []
    for phase, label in enumerate(TRAFFIC_SECRETS[side]):
        secret = log.secret(label, random)
        if secret is not None:
            epochs.append(Epoch(opener(suite, traffic_keys(secret, suite), TLS_1_3), phase != 1, secret))
        elif phase == APPLICATION:
            return None
    return Unsealer(epochs, suite, most_lost)


def unsealer_1_2(
    log: KeyLog, side: int, randoms: tuple[bytes, bytes], suite: Suite, version: int, most_lost: int,
    *, encrypt_then_mac: bool,
) -> Unsealer | None:  # fmt: skip
    """For a direction of TLS 1.0 to 1.2; None if the log lacks its master secret. `randoms`: the client's, the server's."""
    master = log.secret(MASTER_SECRET, randoms[0])
    if master is None:
        return None
    keys = connection_keys(master, version, suite, *randoms)[side]
    return Unsealer([Epoch(opener(suite, keys, version, encrypt_then_mac=encrypt_then_mac), True)], suite, most_lost)
