"""Units of work that are done once, kept on disk, and done several at a time."""

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
from pyro_hea.spec import ModelSpec

Unit = Callable[[], Any]
"""Takes nothing and returns what JSON can hold; for several jobs a partial of a named function."""


@dataclass(frozen=True)
class Runner:
    """Where and how the units of a protocol are run.

    Attributes
    ----------
    spec : ModelSpec
        What is measured.
    folder : path, optional
        Where the result of each unit is kept; one that is there is not run again.
    device : str
    jobs : int
        Processes at a time, each of one thread. With 1 all is done in this process.
    progress : bool
        Show a bar over the units.
    """

    spec: ModelSpec = field(default_factory=ModelSpec)
    folder: Path | None = None
    device: str = "auto"
    jobs: int = 1
    progress: bool = True

    def finish(self, units: Mapping[str, Unit], *, alone: bool = False) -> dict[str, Any]:
        """Do what is not done yet, and give the results in the order of the units.

        Parameters
        ----------
        units : mapping of str to Unit
            By the name of the file in which the result is kept.
        alone : bool
            Each in a fresh process of all threads, one after the other, whatever the jobs: for
            units that measure time or memory.

        Raises
        ------
        CheckpointError
            For a result of another spec or release.

        Examples
        --------
        >>> Runner(progress=False).run({"two": lambda: 1 + 1})
        {'two': 2}
        """
        done = {name: self._kept(path) for name, path in self._files(units) if path.is_file()}
        missing = {name: unit for name, unit in units.items() if name not in done}
        with tqdm(
            total=len(units), initial=len(done), disable=not self.progress, unit="unit"
        ) as bar:
            for name, result in self._made(missing, alone):
                done[name] = self._keep(name, result)
                bar.update()
                bar.set_postfix_str(name)
        return {name: done[name] for name in units}

    def _made(self, units: Mapping[str, Unit], alone: bool) -> Iterator[tuple[str, Any]]:
        if self.jobs == 1 and not alone:
            for name, unit in units.items():
                yield name, unit()
            return
        # a fresh interpreter each: a fork of a process that has used torch may hang
        how: dict[str, Any] = {"mp_context": get_context("spawn")}
        if alone:
            how |= {"max_workers": 1, "max_tasks_per_child": 1}
        else:
            how |= {"max_workers": self.jobs, "initializer": _one_thread}
        with ProcessPoolExecutor(**how) as pool:
            pending = {pool.submit(unit): name for name, unit in units.items()}
            try:
                for future in as_completed(pending):
                    yield pending[future], future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    @property
    def _about(self) -> dict[str, Any]:
        return {"spec": self.spec.to_mapping(), "version": version("pyro-hea")}

    def _files(self, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
        if self.folder is not None:
            for name in names:
                yield name, self.folder / f"{name}.json"

    def _kept(self, path: Path) -> Any:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["about"] != self._about:
            raise CheckpointError(
                f"'{path}' is a result of another spec or release: give another folder, or "
                "delete this one to run it again"
            )
        return content["result"]

    def _keep(self, name: str, result: Any) -> Any:
        text = json.dumps({"about": self._about, "result": result}, ensure_ascii=False)
        for _, path in self._files([name]):
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".partial")
            unfinished.write_text(text + "\n", encoding="utf-8")
            unfinished.replace(path)
        return json.loads(text)["result"]


def _one_thread() -> None:
    torch.set_num_threads(1)
