"""Finds the rules: every module of this folder that defines a subclass of Rule, and plug-ins by entry point."""

import functools

from wiretrace.diagnosis import rules
from wiretrace.diagnosis.rules.contract import Rule
from wiretrace.model.plugins import classes_found

ENTRY_POINT_GROUP = "wiretrace.rules"


@functools.cache
def known_rules() -> dict[str, type[Rule]]:
    """All rules by code, in alphabetical order."""
    found = {rule.code: rule for rule in classes_found(rules, Rule, ENTRY_POINT_GROUP)}
    return dict(sorted(found.items()))
