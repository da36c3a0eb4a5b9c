"""The filter language of trees: words and field:value terms, all of which must hold. Parsing only; `search` applies it.

The report reads the same language in the browser (report/assets/filter.js); tests hold the two together.

    checkout                 a word found anywhere in the tree
    service:db               some call of the tree asks this service (* stands for any text); != : none does
    status:200               the root call's field is the value
    operation~orders         it contains the value; != and !~ turn both round
    duration>200ms calls>=5  numbers compare; durations take ns, us, ms, s, min
    stalled>1ms              some call waited so long for lost segments, or for a receiver that was full
    start>=2026-11-21T05:38:00.25Z   times are UTC
    any.status:ERR*          some call of the tree, not only its root; root.service:web only its root
    -status:200              a minus turns a term round
"""

import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

from wiretrace.model.errors import UserError

TEXT_FIELDS = (*("service", "client", "host", "protocol", "operation", "summary", "path", "status", "outcome", "id"),)
"""Fields that hold text."""
NUMBER_FIELDS = ("duration", "stalled", "start", "calls", "errors", "questions")
"""Fields that hold numbers."""
TREE_FIELDS = frozenset({"start", "calls", "errors", "questions"})
"""Fields of a tree as a whole: `any.` and `root.` mean nothing to them."""
MANY_VALUED = frozenset({"service", "host", "stalled"})
"""Fields of which a tree has many values: without a scope, any call counts."""

_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TERM = re.compile(r"(any\.|root\.)?([a-z]+)(!=|!~|>=|<=|:|=|~|>|<)(.*)", re.IGNORECASE | re.DOTALL)
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:t(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?z?)?", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]*)", re.ASCII)
_UNITS = {"": 1e6, "ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 6e10, "min": 6e10}


class WordTerm(NamedTuple):
    """A word that stands somewhere in a tree."""

    word: str
    negated: bool


class FieldTerm(NamedTuple):
    """What a field of a tree, or of its calls, must be."""

    field: str
    any_call: bool
    """Whether any call of the tree may satisfy it, and not only the root."""
    operator: str
    """One of = != ~ !~ > >= < <=."""
    value: str
    """Lower case."""
    number: float
    """The value of a field of numbers; times are nanoseconds since the epoch, in `time`."""
    time: int
    negated: bool


class Filter(NamedTuple):
    """Terms that must all hold."""

    words: list[WordTerm]
    fields: list[FieldTerm]


def parse_filter(text: str) -> Filter:
    """Read a filter. Raises UserError with a sentence where it is wrong."""
    found = Filter([], [])
    for token in _TOKEN.findall(text):
        negated = len(token) > 1 and token.startswith("-")
        body = token[1:] if negated else token
        match = None if body.startswith('"') else _TERM.fullmatch(body)
        if match is None:
            found.words.append(WordTerm(body.replace('"', "").lower(), negated))
        elif (term := _field_term(match, negated)) is not None:
            found.fields.append(term)
    return found


def text_matches(term: FieldTerm, text: str) -> bool:
    """Whether a text satisfies a term."""
    found = text.lower()
    if term.operator in ("=", "!="):
        return _glob_matches(term.value, found) is (term.operator == "=")
    if term.operator in ("~", "!~"):
        return (term.value in found) is (term.operator == "~")
    return number_matches(term.operator, _number(found), _number(term.value))


def number_matches(operator: str, value: float, bound: float) -> bool:
    """Whether a number satisfies a comparison; what is not a number satisfies none but !=."""
    return {
        "=": value == bound,
        "!=": value != bound,
        ">": value > bound,
        ">=": value >= bound,
        "<": value < bound,
        "<=": value <= bound,
    }[operator]


def _field_term(match: re.Match[str], negated: bool) -> FieldTerm | None:
    """The term of a match; None while its value is missing."""
    scope, name, sign, rest = match[1] or "", match[2], match[3], match[4]
    field, value = name.lower(), rest.replace('"', "").lower()
    operator = "=" if sign == ":" else sign
    if field not in NUMBER_FIELDS and field not in TEXT_FIELDS:
        fields = ", ".join((*TEXT_FIELDS, *NUMBER_FIELDS))
        raise UserError(f"there is no field {name!r}; fields: {fields}. Quote a word that holds a sign")
    if scope and field in TREE_FIELDS:
        raise UserError(f"{field!r} is of the whole tree: leave out {scope!r}")
    if not value:
        return None
    number, time = math.nan, 0
    if field in NUMBER_FIELDS:
        if operator.endswith("~"):
            raise UserError(f"{field!r} is a number: compare it with = != > >= < <=")
        number, time = _value_of(field, value, rest)
    any_call = scope.lower() == "any." or (not scope and field in MANY_VALUED)
    if any_call and not scope and field in TEXT_FIELDS and operator.startswith("!"):
        operator, negated = ("=" if operator == "!=" else "~"), not negated
    return FieldTerm(field, any_call, operator, value, number, time, negated)


def _value_of(field: str, value: str, written: str) -> tuple[float, int]:
    """The number, or the time, that a value writes."""
    if field == "start":
        return 0.0, _instant(value, written)
    if field in ("duration", "stalled"):
        match = _DURATION.fullmatch(value)
        if match is None or match[2] not in _UNITS:
            raise UserError(f"{written!r} is not a duration: write 200ms or 1.5s")
        return float(match[1]) * _UNITS[match[2]], 0
    number = _number(value)
    if math.isnan(number):
        raise UserError(f"{written!r} is not a number")
    return number, 0


def _instant(value: str, written: str) -> int:
    """Nanoseconds since the epoch."""
    match = _INSTANT.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        time = (match[2] or "00:00") + ("" if match[2] and len(match[2]) > 5 else ":00")
        seconds = int(datetime.fromisoformat(f"{match[1]}T{time}").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise UserError(f"{written!r} is not a time: write 2026-11-21T05:38:00.25Z") from None
    return seconds * 10**9 + int((match[3] or "").ljust(9, "0"))


def _number(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def _glob_matches(pattern: str, text: str) -> bool:
    """Whether a text is a pattern in which * stands for any text."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    *between, last = rest
    at = len(first)
    for part in between:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - len(last) >= at and text.endswith(last)
