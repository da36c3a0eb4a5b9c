"""`wiretrace explain` tells about every kind of finding."""

import pytest
from tests.support.command_line import invoke

from wiretrace.diagnosis.rules.contract import HEADINGS
from wiretrace.diagnosis.rules.registry import known_rules
from wiretrace.model.errors import UsageError


def test_all_kinds_are_listed() -> None:
    lines = invoke(["explain"]).splitlines()
    assert [line.split()[0] for line in lines] == sorted(known_rules())


@pytest.mark.parametrize("code", sorted(known_rules()))
def test_a_kind_is_explained_under_four_headings(code: str) -> None:
    text = invoke(["explain", code])
    assert text.startswith(f"{code}: ")
    for heading in HEADINGS:
        assert heading in text


def test_an_unknown_code_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no rule has this code"):
        invoke(["explain", "none"])
