"""Path templates learned from the traffic: which segments of paths are values, where no rule of looks could tell.

Rules: what looks like an identifier was replaced when it was read (`http_semantics.path_template`). Here, all paths that one
service was asked for are laid over each other: a place at which many different segments stand, with the same few things
below each, holds values ('/users/alice', '/products/red-shoes') and gets a name. Few segments, segments with things of
their own below them, verbs and plurals are names of operations and stay. Decided once in an analysis, for all methods
together; equal operations give equal templates, in whatever order. Memory is bounded, because distinct operations are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from wiretrace.hosts.views import category, number_groups
from wiretrace.protocols.http_semantics import VARIABLE_MARK, path_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

FEWEST_AT_ROOT = 40
"""Different first segments from which they are believed to hold values: services have many resources."""
FEWEST = 20
"""The same behind any other segment, ..."""
FEWEST_LIKELY = 10
"""... and where there is more that speaks for values: a plural before them ('/users/'), or words with separators."""
MOST_BELOW = 6
"""Different things that may stand below values; resources have each their own."""
DEEPEST = 16
"""Segments of a path that are looked at; what is behind them counts as one."""
FREQUENT = 4
"""A first segment that is asked for so many times as often as the others on average stays."""
VERB = re.compile(
    r"(?:get|list|create|update|delete|set|add|remove|search|find|fetch|check|post|put|send|start|stop|is|has|do|run)"
    r"(?![a-z])|(?:login|logout|signin|signup|health|status|metrics|ping)$",
    re.IGNORECASE,
)
"""How names of operations begin ('getUser', 'list_orders'), and some that are no values. Plurals name resources."""
SEPARATED = re.compile(r"[A-Za-z0-9][-_.,+~][A-Za-z0-9]|[0-9]")
"""What many values have and few names: parts, or digits."""
TOO_MANY = "/…"
"""What stands in the place of a path of which there were too many."""
NOT_PLURAL = ("ss", "us", "is", "news")


@dataclass(slots=True)
class Place:
    """A place in the paths of a service: what stands behind one beginning."""

    count: int = 0
    """How often it was asked for, or anything below it."""
    below: dict[str, Place] = field(default_factory=dict)
    """By segment."""


@dataclass(slots=True)
class Branch:
    """What was learned behind one beginning. Small, and can be handed to other processes."""

    parameter: str = ""
    """Name of the value that stands here, in braces; empty: names stand here."""
    kept: frozenset[str] = frozenset()
    """Segments that are names all the same."""
    below: dict[str, Branch] = field(default_factory=dict)
    """By segment, or by `parameter`, where anything was learned behind it."""


@dataclass(slots=True)
class Templates:
    """The templates of all services."""

    of_service: dict[int, Branch] = field(default_factory=dict)
    """By number of the service, where anything was learned of it."""

    def operation(self, service: int, operation: str) -> str:
        """`operation` with the values in its path replaced."""
        branch = self.of_service.get(service)
        if branch is None:
            return operation
        method, _, path = operation.partition(" ")
        if not path.startswith("/"):
            return operation
        segments = path.split("/")
        for at in range(1, len(segments)):
            segment = segments[at]
            if branch.parameter and segment and segment not in branch.kept:
                segment = segments[at] = branch.parameter
            following = branch.below.get(segment)
            if following is None:
                break
            branch = following
        return f"{method} {'/'.join(segments)}"

    def apply(self, exchanges: pa.Table, primary: NDArray[np.int64], service: NDArray[np.int32]) -> pa.Table:
        """`exchanges` with the operations of the rows `primary` (calls,), asked of `service` (calls,), in templates."""
        if not self.of_service or not len(primary):
            return exchanges
        codes, names = category(exchanges, "operation")
        known = np.isin(service, list(self.of_service))
        rows = primary[known]
        group, count = number_groups(service[known].astype(np.int64) * len(names) + codes[rows])
        example = np.zeros(count, np.int64)
        example[group] = np.flatnonzero(known)
        numbers = {name: number for number, name in enumerate(names)}
        changed = codes.copy()
        of_group = np.zeros(count, np.int32)
        for at, call in enumerate(example.tolist()):
            text = names[codes[primary[call]]]
            told = self.operation(int(service[call]), text)
            of_group[at] = numbers.setdefault(told, len(numbers))
        changed[rows] = of_group[group]
        folded = [number for number, name in enumerate(names) if name.endswith(TOO_MANY)]
        if folded:
            unfolded = np.flatnonzero(known & np.isin(codes[primary], folded))
            texts = exchanges.column("attributes").take(pa.array(primary[unfolded])).to_pylist()
            for call, text in zip(unfolded.tolist(), texts, strict=True):
                method = names[codes[primary[call]]].removesuffix(TOO_MANY)
                told = self._unfolded(int(service[call]), method, text)
                if told:
                    changed[primary[call]] = numbers.setdefault(told, len(numbers))
        column = pa.DictionaryArray.from_arrays(pa.array(changed), pa.array(list(numbers), pa.string()))
        return exchanges.set_column(exchanges.schema.get_field_index("operation"), "operation", column)

    def _unfolded(self, service: int, method: str, attributes: str) -> str:
        """The operation of a call whose path was one too many when it was read; empty where it is in no template."""
        try:
            path = msgspec.json.decode(attributes or "{}", type=dict[str, object]).get("url.path")
        except msgspec.DecodeError:
            return ""
        if not isinstance(path, str):
            return ""
        plain = f"{method.strip()} {path_template(path)}"
        told = self.operation(service, plain)
        return told if told != plain else ""


def learn_templates(operations: Iterable[tuple[int, Mapping[str, int]]]) -> Templates:
    """Learn from what services were asked for: pairs of a service and how often each operation occurred there."""
    roots: dict[int, Place] = {}
    for service, counts in operations:
        for operation, count in counts.items():
            _, _, path = operation.partition(" ")
            if not path.startswith("/") or path == TOO_MANY:
                continue
            place = roots.setdefault(service, Place())
            for segment in path.split("/", DEEPEST)[1:]:
                place.count += count
                place = place.below.setdefault(segment, Place())
            place.count += count
    learned = {service: _learn(root, None) for service, root in sorted(roots.items())}
    return Templates({service: branch for service, branch in learned.items() if branch is not None})


def _learn(place: Place, before: str | None) -> Branch | None:
    """What is to be known of the paths behind a place, `before` which a segment stands (None: nothing); None: nothing."""
    branch = Branch()
    values = _values(place, before)
    if values:
        branch.parameter = _parameter(place, before)
        branch.kept = frozenset(place.below.keys() - values)
        merged = Place()
        for value in sorted(values):
            _merge(place.below[value], merged)
        marked = place.below.get(branch.parameter)
        if marked is not None:
            _merge(marked, merged)
        below = {segment: each for segment, each in place.below.items() if segment in branch.kept}
        below[branch.parameter] = merged
    else:
        below = place.below
    for segment, each in below.items():
        if each.below and (learned := _learn(each, segment)) is not None:
            branch.below[segment] = learned
    return branch if branch.parameter or branch.below else None


def _values(place: Place, before: str | None) -> set[str]:
    """The segments at a place that are values; none where they are names."""
    names = {segment for segment in place.below if segment and segment != VARIABLE_MARK and segment != "…"}
    if before is None:
        usual = sum(place.below[name].count for name in names) / max(len(names), 1)
        names = {name for name in names if not place.below[name].below and place.below[name].count < FREQUENT * usual}
        fewest = FEWEST_AT_ROOT
    else:
        likely = singular(before) or sum(1 for name in names if SEPARATED.search(name)) * 2 >= len(names)
        fewest = FEWEST_LIKELY if likely else FEWEST
    if len(names) < fewest or sum(1 for name in names if VERB.match(name) or singular(name)) * 2 >= len(names):
        return set()
    below = set[str]()
    for name in names:
        below.update(segment for segment in place.below[name].below if segment)
        if len(below) > max(MOST_BELOW, len(names) // 2):
            # What differs so much may be values itself ('/repos/alice/paint'); where it is not, these are resources.
            return names if before and singular(before) and _values_below(place, names) else set()
    return names


def _values_below(place: Place, names: set[str]) -> bool:
    """Whether what stands below these segments are values, too: then nothing of it is their own."""
    merged = Place()
    for name in sorted(names):
        _merge(place.below[name], merged)
    return bool(_values(merged, VARIABLE_MARK))


def _merge(place: Place, into: Place) -> None:
    """Add all that is known of a place to another. As deep as templates are."""
    into.count += place.count
    for segment, each in place.below.items():
        _merge(each, into.below.setdefault(segment, Place()))


def _parameter(place: Place, before: str | None) -> str:
    """The name of the values at a place: that of identifiers that stand there as well, or one of what stands before."""
    if VARIABLE_MARK in place.below:
        return VARIABLE_MARK
    name = singular(before or "")
    return f"{{{name}}}" if name else "{value}"


def singular(word: str) -> str:
    """One of what a plural names: 'user' of 'users'; empty where the word is no plural, or no plain word."""
    lowered = word.lower()
    if not (word.isascii() and word.replace("-", "").replace("_", "").isalpha()) or len(word) < 4:
        return ""
    if not lowered.endswith("s") or lowered.endswith(NOT_PLURAL):
        return ""
    if lowered.endswith("ies"):
        return word[:-3] + "y"
    if lowered.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1]
