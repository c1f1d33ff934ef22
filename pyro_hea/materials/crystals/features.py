"""Features of crystals: of the composition alone, of the structure alone, and of both.

Composition features need no structure, structure features are the same whatever the elements are
called and whatever the size of the cell is; what needs both is kept apart. So an encoder of the
one reads nothing of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pyro_hea.materials.crystals.bonds import bond_statistics
from pyro_hea.materials.crystals.cells import Floats
from pyro_hea.materials.crystals.elements import PROPERTY_UNITS, element_property, element_table
from pyro_hea.materials.crystals.geometry import Neighbours, coordination_weights, neighbours
from pyro_hea.materials.crystals.symmetry import CRYSTAL_SYSTEMS
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

SHELLS = np.linspace(0.6, 2.4, 13)
"""Scaled distances at which the distribution of neighbours is told."""

_SHELL_WIDTH = 0.15
ROLES = 4
"""Elements of which the surroundings are told one by one."""


def composition_features(compositions: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Statistics of the properties of the elements, weighted with their amounts.

    Of each property of `PROPERTY_UNITS`: the mean, the mean absolute deviation from it (`spread`),
    the smallest, the largest and their difference (`range`), in its unit; the number of elements,
    the 2- and 3-norm of the fractions, and `ionic_character`, the mean over pairs of
    1 - exp(-(χ_i - χ_j)² / 4) (Pauling). After Ward et al., npj Comput. Mater. 2 (2016) 16028.

    Parameters
    ----------
    compositions : sequence of mappings
        Amounts of each element.

    Returns
    -------
    DataFrame, shape (N, 104)

    Raises
    ------
    UnknownElementError
        For what is no element from H to Pu.

    Examples
    --------
    >>> salt = composition_features([{"Na": 1, "Cl": 1}]).iloc[0]
    >>> float(salt["electronegativity_mean"]), float(salt["electronegativity_range"])
    (2.045, 2.23)
    """
    table = element_table()
    fractions = fraction_matrix(compositions)
    values = table.to_numpy(float)
    present = fractions[:, :, None] > 0
    mean = fractions @ values
    spread = np.stack(
        [(fractions * np.abs(values[:, k] - mean[:, [k]])).sum(1) for k in range(values.shape[1])],
        1,
    )
    low = np.where(present, values, np.inf).min(1)
    high = np.where(present, values, -np.inf).max(1)
    parts = {"mean": mean, "spread": spread, "min": low, "max": high, "range": high - low}
    columns = {
        f"{name}_{part}": array[:, k]
        for k, name in enumerate(PROPERTY_UNITS)
        for part, array in parts.items()
    }
    negativity = table["electronegativity"].to_numpy()
    ionic = 1 - np.exp(-((negativity[:, None] - negativity) ** 2) / 4)
    columns |= {
        "number_of_elements": (fractions > 0).sum(1).astype(float),
        "fraction_2_norm": np.linalg.norm(fractions, 2, axis=1),
        "fraction_3_norm": np.linalg.norm(fractions, 3, axis=1),
        "ionic_character": ((fractions @ ionic) * fractions).sum(1),
    }
    return pd.DataFrame(columns)


def fraction_matrix(compositions: Sequence[Mapping[str, float]]) -> Floats:
    """Atomic fractions, (N, 94), elements from the most electropositive to the most negative."""
    from pyro_hea.materials.crystals.elements import electronegativity_order

    amounts = np.zeros((len(compositions), len(element_table())))
    for row, composition in zip(amounts, compositions, strict=True):
        for element, amount in composition.items():
            row[electronegativity_order(element)] += amount
    return amounts / amounts.sum(1, keepdims=True)


def crystal_features(crystals: Sequence[WyckoffStructure]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of the structure alone, and of structure and elements together.

    Returns
    -------
    structure : DataFrame, shape (N, S)
        `point_group_order`, `centrosymmetric`, `polar`, crystal system (0 or 1 each), `atoms`,
        `orbits`, `free_coordinates`, logarithms of the axial ratios of the reduced cell and of its
        angles' cosines; effective coordination numbers (mean, spread, smallest, largest, and of
        each role, that is element in the order of the formula type); share of a role's neighbours
        that are of its own element; nearest distance and numbers of neighbours at `SHELLS`, all and
        unlike, in units of the cube root of the volume per atom.
    both : DataFrame, shape (N, B)
        `volume_per_atom` (Å³), `density` (g/cm3), `packing` (share of space in spheres of covalent
        radii), nearest distances (Å) and over the sum of covalent radii, difference in
        electronegativity, ionic radii and mass of neighbours; and `bond_statistics`.
    """
    told = [_features_of(crystal) for crystal in crystals]
    return pd.DataFrame([s for s, _ in told]), pd.DataFrame([b for _, b in told])


def _features_of(crystal: WyckoffStructure) -> tuple[dict[str, float], dict[str, float]]:
    group, orbits = crystal.group, crystal.orbits
    found = neighbours(crystal)
    weights = coordination_weights(found, len(orbits))
    size = np.array([group.multiplicity(orbit.letter) for orbit in orbits], float)
    share = size / size.sum()
    coordination = np.bincount(found.orbit, weights, len(orbits))
    elements = roles_of(crystal.counts)
    role = np.array([elements.index(orbit.element) for orbit in orbits])
    like = role[found.orbit] == role[found.other]
    unit = crystal.volume_per_atom ** (1 / 3)
    shortest = np.full(len(orbits), np.inf)
    np.minimum.at(shortest, found.orbit, found.distance)
    shortest = np.minimum(shortest, 2.5 * unit)
    mean = float(share @ coordination)
    structure = {
        "point_group_order": float(group.point_group_order),
        "centrosymmetric": float((group.rotations == -np.eye(3)).all((1, 2)).any()),
        "polar": float(bool(group.polar_axes)),
        **{name: float(name == group.crystal_system) for name in CRYSTAL_SYSTEMS},
        "atoms": float(crystal.atoms),
        "orbits": float(len(orbits)),
        "free_coordinates": float(sum(group.position(o.letter).freedom for o in orbits)),
        **_cell_shape(crystal),
        "coordination_mean": mean,
        "coordination_spread": float(share @ np.abs(coordination - mean)),
        "coordination_min": float(coordination.min()),
        "coordination_max": float(coordination.max()),
        "nearest_mean": float(share @ shortest) / unit,
        "nearest_min": float(shortest.min()) / unit,
        "nearest_max": float(shortest.max()) / unit,
    }
    own = np.bincount(found.orbit, weights * like, len(orbits))
    for k in range(ROLES):
        amount = size * (role == k)
        total = max(amount.sum(), 1e-9)
        structure[f"coordination_role_{k + 1}"] = float(amount @ coordination / total)
        own_share = (amount @ own) / max(amount @ coordination, 1e-9)
        structure[f"own_neighbours_role_{k + 1}"] = float(own_share)
    shell = np.exp(-(((found.distance / unit)[:, None] - SHELLS) ** 2) / (2 * _SHELL_WIDTH**2))
    shell *= share[found.orbit, None]
    for name, kept in (("all", np.ones_like(like)), ("unlike", ~like)):
        for place, value in zip(SHELLS, shell[kept].sum(0), strict=True):
            structure[f"neighbours_{name}_{place:.2f}"] = float(value)
    return structure, _both(crystal, found, weights, shortest, share)


def _both(
    crystal: WyckoffStructure,
    found: Neighbours,
    weights: Floats,
    shortest: Floats,
    share: Floats,
) -> dict[str, float]:
    elements = [orbit.element for orbit in crystal.orbits]
    radius, ionic, negativity, mass = (
        element_property(name, elements)
        for name in ("covalent_radius", "ionic_radius", "electronegativity", "atomic_mass")
    )
    volume = crystal.volume_per_atom
    a, b = found.orbit, found.other
    bond = weights * share[a]
    bond = bond / bond.sum()
    ratio = found.distance / (radius[a] + radius[b])
    differences = np.abs(negativity[a] - negativity[b])
    return {
        "volume_per_atom": volume,
        "density": float(share @ mass) / volume / 0.602214076,
        "packing": float(share @ (4 / 3 * np.pi * radius**3)) / volume,
        "nearest_distance_mean": float(share @ shortest),
        "nearest_distance_min": float(shortest.min()),
        "bond_length_mean": float(bond @ found.distance),
        "bond_over_covalent_radii": float(bond @ ratio),
        "bond_over_ionic_radii": float(bond @ (found.distance / (ionic[a] + ionic[b]))),
        "shortest_over_covalent_radii": float(ratio.min()),
        "bond_electronegativity_mean": float(bond @ differences),
        "bond_electronegativity_max": float(np.where(weights > 0.3, differences, 0).max()),
        "bond_reduced_mass": float(bond @ (mass[a] * mass[b] / (mass[a] + mass[b]))),
        **bond_statistics(crystal, found, weights, share),
    }


def roles_of(counts: Mapping[str, float]) -> list[str]:
    """Elements in the order of the formula type: by amount, then by electronegativity.

    Examples
    --------
    >>> roles_of({"O": 3, "Ti": 1, "Sr": 1})
    ['Sr', 'Ti', 'O']
    """
    from pyro_hea.materials.crystals.elements import electronegativity_order

    return sorted(counts, key=lambda e: (counts[e], electronegativity_order(e)))


def _cell_shape(crystal: WyckoffStructure) -> dict[str, float]:
    a, b, c, *angles = crystal.cell_parameters
    cosines = [abs(np.cos(np.radians(angle))) for angle in angles]
    return {
        "log_b_over_a": float(np.log(b / a)),
        "log_c_over_a": float(np.log(c / a)),
        "largest_cosine": float(max(cosines)),
    }
