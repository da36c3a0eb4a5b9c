"""LDAP: ldap3 as the client of OpenLDAP's slapd."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import ldap3
from ldap3.core.exceptions import LDAPException
from tests.protocols.recording.loopback import free_port, recorded, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = "dc=shop,dc=example"
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {home}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
rootpw hunter2
directory {home}
maxsize 1048576
"""


@contextlib.contextmanager
def slapd() -> Iterator[int]:
    """Run a directory server with its own data; gives its port."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "slapd.conf").write_text(CONFIGURATION.format(home=home, suffix=SUFFIX))
        port = free_port()
        command = ["/usr/sbin/slapd", "-d", "0", "-h", f"ldap://127.0.0.1:{port}/", "-f", str(home / "slapd.conf")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=10)


def ldap_session() -> None:
    """Binds, additions, searches, changes, errors."""
    with slapd() as port, recorded("ldap_session", port):
        server = ldap3.Server("127.0.0.1", port=port, get_info=ldap3.NONE)
        with contextlib.suppress(LDAPException):
            ldap3.Connection(server, f"cn=admin,{SUFFIX}", "wrong").bind()
        with ldap3.Connection(server, f"cn=admin,{SUFFIX}", "hunter2") as connection:
            connection.add(SUFFIX, ["dcObject", "organization"], {"dc": "shop", "o": "Shop"})
            for number in (8812, 8813):
                person = f"cn=user-{number},{SUFFIX}"
                attributes = {"sn": "Mary", "mail": f"user-{number}@example.com", "userPassword": "hunter2"}
                connection.add(person, "inetOrgPerson", attributes)
            connection.search(
                SUFFIX, "(&(objectClass=inetOrgPerson)(|(cn=user-88*)(mail=nobody@example.com)))", attributes=["sn"]
            )
            connection.search(f"ou=missing,{SUFFIX}", "(uid=4711)")
            connection.modify(f"cn=user-8812,{SUFFIX}", {"sn": [(ldap3.MODIFY_REPLACE, ["Anna"])]})
            connection.compare(f"cn=user-8812,{SUFFIX}", "sn", "Anna")
            connection.modify_dn(f"cn=user-8813,{SUFFIX}", "cn=user-9000")
            connection.delete(f"cn=user-9000,{SUFFIX}")
            connection.extend.standard.who_am_i()


SCENARIOS = (ldap_session,)
