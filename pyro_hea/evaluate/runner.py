"""Run the tasks of a protocol: each once, in several processes, with its result cached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from pyro_hea.errors import CheckpointError
from pyro_hea.files import write_text
from pyro_hea.spec import ModelSpec

Task = Callable[[], Any]
"""Takes nothing and returns what JSON can hold; for several jobs a partial of a named function."""


@dataclass(frozen=True)
class Runner:
    """Where and how the tasks of a protocol are run.

    Attributes
    ----------
    spec : ModelSpec
        What is measured.
    folder : path, optional
        Where the result of each task is cached; a cached task is not run again.
    device : str
    jobs : int
        Processes at a time, each of one thread. With 1 all is done in this process.
    progress : bool
        Show a progress bar.
    """

    spec: ModelSpec = field(default_factory=ModelSpec)
    folder: Path | None = None
    device: str = "auto"
    jobs: int = 1
    progress: bool = True

    def run(self, tasks: Mapping[str, Task], *, alone: bool = False) -> dict[str, Any]:
        """Run the tasks that are not cached, and return all results in the order of the tasks.

        Parameters
        ----------
        tasks : mapping of str to Task
            By the name of the file in which the result is cached.
        alone : bool
            Run each in a fresh process with all threads, one after the other, whatever `jobs`
            is: for tasks that measure time or memory.

        Raises
        ------
        CheckpointError
            For a cached result of another spec or release.

        Examples
        --------
        >>> Runner(progress=False).run({"two": lambda: 1 + 1})
        {'two': 2}
        """
        done = {name: self._read(path) for name, path in self._paths(tasks) if path.is_file()}
        missing = {name: task for name, task in tasks.items() if name not in done}
        with tqdm(
            total=len(tasks), initial=len(done), disable=not self.progress, unit="task"
        ) as bar:
            for name, result in self._run_missing(missing, alone):
                done[name] = self._write(name, result)
                bar.update()
                bar.set_postfix_str(name)
        return {name: done[name] for name in tasks}

    def _run_missing(self, tasks: Mapping[str, Task], alone: bool) -> Iterator[tuple[str, Any]]:
        if self.jobs == 1 and not alone:
            for name, task in tasks.items():
                yield name, task()
            return
        # a fresh interpreter each: a fork of a process that has used torch may hang
        how: dict[str, Any] = {"mp_context": get_context("spawn")}
        if alone:
            how |= {"max_workers": 1, "max_tasks_per_child": 1}
        else:
            how |= {"max_workers": self.jobs, "initializer": _one_thread}
        with ProcessPoolExecutor(**how) as pool:
            pending = {pool.submit(task): name for name, task in tasks.items()}
            try:
                for future in as_completed(pending):
                    yield pending[future], future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    @property
    def _about(self) -> dict[str, Any]:
        return {"spec": self.spec.to_mapping(), "version": version("pyro-hea")}

    def _paths(self, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
        if self.folder is not None:
            for name in names:
                yield name, self.folder / f"{name}.json"

    def _read(self, path: Path) -> Any:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["about"] != self._about:
            raise CheckpointError(
                f"'{path}' is a result of another spec or release: give another folder, or "
                "delete this one to run it again"
            )
        return content["result"]

    def _write(self, name: str, result: Any) -> Any:
        text = json.dumps({"about": self._about, "result": result}, ensure_ascii=False)
        for _, path in self._paths([name]):
            write_text(path, text + "\n", make_folder=True)
        return json.loads(text)["result"]


def _one_thread() -> None:
    torch.set_num_threads(1)
