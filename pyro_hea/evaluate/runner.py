"""Run the tasks of a protocol: each once, here or by an executor, with its result cached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from pyro_hea.errors import CheckpointError
from pyro_hea.executors import run_tasks
from pyro_hea.files import write_text
from pyro_hea.spec import ModelSpec

Task = Callable[[], Any]
"""Takes nothing and returns what JSON can hold; for an executor a partial of a named function."""


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
    executor : concurrent.futures.Executor, optional
        What runs the tasks, as Dask's ``client.get_executor()`` or `pyro_hea.executors.Processes`;
        by default this process. Workers on other computers have to see the folder.
    progress : bool
        Show a progress bar.
    """

    spec: ModelSpec = field(default_factory=ModelSpec)
    folder: Path | None = None
    device: str = "auto"
    executor: Executor | None = None
    progress: bool = True

    def run(self, tasks: Mapping[str, Task], *, alone: bool = False) -> dict[str, Any]:
        """Run the tasks that are not cached, and return all results in the order of the tasks.

        Parameters
        ----------
        tasks : mapping of str to Task
            By the name of the file in which the result is cached.
        alone : bool
            Run each in a fresh process of this computer with all threads, one after the other,
            whatever the executor: for tasks that measure time or memory.

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
        if not alone:
            yield from run_tasks(tasks.items(), self.executor)
            return
        # a fresh interpreter each: a fork of a process that has used torch may hang
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
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
