"""Tasks on any executor of `concurrent.futures`: those of a worker that ended are run again."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from queue import SimpleQueue
from typing import Any, TypeVar

from pyro_hea.errors import ExecutorError

K = TypeVar("K")
T = TypeVar("T")

_AT_ONCE = 4096
"""Tasks that wait at an executor at a time: enough for some thousand workers."""


class Processes(Executor):
    """Processes of this computer, each of one thread; one that ends is replaced.

    The standard `ProcessPoolExecutor` takes no more tasks once a process of it was killed. Each
    process is a fresh interpreter, since a fork of one that has used torch may hang: a script that
    uses them is guarded by ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers : int

    Examples
    --------
    >>> with Processes(1) as executor:
    ...     executor.submit(sum, [1, 2]).result()
    3
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.workers, mp_context=get_context("spawn"), initializer=_one_thread
        )

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As of an executor."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool = self._fresh()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of an executor."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def local_processes(jobs: int) -> Iterator[Executor | None]:
    """So many processes of this computer; None, which is this process itself, for one job."""
    if jobs == 1:
        yield None
        return
    executor = Processes(jobs)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def run_tasks(
    tasks: Iterable[tuple[K, Callable[[], T]]],
    executor: Executor | None = None,
    *,
    at_once: int = _AT_ONCE,
    ended: Callable[[K], T] | None = None,
) -> Iterator[tuple[K, T]]:
    """Run tasks and give their results as they finish.

    Parameters
    ----------
    tasks : iterable of (key, task)
        Read as the tasks are run. For an executor, a task is a partial of a named function.
    executor : Executor, optional
        By default all is done in this process, in order.
    at_once : int
        Tasks that wait at the executor at a time.
    ended : callable, optional
        From the key of a task that ends its worker each time to a result in its place; by default
        that is an error.

    Yields
    ------
    (key, result)
        Once for each task.

    Raises
    ------
    ExecutorError
        For a task that ended its worker three times, the last time alone; or where the executor
        takes no more tasks after a worker ended.

    Examples
    --------
    >>> from functools import partial
    >>> dict(run_tasks([("a", partial(pow, 2, 3)), ("b", partial(pow, 3, 2))]))
    {'a': 8, 'b': 9}
    """
    if executor is None:
        for key, task in tasks:
            yield key, task()
        return
    if not hasattr(executor, "submit"):
        raise ExecutorError(
            f"executor={executor!r} is not allowed; give Processes(2) of pyro_hea.executors, or "
            "any other concurrent.futures.Executor"
        )
    if isinstance(executor, Processes):
        at_once = min(at_once, 2 * executor.workers)
    fresh = ((key, task, 0) for key, task in tasks)
    # Nobody knows which of the tasks that were lost ended the worker. All are run once more; those
    # that are lost again come last and alone.
    again: deque[tuple[K, Callable[[], T], int]] = deque()
    alone: deque[tuple[K, Callable[[], T], int]] = deque()
    running: dict[Future[T], tuple[K, Callable[[], T], int]] = {}
    finished: SimpleQueue[Future[T]] = SimpleQueue()
    try:
        while True:
            while len(running) < at_once:
                upcoming = again.popleft() if again else next(fresh, None)
                if upcoming is None and alone and not running:
                    upcoming = alone.popleft()
                if upcoming is None:
                    break
                future = _submitted(executor, upcoming[1])
                running[future] = upcoming
                future.add_done_callback(finished.put)
                if upcoming[2] == 2:
                    break
            if not running:
                return
            future = finished.get()
            key, task, losses = running.pop(future)
            try:
                result = future.result()
            except BrokenExecutor as error:
                if losses < 2:
                    (again, alone)[losses].append((key, task, losses + 1))
                    continue
                if ended is None:
                    raise ExecutorError(
                        f"task {key!r} ended its worker three times, the last time alone. Is "
                        "there enough memory, and is the script guarded by "
                        "if __name__ == '__main__'?"
                    ) from error
                result = ended(key)
            yield key, result
    finally:
        for future in running:
            future.cancel()


def _submitted(executor: Executor, task: Callable[[], T]) -> Future[T]:
    try:
        return executor.submit(task)
    except BrokenExecutor as error:
        raise ExecutorError(
            f"a worker of {type(executor).__name__} ended, after which it takes no more tasks. "
            "Make a new one and ask again: with checkpoint= what was done is kept. "
            "pyro_hea.executors.Processes replaces a process that ends"
        ) from error


def _one_thread() -> None:
    """Of torch, which not every task loads, and a script may have loaded already."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
