"""What the user says of services in a names file: what they are called, who answers for them, and whose they are."""

import msgspec


class ServiceMarks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service of a names file."""

    ends: list[str] = []
    """Where it answers: names of hosts or addresses, with or without a port ("app1", "10.0.0.9", "10.0.0.9:8080")."""
    owner: str = ""
    """Who answers for it: a team, a person, a rota."""
    external: bool = False
    """Whether it belongs to somebody else."""
