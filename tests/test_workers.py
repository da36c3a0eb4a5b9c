"""Functions that run in worker processes: results in order, tasks taken as they are needed, errors handed on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from wiretrace.model.errors import UserError
from wiretrace.workers import map_in_workers

if TYPE_CHECKING:
    from collections.abc import Iterator


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise UserError(f"{number} is refused")


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order_and_tasks_are_taken_as_needed() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    results = map_in_workers(square, tasks())
    assert next(results) == 0
    assert len(taken) <= (os.cpu_count() or 1) + 1
    assert list(results) == [number * number for number in range(1, 40)]


def test_an_error_of_a_task_is_raised_here() -> None:
    with pytest.raises(UserError, match="3 is refused"):
        list(map_in_workers(refuse, [3]))


def test_a_killed_worker_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="was killed"):
        list(map_in_workers(die, [1]))
