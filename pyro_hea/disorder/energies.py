"""Energies that are paid for: known ones from disk, the others in parallel, within a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.disorder.configurations import Configurations
from pyro_hea.disorder.store import EnergyStore, content_key
from pyro_hea.disorder.symmetry import canonical
from pyro_hea.errors import EngineError, EngineWarning, PyroHEAError, warn
from pyro_hea.executors import run_tasks

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from pyro_hea.disorder.engines import Engine
    from pyro_hea.disorder.sites import Sites

_LARGEST_SYMMETRY = 32
"""Sites up to which configurations that symmetry makes equal are found."""

_MOST_FAILURES = 0.5

_SHOWN = 3


@dataclass(eq=False)
class Energies:
    """The energies of configurations of one cell, each paid for once.

    Attributes
    ----------
    engine : Engine
    sites : Sites
    species : tuple of str
    budget : int
        Energies that may be asked for in all; one that is known from an earlier run counts too,
        so that a run that is resumed gives what it would have given.
    store : EnergyStore
    executor : concurrent.futures.Executor, optional
        What computes them; by default this process.
    failures : dict
        Why there is no energy, by configuration.
    paid : int
        Energies that this process had the engine compute.
    """

    engine: Engine
    sites: Sites
    species: tuple[str, ...]
    budget: int
    store: EnergyStore = field(default_factory=lambda: EnergyStore(None))
    executor: Executor | None = None
    failures: dict[str, str] = field(default_factory=dict)
    paid: int = 0
    _known: dict[bytes, float] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """Distinct energies asked for so far."""
        return len(self._known)

    @property
    def left(self) -> int:
        """Energies that may still be asked for."""
        return self.budget - self.used

    def representatives(self, occupations: NDArray[np.int8]) -> NDArray[np.int8]:
        """The configurations that stand for these and all that symmetry makes equal to them."""
        if len(self.sites) > _LARGEST_SYMMETRY:
            return occupations
        return canonical(occupations, self.sites.permutations)

    def within_budget(self, occupations: NDArray[np.int8], most: int) -> int:
        """How many of the first configurations can be had for `most` further energies."""
        seen = set(self._known)
        for place, row in enumerate(self.representatives(occupations)):
            seen.add(row.tobytes())
            if len(seen) - len(self._known) > min(most, self.left):
                return place
        return len(occupations)

    def __call__(self, occupations: NDArray[np.int8]) -> NDArray[np.float64]:
        """Energies in eV of configurations (S, N); NaN where the engine gives none.

        Raises
        ------
        EngineError
            Where the budget does not hold so many, or the engine fails on half of them.
        """
        rows = np.ascontiguousarray(self.representatives(occupations), np.int8)
        new = [row for row in dict.fromkeys(map(bytes, rows)) if row not in self._known]
        if len(new) > self.left:
            raise EngineError(f"{len(new)} more energies exceed the budget of {self.budget}")
        if new:
            self._pay(np.stack([np.frombuffer(row, np.int8) for row in new]))
        return np.array([self._known[bytes(row)] for row in rows])

    def _pay(self, rows: NDArray[np.int8]) -> None:
        wanted = Configurations(self.sites, self.species, rows)
        about = self._about()
        keys = [content_key(about, row.tobytes()) for row in rows]
        known = self.store.read(keys)
        missing = [i for i, key in enumerate(keys) if key not in known]
        found = {i: known[key] for i, key in enumerate(keys) if key in known}
        for i, energy, failure in self._computed(wanted, missing):
            self.paid += 1
            self.store.write(keys[i], energy, failure)
            found[i] = (energy, failure)
        failed = []
        for i, (energy, failure) in sorted(found.items()):
            self._known[rows[i].tobytes()] = math.nan if energy is None else energy
            if failure is not None:
                failed.append(f"{_formula(wanted.symbols(i))} ({failure})")
                self.failures["".join(map(str, rows[i]))] = failure
        if failed and len(failed) >= max(_MOST_FAILURES * len(rows), 2):
            self.store.forget([keys[i] for i, (energy, _) in found.items() if energy is None])
            raise EngineError(
                f"the engine gave no energy of {len(failed)} of {len(rows)} configurations: "
                f"{_some(failed)}. Mend the engine and ask again: these are then tried anew"
            )
        if failed:
            warn(
                f"the engine gave no energy of {len(failed)} of {len(rows)} configurations, which "
                f"are left out: {_some(failed)}",
                EngineWarning,
            )

    def _about(self) -> str:
        """All that is the same for the configurations of this cell."""
        numbers = [
            np.round(part, 8).tobytes().hex()
            for part in (self.sites.cell, self.sites.positions, self.sites.matrix_positions)
        ]
        pairs = [f"{s.distance:.6f}" for s in self.sites.shells]
        return "|".join([self.engine.key, *self.species, *self.sites.matrix, *numbers, *pairs])

    def _computed(
        self, wanted: Configurations, missing: list[int]
    ) -> Iterator[tuple[int, float | None, str | None]]:
        # what symmetry does is not needed there, and large
        sites = replace(wanted.sites, permutations=np.arange(len(wanted.sites))[None])
        light = replace(wanted, sites=sites)
        tasks = ((i, partial(one_energy, self.engine, light.take([i]))) for i in missing)
        for i, (energy, why_not) in run_tasks(tasks, self.executor, ended=_ended):
            yield i, energy, why_not


def _ended(row: int) -> tuple[None, str]:
    return None, "the engine's process ended"


def one_energy(engine: Engine, wanted: Configurations) -> tuple[float | None, str | None]:
    """Energy of the single configuration, or why there is none."""
    try:
        energy = float(np.asarray(engine.energies(wanted), float).item())
    except PyroHEAError:
        raise
    except Exception as error:  # whatever an engine raises is reported by configuration
        return None, f"{type(error).__name__}: {error}"[:200]
    return (energy, None) if math.isfinite(energy) else (None, f"energy {energy}")


def _some(failed: list[str]) -> str:
    """The first different failures with all that is known of why."""
    different = list(dict.fromkeys(failed))
    more = [f"… ({len(failed)} in all)"] if len(different) > _SHOWN else []
    return ", ".join([*different[:_SHOWN], *more])


def _formula(symbols: list[str]) -> str:
    names = sorted(set(symbols))
    return "".join(f"{name}{symbols.count(name)}" for name in names)
