"""What the two directions of a TDS connection tell each other."""

from collections import deque
from dataclasses import dataclass, field

from wiretrace.model.limits import Limits
from wiretrace.protocols.sql_message import Description

SYSTEM = "microsoft.sql_server"
BATCH, OLD_LOGIN, RPC, TABULAR, ATTENTION, BULK, FEDERATED = 0x01, 0x02, 0x03, 0x04, 0x06, 0x07, 0x08
TRANSACTION, OLD_QUERY, LOGIN, SSPI, PRELOGIN = 0x0E, 0x0F, 0x10, 0x11, 0x12
"""Types of packets ([MS-TDS] 2.2.3.1.1); OLD_LOGIN and OLD_QUERY are those of TDS 4.2 and 5.0."""
ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUPPORTED, ENCRYPT_REQUIRED = 0, 1, 2, 3
"""What PRELOGIN says of encryption: OFF means that the login alone is encrypted."""


@dataclass(slots=True)
class Session:
    """The state of one connection. Limits bound every collection in it."""

    aligned: bool
    """Every request since the connection began was seen, and every answer: the next answer is that of `asked[0]`."""
    namespace: str = ""
    """The present database."""
    wide: bool = True
    """TDS 7.2 or later: user types have four bytes and row counts eight."""
    encryption: int = -1
    """What the server said of encryption; -1: nothing yet."""
    encrypted_login: bool = False
    """The login was seen, encrypted."""
    in_transaction: int = 0
    """0: not known, 1: no transaction is open, 2: one is."""
    ended: list[bool] = field(default_factory=lambda: [False, False])
    """By side: nothing more will come."""
    asked: deque[int] = field(default_factory=lambda: deque(maxlen=Limits().pending_messages))
    """Types of the requests that are not answered yet, attentions among them."""
    preparing: deque[Description] = field(default_factory=lambda: deque(maxlen=Limits().prepared_statements))
    """Statements whose handle the server has not told yet."""
    statements: dict[int, Description] = field(default_factory=dict)
    """Prepared statements by handle."""

    def prepared(self, handle: int) -> None:
        """The server gave `handle` to the statement that waits the longest."""
        if self.preparing:
            self.statements[handle] = self.preparing.popleft()
            if len(self.statements) > Limits().prepared_statements:
                del self.statements[next(iter(self.statements))]

    def misalign(self) -> None:
        """Bytes of either side are missing."""
        self.aligned = False
        self.asked.clear()
        self.preparing.clear()
