"""A screening in a folder: what its workers read once, and how far it is."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from pyro_hea.design.blocks import BLOCK, Best, Screening
from pyro_hea.design.problem import Problem
from pyro_hea.design.surrogate import Surrogate
from pyro_hea.devices import choose_device, exclusive
from pyro_hea.errors import CheckpointError, PyroHEAError
from pyro_hea.files import write_text
from pyro_hea.inference import checkpoint
from pyro_hea.posterior.archive import load_ensemble, save_ensemble

if TYPE_CHECKING:
    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

T = TypeVar("T")

_SURROGATE = "surrogate"

_EVERY = 5.0
"""Seconds between two writes of the progress."""


@dataclass(frozen=True)
class Question:
    """What is screened for; with a model it is a `Problem`.

    Attributes
    ----------
    targets : mapping of target to wish
    constraints : tuple of Constraint
    settings : mapping
        Further arguments of `Problem.of`.
    n, seed : int
    exhaustive : bool
    """

    targets: Mapping[str, Wish]
    constraints: tuple[Constraint, ...]
    settings: Mapping[str, Any]
    n: int
    seed: int
    exhaustive: bool

    def problem(self, ensemble: Ensemble) -> Problem:
        """The checked problem."""
        return Problem.of(ensemble, self.targets, self.constraints, **self.settings)

    def key(self, ensemble: Ensemble) -> str:
        """Hash of all that the result depends on: model, question, release and size of blocks."""
        model = ensemble.model
        known = ensemble.known.to_numpy(float)
        parts = [
            version("pyro-hea"),
            json.dumps(ensemble.spec.to_mapping(), sort_keys=True),
            checkpoint.hash_of_tensors(model.state_dict().values()),
            hashlib.sha256(known.tobytes()).hexdigest(),
            ",".join(ensemble.elements),
            repr(self),
            str(BLOCK),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Shipped:
    """A screening that a worker reads from a folder when it first meets its key.

    Attributes
    ----------
    folder : str
    key : str
    device : str
        Kind of device that the model is put on, as of the model that was asked.
    question : Question
    """

    folder: str
    key: str
    device: str
    question: Question

    @classmethod
    def written(cls, screening: Screening, question: Question, folder: Path) -> Shipped:
        """Write what workers read, unless it is there already."""
        ensemble, surrogate = screening.problem.ensemble, screening.surrogate
        if not checkpoint.exists(folder, "model"):
            save_ensemble(ensemble, folder)
        if surrogate is not None and not checkpoint.exists(folder, _SURROGATE):
            measured = {"threshold": surrogate.threshold, "recall": surrogate.recall}
            checkpoint.write(folder, _SURROGATE, surrogate.state_dict(), measured)
        key = question.key(ensemble)
        return cls(str(folder.resolve()), key, ensemble.device.type, question)

    def opened(self) -> Screening:
        """The screening, read once by each process.

        Raises
        ------
        CheckpointError
            Where this worker does not see the folder, or finds another model there.
        """
        with exclusive():
            if self.key not in _opened:
                _opened.clear()  # one model at a time
                _opened[self.key] = self._read()
            return _opened[self.key]

    def _read(self) -> Screening:
        try:
            ensemble = load_ensemble(self.folder, choose_device(self.device))
        except PyroHEAError as error:
            raise CheckpointError(
                f"a worker cannot read the model: {error}. All workers have to see one folder: "
                "give it as checkpoint="
            ) from error
        if self.question.key(ensemble) != self.key:
            raise CheckpointError(
                f"the model in '{self.folder}' is not the one that was asked, or this worker has "
                "another release of pyro_hea: install the same one everywhere, or delete the folder"
            )
        problem = self.question.problem(ensemble)
        return Screening(problem, read_surrogate(problem, Path(self.folder)), self.question.n)


_opened: dict[str, Screening] = {}
"""What this worker has read."""


def best_of_grid(of: Screening | Shipped, start: int, stop: int) -> Best:
    """The best of some compositions of the grid, by their numbers; a task of a worker."""
    return (of.opened() if isinstance(of, Shipped) else of).of_grid(start, stop)


def best_of_table(of: Screening | Shipped, first: int, table: Any) -> Best:
    """The best of alloys (N, E) of a stream; a task of a worker."""
    return (of.opened() if isinstance(of, Shipped) else of).of_table(first, table)


def read_surrogate(problem: Problem, folder: Path) -> Surrogate | None:
    """The first pass that was written there, if any."""
    if not checkpoint.exists(folder, _SURROGATE):
        return None
    tensors, measured = checkpoint.read(folder, _SURROGATE)
    return Surrogate.of(problem, tensors, measured["threshold"], measured["recall"])


class Progress:
    """Parts of a grid that are done, and the best of them; kept in a file where there is a folder.

    As a context it writes the file at the end, however that comes.

    Parameters
    ----------
    n : int
        Alloys that are kept.
    elements : int
    folder : path, optional
    """

    def __init__(self, n: int, elements: int, folder: Path | None) -> None:
        self.best = Best.none(elements)
        self._n = n
        self._path = None if folder is None else folder / "progress.json"
        self._below, self._others = 0, set[int]()
        self._written = -math.inf

    def read(self, screening: Screening) -> None:
        """Take up what an earlier run left.

        Raises
        ------
        CheckpointError
            For a file that is no such progress.
        """
        if self._path is None or not self._path.is_file():
            return
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            number = np.array(content["number"], np.int64)
            probability = np.array(content["probability"], float)
            counts = int(content["screened"]), int(content["predicted"])
            self.best = Best(probability, number, screening.numbered(number), *counts)
            self._below, self._others = int(content["below"]), set(map(int, content["others"]))
        except (ValueError, LookupError, TypeError) as error:
            raise CheckpointError(
                f"'{self._path}' is no progress of a screening: {error!r}. Delete it to begin anew"
            ) from None

    def left(self, parts: Iterable[T]) -> Iterator[tuple[int, T]]:
        """Number and part of those that are not done."""
        for i, part in enumerate(parts):
            if i >= self._below and i not in self._others:
                yield i, part

    def add(self, part: int, best: Best) -> None:
        """Count a part as done."""
        self.best = self.best.merged(best, self._n)
        self._others.add(part)
        while self._below in self._others:
            self._others.remove(self._below)
            self._below += 1
        if time.monotonic() - self._written > _EVERY:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._path is None:
            return
        content = {
            "below": self._below,
            "others": sorted(self._others),
            "screened": self.best.screened,
            "predicted": self.best.predicted,
            "number": self.best.number.tolist(),
            "probability": self.best.probability.tolist(),
        }
        write_text(self._path, json.dumps(content) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._write()
