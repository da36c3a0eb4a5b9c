"""Doctor tells what is there and what is missing."""

import importlib.metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from wiretrace.cli import doctor
from wiretrace.cli.doctor import library_version, may_capture, required_libraries


def test_capabilities_decide_who_may_capture(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nCapEff:\t0000000000002000\n")
    assert may_capture(status)
    status.write_text("Name:\tpython\nCapEff:\t00000000ffffdfff\n")
    assert not may_capture(status)


def test_requirements_come_from_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["click>=8.1", "backports.zstd>=1.0; python_version < '3.14'", 'dask>=1; extra == "dask"', "a[b]>1"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requirements)
    assert required_libraries() == ["a", "backports.zstd", "click"]


def test_a_missing_library_is_told_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "required_libraries", lambda: ["click", "no-such-library"])
    result = CliRunner().invoke(doctor.command)
    assert result.exit_code == 1
    assert "no-such-library MISSING: pip install no-such-library" in result.output
    assert library_version("click") in result.output


def test_all_there_is_status_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "required_libraries", lambda: ["click"])
    assert CliRunner().invoke(doctor.command).exit_code == 0
