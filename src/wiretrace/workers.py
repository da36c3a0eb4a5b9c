"""Worker processes for one analysis: they tell how far they are, and are gone when it ends, however it ends.

Rules: a worker that fails, or is killed, ends the whole. An interrupt is the business of this process alone: workers are
started with it blocked, and are terminated by us.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from wiretrace.model.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.sharedctypes import Synchronized

Result = TypeVar("Result")
Task = TypeVar("Task")
SECONDS_BETWEEN_LOOKS = 0.2
"""How often is looked how far the workers are."""


def run_in_workers(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
    advance: Callable[[int], None],
) -> list[Result]:
    """Call `function` for each of `tasks` in `workers` processes; returns what it returned, in the order of the tasks.

    `function` is given the values of a task and, last, a function that it may tell how many bytes more are done; `advance`
    is told how many are done in all. The first error of a task is raised. Raises UserError where a worker is killed.
    """
    context = get_context("spawn")
    done = context.Value("q", 0)
    before = set(active_children())
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(done,))
    try:
        with _interrupts_held_back():
            futures = [pool.submit(_work, function, task) for task in tasks]
        waiting = set(futures)
        while waiting:
            finished, waiting = wait(waiting, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            for future in finished:
                future.result()
            advance(done.value)
        return [future.result() for future in futures]
    except BaseException as error:
        for process in set(active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a worker process was killed, perhaps for want of memory; give --jobs 1, or fewer captures at once"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def map_in_workers(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """What `function` returns for each of `tasks`, in their order, worked out in as many processes as there are processors.

    Tasks are taken as they are needed: few are in memory at once. Raises UserError where a worker is killed.
    """
    workers = os.cpu_count() or 1
    before = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    running: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            with _interrupts_held_back():
                running.append(pool.submit(function, task))
            while len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BaseException as error:
        for process in set(active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError("a worker process was killed, perhaps for want of memory") from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_done: Synchronized[int] | None = None
"""In a worker: the count of bytes that all workers share."""


def _begin(done: Synchronized[int]) -> None:
    global _done
    _done = done


def _work(function: Callable[..., Result], task: tuple[Any, ...]) -> Result:
    return function(*task, _advance)


def _advance(count: int) -> None:
    if _done is not None:
        with _done.get_lock():
            _done.value += count


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Keep SIGINT waiting. Processes that are started meanwhile never get it."""
    resource_tracker.ensure_running()  # the standard library lets signals through again once it has started it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
