"""What can be wrong with a crystal, and whether it is new."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_hea.errors import StructureError, missing_extra
from pyro_hea.materials.crystals.dataset import CrystalDataset
from pyro_hea.materials.crystals.elements import element_property
from pyro_hea.materials.crystals.features import fraction_matrix
from pyro_hea.materials.crystals.geometry import neighbours
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher


def check_crystals(
    crystals: Sequence[WyckoffStructure],
    known: CrystalDataset | None = None,
    *,
    neutrality: bool = False,
    symprec: float = 0.01,
) -> pd.DataFrame:
    """Look at crystals one by one.

    Parameters
    ----------
    crystals : sequence of WyckoffStructure
    known : CrystalDataset, optional
        Adds `new`, `match`, `nearest`, `nearest_formula` and `nearest_distance`.
    neutrality : bool
        Adds `neutral`, by SMACT.
    symprec : float
        Of the symmetry that is found again, in Å.

    Returns
    -------
    DataFrame, shape (N, columns)
        `formula`, `space_group`, `prototype`, `atoms`, `volume_per_atom` (Å³), `shortest_distance`
        (Å), `distance_over_radii` (smallest ratio of a distance to the sum of covalent radii),
        `space_group_kept`: whether spglib finds the space group that the crystal was made in.

    Raises
    ------
    MissingExtraError
        With `neutrality`, without SMACT.
    """
    table = pd.DataFrame([_checked(crystal, symprec) for crystal in crystals])
    if neutrality:
        table["neutral"] = [is_neutral(crystal.counts) for crystal in crystals]
    if known is not None:
        table = table.join(compare_to_known(crystals, known))
    return table


def _checked(crystal: WyckoffStructure, symprec: float) -> dict[str, object]:
    shortest, ratio = shortest_distance(crystal)
    try:
        kept = (
            WyckoffStructure.from_structure(crystal.structure(), symprec).number == crystal.number
        )
    except StructureError:  # atoms on each other, or no symmetry at all
        kept = False
    return {
        "formula": crystal.formula,
        "space_group": crystal.number,
        "prototype": crystal.prototype,
        "atoms": crystal.atoms,
        "volume_per_atom": crystal.volume_per_atom,
        "shortest_distance": shortest,
        "distance_over_radii": ratio,
        "space_group_kept": kept,
    }


def shortest_distance(crystal: WyckoffStructure) -> tuple[float, float]:
    """Shortest distance in Å, and the smallest ratio of one to the sum of covalent radii.

    Examples
    --------
    >>> salt = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    >>> distance, ratio = shortest_distance(salt)
    >>> round(distance, 2), round(ratio, 2)
    (2.82, 1.05)
    """
    found = neighbours(crystal)
    radius = element_property("covalent_radius", [orbit.element for orbit in crystal.orbits])
    ratios = found.distance / (radius[found.orbit] + radius[found.other])
    return float(found.distance.min()), float(ratios.min())


def is_neutral(counts: Mapping[str, int]) -> bool:
    """Whether SMACT finds oxidation states that add up to no charge, or calls it an alloy.

    The rules of Davies et al., Chem 1 (2016) 617, as in `smact.screening.smact_validity`.

    Raises
    ------
    MissingExtraError
        Without SMACT.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SMACT on its own dependencies
            from smact.screening import smact_validity
    except ImportError as error:
        raise missing_extra("smact", "crystals") from error
    formula = "".join(f"{element}{count}" for element, count in counts.items())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements without tabulated oxidation states
        return bool(smact_validity(formula))


def compare_to_known(crystals: Sequence[WyckoffStructure], known: CrystalDataset) -> pd.DataFrame:
    """Which crystals are new, and the nearest known one of each.

    Parameters
    ----------
    crystals : sequence of WyckoffStructure
    known : CrystalDataset

    Returns
    -------
    DataFrame, shape (N, 5)
        `new`: no known crystal of the formula is the same by pymatgen's `StructureMatcher` with its
        default tolerances; `match`: id of the one that is, or empty; `nearest`: id of the match, or
        else of the crystal with the nearest composition, of the same prototype if there is any of
        it; `nearest_formula`; `nearest_distance`: total variation between the compositions.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    formula, prototype = known.info["formula"].to_numpy(), known.info["prototype"].to_numpy()
    fractions = fraction_matrix([crystal.counts for crystal in known.crystals])
    own = fraction_matrix([crystal.counts for crystal in crystals])
    rows = []
    for crystal, composition in zip(crystals, own, strict=True):
        match = _match(crystal, np.flatnonzero(formula == crystal.formula), known, matcher)
        distance = np.abs(fractions - composition).sum(1) / 2
        alike = prototype == crystal.prototype
        if alike.any():
            distance = np.where(alike, distance, np.inf)
        nearest = int(distance.argmin()) if match is None else match
        rows.append(
            {
                "new": match is None,
                "match": "" if match is None else known.ids[match],
                "nearest": known.ids[nearest],
                "nearest_formula": formula[nearest],
                "nearest_distance": float(np.abs(fractions[nearest] - composition).sum() / 2),
            }
        )
    return pd.DataFrame(rows)


def _match(
    crystal: WyckoffStructure,
    rows: np.ndarray[tuple[int], np.dtype[np.intp]],
    known: CrystalDataset,
    matcher: StructureMatcher,
) -> int | None:
    if not len(rows):
        return None
    structure = crystal.structure()
    return next((int(i) for i in rows if matcher.fit(structure, known.structures[int(i)])), None)


def write_cif(crystal: WyckoffStructure, path: str | Path) -> Path:
    """Write a CIF with the symmetry operations of the crystal.

    Returns
    -------
    Path
        The file.
    """
    from pymatgen.io.cif import CifWriter

    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of spglib within pymatgen
        CifWriter(crystal.structure(primitive=False), symprec=0.01).write_file(path)
    return path
