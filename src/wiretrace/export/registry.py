"""Finds the exporters: every module of this folder that defines a subclass of Exporter, and plug-ins by entry point."""

import functools

from wiretrace import export
from wiretrace.export.contract import Exporter
from wiretrace.model.plugins import classes_found

ENTRY_POINT_GROUP = "wiretrace.exporters"


@functools.cache
def known_exporters() -> dict[str, type[Exporter]]:
    """All exporters by the name of their format, in alphabetical order."""
    found = {exporter.name: exporter for exporter in classes_found(export, Exporter, ENTRY_POINT_GROUP)}
    return dict(sorted(found.items()))
