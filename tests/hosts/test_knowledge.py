"""What is known before merging: small, and with the same numbers wherever it is used."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from tests.hosts.synthetic import CONNECTION_DEFAULTS, EXCHANGE_DEFAULTS, MILLISECOND, chain, table

from wiretrace.hosts.calls import merge_exchanges
from wiretrace.hosts.knowledge import Knowledge, learn_hosts
from wiretrace.hosts.survey import Survey
from wiretrace.hosts.vantage import CaptureInfo
from wiretrace.model.note import Notes


def learned(calls: int = 30) -> tuple[Knowledge, list[int]]:
    """Knowledge of a chain with clocks apart, and the moments at which db1 saw anything."""
    world = chain(calls, db1=(5 * MILLISECOND, 0.0))
    exchanges = table("exchanges", world.exchanges, EXCHANGE_DEFAULTS)
    names = ["web1", "app1", "db1"]
    connections = table("connections", list(world.connections.values()), CONNECTION_DEFAULTS)
    with tempfile.TemporaryDirectory() as folder:
        survey = Survey(len(exchanges), len(names), Path(folder))
        for name in names:
            survey.add(name, exchanges.filter(pc.equal(exchanges.column("capture"), name)).to_batches())
        knowledge = learn_hosts(survey, connections, [CaptureInfo(name) for name in names], Notes())
    moments = [row["request_start_ns"] for row in world.exchanges if row["capture"] == "db1"]
    return knowledge, moments


def test_numbers_mean_the_same_in_every_part_of_the_exchanges() -> None:
    """Two halves merged apart: equal process, service and operation names have equal numbers."""
    world = chain(40)
    exchanges = table("exchanges", world.exchanges, EXCHANGE_DEFAULTS)
    knowledge, _ = learned(40)
    rows = np.arange(len(exchanges))
    halves = [
        merge_exchanges(exchanges.take(part), part, knowledge).columns for part in np.split(rows, [len(exchanges) // 2])
    ]
    for one in halves:
        assert one.process_names == knowledge.process_names
        assert one.service_names == knowledge.services.names
        assert one.operation_names == [text for _, _, text in knowledge.operations]
        assert {knowledge.process_names[number] for number in one.callee.tolist()} == {"web@web1", "app@app1", "db@db1"}


def test_what_a_host_watched_is_on_the_common_time_line() -> None:
    knowledge, moments = learned()
    host = knowledge.hosts.names.index("db1")
    first, last = knowledge.watched[host].tolist()
    assert first == knowledge.on_time_line(2, np.array([min(moments)]))[0]
    assert last > first
    assert abs(first - min(moments)) > MILLISECOND
    assert knowledge.watched[-1, 0] > knowledge.watched[-1, 1]


def test_it_can_be_handed_to_other_processes() -> None:
    knowledge, _ = learned()
    again = pickle.loads(pickle.dumps(knowledge))
    assert again.services == knowledge.services
    assert np.array_equal(again.processes, knowledge.processes)
