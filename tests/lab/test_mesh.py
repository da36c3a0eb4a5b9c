"""The mesh records what it injects: one window with a failing statement, diagnosed from its packets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.lab import topology
from tests.lab.mesh.run import Fault, Mesh
from tests.support.cases import analyzed

from wiretrace.model.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab
STATEMENT = "SELECT mesh_people (pg)"


def test_a_failing_statement_is_the_first_suspect(tmp_path: Path) -> None:
    hosts = dict(topology.HOSTS)
    try:
        with Mesh(tmp_path, 1) as mesh:
            mesh.window("one", [Fault("failing", [("statement", STATEMENT)], statement=("people", 0.0, 1.0))], 80, 40)
            mesh.finish()
    finally:
        topology.HOSTS.clear()
        topology.HOSTS.update(hosts)
    window = tmp_path / "one"
    assert json.loads((window / "truth.json").read_text())[0]["truth"] == [["statement", STATEMENT]]
    case = analyzed(tmp_path / "a.case", sorted(window.glob("*.pcap")), Settings(jobs=1))
    first = case.table("suspects").to_pylist()[0]
    assert (first["component_kind"], first["component"]) == ("statement", STATEMENT)
    assert case.table("findings").to_pylist()[0]["code"] == "first-cause"
