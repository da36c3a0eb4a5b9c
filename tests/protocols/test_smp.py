"""Several sessions of TDS on one connection: their messages lie between each other, and are told apart."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import tds
from tests.support.dissect import dissect
from tests.support.mangle import mutated, with_gaps
from tests.support.properties import told

from wiretrace.model.message import Message, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.smp import SMP
from wiretrace.protocols.tds import TDS

OPENED_BY = Message(Role.REQUEST, 0, 9, attributes={"db.namespace": "shop"})
LONG = tds.batch("SELECT * FROM articles WHERE name = '" + "x" * 3000 + "'")
ROWS = tds.packets(4, tds.columns("n_id") + tds.row(17) * 1200 + tds.done(1200))
CLIENT = (
    tds.smp(1, 0)
    + tds.smp(1, 1)
    + tds.smp(8, 0, tds.batch("SELECT * FROM orders"))
    + tds.smp(8, 1, LONG[:4096])
    + tds.smp(2, 0)
    + tds.smp(8, 1, LONG[4096:])
    + tds.smp(8, 0, tds.batch("DELETE orders"))
    + tds.smp(4, 1)
)
SERVER = (
    tds.smp(8, 1, ROWS[:4096])
    + tds.smp(8, 0, tds.packets(4, tds.error(208, "no") + tds.done(status=2)))
    + tds.smp(8, 1, ROWS[4096:])
    + tds.smp(8, 0, tds.packets(4, tds.done(1, command=0xC4)))
)


def context() -> Context:
    return Context(opened_by=OPENED_BY)


def test_messages_of_sessions_are_told_apart_and_paired() -> None:
    read = dissect(SMP, CLIENT, SERVER, context=context())
    assert (read.violations, read.unread) == ([], [])
    asked = {each.key: each for each in read.requests if each.role is Role.REQUEST}
    answered = {each.key: each for each in read.responses if each.role is Role.RESPONSE}
    assert asked.keys() == answered.keys()
    assert [(asked[key].operation, answered[key].status) for key in sorted(asked)] == [
        ("SELECT orders", "208"),
        ("DELETE orders", "OK"),
        ("SELECT articles", "OK"),
    ]
    assert [each.role for each in read.requests].count(Role.PART) == 1
    assert {each.protocol for each in asked.values()} == {"tds"}
    assert asked[min(asked)].attributes == {
        "db.system.name": "microsoft.sql_server",
        "db.query.summary": "SELECT orders",
        "db.query.text": "SELECT * FROM orders",
        "db.namespace": "shop",
    }


def test_splits_change_nothing() -> None:
    whole = dissect(SMP, CLIENT, SERVER, context=context())
    for seed in range(12):
        parts = dissect(SMP, CLIENT, SERVER, context=context(), splits=random.Random(seed))
        assert list(map(told, parts.requests)) == list(map(told, whole.requests))
        assert list(map(told, parts.responses)) == list(map(told, whole.responses))


def test_it_takes_over_behind_the_login() -> None:
    client = tds.packets(18, tds.prelogin(mars=1)) + tds.login("mary", "x", "shop")
    server = tds.packets(4, tds.prelogin(mars=1)) + tds.packets(4, tds.login_answer("shop"))
    read = dissect(TDS, client + CLIENT, server + SERVER)
    assert read.succession is not None
    assert read.succession.protocol == "smp"
    assert (read.succession.client_offset, read.succession.server_offset) == (len(client), len(server))
    assert read.succession.opened_by is read.requests[-1]


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_with_gaps_nothing_is_paired_wrongly(seed: int) -> None:
    chooser = random.Random(seed)
    whole = dissect(SMP, CLIENT, SERVER, context=context())
    pairs = {each.start: each.key for each in whole.requests if each.role is Role.REQUEST}
    answers = {each.start: each.key for each in whole.responses if each.role is Role.RESPONSE}
    read = dissect(SMP, with_gaps(CLIENT, chooser, 1), with_gaps(SERVER, chooser, 1), context=context())
    keys = {each.key: each.start for each in read.requests if each.role is Role.REQUEST and not each.damaged}
    for each in read.responses:
        if each.role is Role.RESPONSE and each.key in keys and not each.damaged and each.start in answers:
            assert pairs[keys[each.key]] == answers[each.start]


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    chooser = random.Random(seed)
    dissect(SMP, mutated(CLIENT, chooser), mutated(SERVER, chooser), context=context())
    assert SMP.probe(CLIENT, SERVER) == 0.0
