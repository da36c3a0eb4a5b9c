"""The two ends of a connection."""

import enum


class Side(enum.IntEnum):
    """Which end of a connection sent something. Used as an index: ``(client thing, server thing)[side]``."""

    CLIENT = 0
    """The end that opened the connection, or that its protocol shows to be asking."""
    SERVER = 1
    """The end that accepted the connection, or that its protocol shows to be answering."""

    @property
    def other(self) -> "Side":
        """The opposite end."""
        return Side(1 - self)
