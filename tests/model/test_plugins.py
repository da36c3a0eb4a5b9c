"""Classes are found by being in a folder, or behind an entry point of its group."""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from wiretrace.model import plugins

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Kind(ABC):
    @abstractmethod
    def work(self) -> None: ...


class FromOutside(Kind):
    def work(self) -> None: ...


class Entry:
    def __init__(self, found: object) -> None:
        self.load = lambda: found


def test_concrete_subclasses_of_the_folder_and_of_entry_points_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the abstract ones, not what a module only imports, and nothing of another kind."""
    folder = tmp_path / "folder_of_kinds"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "two.py").write_text(f"from {__name__} import Kind\nclass Two(Kind):\n    def work(self): ...\n")
    (folder / "one.py").write_text(
        f"from {__name__} import Kind\nfrom folder_of_kinds.two import Two\n"
        "class Half(Kind): ...\nclass One(Half):\n    def work(self): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or importlib.import_module(__name__))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry(FromOutside), Entry(int), Entry("no class")])
    found = plugins.classes_found(importlib.import_module("folder_of_kinds"), Kind, "a.group")
    assert [each.__name__ for each in found] == ["One", "Two", "FromOutside"]
