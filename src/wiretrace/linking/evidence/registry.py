"""Finds the kinds of evidence: the modules of this folder that define a subclass of Evidence, and plug-ins."""

import functools
import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

from wiretrace.linking import evidence
from wiretrace.linking.evidence.contract import Evidence

ENTRY_POINT_GROUP = "wiretrace.evidence"


@functools.cache
def known_evidence() -> dict[str, Evidence]:
    """All kinds of evidence by name, in alphabetical order, so that equal inputs are weighed in the same order."""
    found: dict[str, Evidence] = {}
    for module_info in pkgutil.iter_modules(evidence.__path__):
        module = importlib.import_module(f"{evidence.__name__}.{module_info.name}")
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(candidate, Evidence)
                and candidate.__module__ == module.__name__
                and not inspect.isabstract(candidate)
            ):
                found[candidate.kind] = candidate()
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        plugin: type[Evidence] = entry_point.load()
        found[plugin.kind] = plugin()
    return dict(sorted(found.items()))
