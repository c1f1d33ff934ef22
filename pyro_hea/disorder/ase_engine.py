"""Energies by any calculator of ASE: EMT, CHGNet, a potential of one's own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.disorder.engines import check_lattice
from pyro_hea.errors import EngineError, missing_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.configurations import Configurations

_EMT = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")
"""Elements of ASE's effective medium theory that are metals."""


@dataclass(frozen=True, eq=False)
class ASEEngine:
    """A calculator of ASE, with atoms relaxed in a fixed cell or left where they are.

    Parameters
    ----------
    calculator : str or callable
        "emt", or what makes a calculator, such as `ase.calculators.lj.LennardJones` or
        `lambda: CHGNetCalculator()`. For several processes a function at the top of a module.
    relax : bool
        Whether atoms are relaxed.
    elements : sequence of str, optional
        That the calculator knows; those of EMT for "emt", else any.
    key : str, optional
        A name under which energies are kept; needed where it cannot be told from the calculator,
        as of a `lambda`. Another potential needs another one.
    force : float
        Largest force that is left, in eV/Å.
    steps : int
        Of the relaxation at most; a configuration that needs more has no energy.

    Examples
    --------
    >>> ASEEngine("emt").elements
    ('Ag', 'Al', 'Au', 'Cu', 'Ni', 'Pd', 'Pt')
    """

    calculator: str | Callable[[], Any] = "emt"
    relax: bool = True
    elements: Sequence[str] | None = None
    key: str = ""
    force: float = 0.02
    steps: int = 500

    def __post_init__(self) -> None:
        if not (self.calculator == "emt" or callable(self.calculator)):
            raise EngineError(
                f"{self.calculator!r} is no calculator: give 'emt', or a function that makes one"
            )
        if not self.force > 0 or not self.steps > 0:
            raise EngineError(
                f"force={self.force}, steps={self.steps} are not allowed; they are above 0"
            )
        if self.calculator == "emt" and self.elements is None:
            object.__setattr__(self, "elements", _EMT)
        name = self.key or (
            self.calculator
            if isinstance(self.calculator, str)
            else f"{self.calculator.__module__}.{self.calculator.__qualname__}"
            if hasattr(self.calculator, "__qualname__")
            else ""
        )
        if not name or "<lambda>" in name:
            raise EngineError(
                "energies are kept by the name of the calculator, and this one has none: give "
                "ASEEngine(..., key='my potential, version 1')"
            )
        settings = ["sites", self.force, self.steps] if self.relax else [False]
        object.__setattr__(self, "key", f"ase {name} {json.dumps(settings)} {_version()}")

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Energies of whole cells in eV, (S,).

        Raises
        ------
        RuntimeError
            Where a relaxation does not end, or ends off the sites.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy within ASE
            return np.array([self._energy(atoms) for atoms in configurations])

    def _energy(self, atoms: Any) -> float:
        from ase.optimize import FIRE

        atoms.calc = _emt() if isinstance(self.calculator, str) else self.calculator()
        if self.relax:
            sites, optimiser = atoms.positions.copy(), FIRE(atoms, logfile=None)
            if not optimiser.run(fmax=self.force, steps=self.steps):
                raise RuntimeError(f"not relaxed after {self.steps} steps")
            check_lattice(atoms.cell, sites, atoms.positions)
        return float(atoms.get_potential_energy())


def _emt() -> Any:
    from ase.calculators.emt import EMT

    calculator: Any = EMT
    return calculator()


def _version() -> str:
    try:
        from ase import __version__
    except ImportError as error:
        raise missing_extra("ase", "disorder") from error
    return str(__version__)
