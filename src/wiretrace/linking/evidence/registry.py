"""Finds the kinds of evidence: the modules of this folder that define a subclass of Evidence, and plug-ins."""

import functools

from wiretrace.linking import evidence
from wiretrace.linking.evidence.contract import Evidence
from wiretrace.model.plugins import classes_found

ENTRY_POINT_GROUP = "wiretrace.evidence"


@functools.cache
def known_evidence() -> dict[str, Evidence]:
    """All kinds of evidence by name, in alphabetical order, so that equal inputs are weighed in the same order."""
    found = {each.kind: each() for each in classes_found(evidence, Evidence, ENTRY_POINT_GROUP)}
    return dict(sorted(found.items()))
