"""What the two directions of a MySQL connection tell each other."""

from collections import deque
from dataclasses import dataclass, field

from wiretrace.model.limits import Limits
from wiretrace.protocols.sql_message import Description, Statements


@dataclass(slots=True)
class Prepared:
    """A prepared statement."""

    description: Description
    parameters: int
    types: bytes = b""
    """Types of its parameters as last sent, two bytes each."""


@dataclass(slots=True)
class Session:
    """The state of one connection. Limits bound every collection in it."""

    known: Statements
    """Statements of all connections."""
    pair: str
    """As `Context.pair`."""
    aligned: bool
    """Every command since the connection began was seen, and every answer: the next answer is that of `asked[0]`."""
    system: str = "mysql"
    """mysql or mariadb, as the server's version says."""
    namespace: str = ""
    """The default database."""
    greeting_end: int = -1
    """Stream offset behind the server's greeting; -1: not read yet."""
    compressed: bool = False
    """Compression was agreed on: behind the login packets are packed."""
    ended: list[bool] = field(default_factory=lambda: [False, False])
    """By side: nothing more will come."""
    asked: deque[int] = field(default_factory=lambda: deque(maxlen=Limits().pending_messages))
    """Commands that are not answered yet."""
    preparing: deque[Description] = field(default_factory=lambda: deque(maxlen=Limits().prepared_statements))
    """Statements whose number the server has not told yet."""
    statements: dict[int, Prepared] = field(default_factory=dict)
    """Prepared statements by number."""

    def prepared(self, number: int, parameters: int) -> None:
        """The server gave `number` to a statement with so many parameters: the oldest that is waiting."""
        while self.preparing:
            description = self.preparing.popleft()
            if self.aligned or description.placeholders == parameters:
                self.statements[number] = Prepared(description, parameters)
                self.known.remember(self.pair, f"#{number}", parameters, description)
                if len(self.statements) > Limits().prepared_statements:
                    del self.statements[next(iter(self.statements))]
                return

    def misalign(self) -> None:
        """Bytes of either side are missing: answers are from now on read by their form alone."""
        self.aligned = False
        self.asked.clear()
        self.preparing.clear()
