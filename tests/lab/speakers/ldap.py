"""LDAP: ldap3 and slapd: binds, additions, searches, changes, and what the server refuses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import ldap3
from ldap3.core.exceptions import LDAPException
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.protocols.recording.ldap import SUFFIX, slapd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS_A_ROUND = 16
ADMINISTRATOR = f"cn=admin,{SUFFIX}"
PERSON = "inetOrgPerson"
WORDS = {"compareTrue", "compareFalse", "success"}
"""Results that are no errors."""


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A directory with its root, made before anything is recorded."""
    with slapd() as port:
        where = ldap3.Server("127.0.0.1", port=port, get_info=ldap3.NONE)
        with ldap3.Connection(where, ADMINISTRATOR, "hunter2") as connection:
            connection.add(SUFFIX, ["dcObject", "organization"], {"dc": "shop", "o": "Shop"})
        yield port


def speak(port: int, diary: Diary, calls: int) -> None:
    """Several clients."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND)))


def visit(port: int, diary: Diary, rounds: int) -> None:
    """One client, on a connection for each round."""
    where = ldap3.Server("127.0.0.1", port=port, get_info=ldap3.NONE)
    for _ in range(rounds):
        nonce = diary.nonce()
        refused = ldap3.Connection(where, f"cn=nonce{nonce},{SUFFIX}", "wrong")
        with contextlib.suppress(LDAPException):
            refused.bind()
        own = refused.socket.getsockname()[1]
        diary.note("bind", refused.result["description"], "error", nonce=nonce, connection=own)
        refused.unbind()
        connection = ldap3.Connection(where, ADMINISTRATOR, "hunter2")
        connection.bind()
        own = connection.socket.getsockname()[1]
        diary.note("bind", "success", connection=own)

        def note(operation: str, nonce: int = 0) -> None:
            status = connection.result["description"]  # noqa: B023 - called at once
            outcome = "ok" if status in WORDS else "error"
            diary.note(operation, status, outcome, nonce=nonce, connection=own)  # noqa: B023 - called at once

        person, missing = (f"cn=nonce{diary.nonce()},{SUFFIX}" for _ in range(2))
        known, unknown = (int(name[8:13]) for name in (person, missing))
        for _ in range(2):
            connection.add(person, PERSON, {"sn": "Mary", "userPassword": "hunter2"})
            note("add", known)
        connection.search(person, "(objectClass=*)", ldap3.BASE, attributes=["sn"])
        note("search", known)
        connection.search(missing, "(objectClass=*)", ldap3.BASE)
        note("search", unknown)
        connection.search(SUFFIX, f"(&(objectClass={PERSON})(sn=Nobody*))", attributes=["cn"])
        note("search")
        connection.search(SUFFIX, "(objectClass=*)", attributes=["*"])
        note("search")
        connection.modify(person, {"sn": [(ldap3.MODIFY_REPLACE, ["Anna"])]})
        note("modify", known)
        connection.modify(missing, {"sn": [(ldap3.MODIFY_REPLACE, ["Anna"])]})
        note("modify", unknown)
        connection.compare(person, "sn", "Anna")
        note("compare", known)
        connection.compare(person, "sn", "Mary")
        note("compare", known)
        connection.modify_dn(person, f"cn=nonce{unknown}")
        note("modify dn", known)
        connection.delete(missing)
        note("delete", unknown)
        connection.delete(missing)
        note("delete", unknown)
        connection.extend.standard.who_am_i()
        note("who am I")
        connection.unbind()


SCENARIOS = (Scenario("LDAP (slapd)", server, speak),)
