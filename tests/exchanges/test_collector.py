"""The collector of cycles rests while a chunk is read, because reading makes none."""

import gc

import pytest
from tests.support.captures import TcpConversation
from tests.support.packets import Exchanges

from wiretrace.exchanges.collector import collector_paused
from wiretrace.model.side import Side


def test_it_rests_and_goes_on() -> None:
    """Whatever happens inside; where it was off before, it stays off."""
    with pytest.raises(ValueError, match="inside"), collector_paused():
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_reading_leaves_no_cycles() -> None:
    """Nothing of ours waits for the collector once the exchanges are read: memory is bounded without it."""
    talk = TcpConversation().open()
    for number in range(50):
        talk.send(Side.CLIENT, b"GET /%d HTTP/1.1\r\n\r\n" % number)
        talk.send(Side.SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    Exchanges(talk.packets)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        assert len(Exchanges(talk.packets).rows) == 50
        gc.collect()
        assert [each for each in gc.garbage if type(each).__module__.startswith("wiretrace")] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
