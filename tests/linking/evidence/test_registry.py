"""The kinds of evidence that are found."""

from wiretrace.linking.evidence.registry import known_evidence


def test_every_kind_of_the_folder_is_found_in_alphabetical_order() -> None:
    """Identifiers, lookups, equal requests, sessions and values weigh pairs."""
    assert list(known_evidence()) == ["identifiers", "lookup", "proxied", "sessions", "values"]
    assert all(evidence.kind == name for name, evidence in known_evidence().items())
