"""Attempts to connect that came to nothing are exchanges, a bounded number of them at once."""

from __future__ import annotations

import pytest
from tests.support.captures import START_NS, SYN, TcpConversation
from tests.support.packets import Exchanges

from wiretrace.exchanges import attempts
from wiretrace.model.side import Side


def scan(count: int) -> list[TcpConversation]:
    """A scan of ports: every third refuses, the others keep silent."""
    probes = []
    for port in range(1, count + 1):
        start_ns = START_NS + port * 1_000_000
        probe = TcpConversation(server=("10.0.0.2", port), start_ns=start_ns).segment(Side.CLIENT, SYN)
        probes.append(probe if port % 3 else probe.reset(Side.SERVER))
    return probes


@pytest.mark.parametrize("at_once", [1, 7, 64, 4096])
def test_each_attempt_is_told_once_however_many_are_made_at_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPTS_AT_ONCE", at_once)
    sizes = []
    make = attempts._attempts

    def noting(*given):
        found = make(*given)
        sizes.append(len(found[0]))
        return found

    monkeypatch.setattr(attempts, "_attempts", noting)
    read = Exchanges([packet for probe in scan(64) for packet in probe.packets])
    assert max(sizes) <= at_once
    assert [row["server_port"] for row in read.rows] == list(range(1, 65))
    assert [row["outcome"] for row in read.rows] == ["unreachable" if port % 3 else "refused" for port in range(1, 65)]
    assert all(each["exchanges"] == 1 for each in read.connections)
