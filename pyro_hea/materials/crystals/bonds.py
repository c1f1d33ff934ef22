"""What the bonds of a crystal are like, site by site: lengths, stiffness, masses and polarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.materials.crystals.elements import element_property
from pyro_hea.materials.crystals.geometry import Neighbours

if TYPE_CHECKING:
    from pyro_hea.materials.crystals.cells import Floats
    from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

_SOFTNESS = 2.0
"""Per Å: how fast a bond's stiffness falls with its length beyond the sum of the radii."""

_AT_ENDS = ("coordination", "length", "length_over_radii", "polarity", "like_share")


def bond_statistics(
    crystal: WyckoffStructure, found: Neighbours, weights: Floats, share: Floats
) -> dict[str, float]:
    """Mean, spread, smallest and largest over the sites of what their bonds are like.

    `stiffness` is ln √(Σ w d⁻³ / m) and `stiffness_beyond_radii` ln √(Σ w exp(-2 (d - r) / Å) / m)
    over the neighbours of a site of mass m at distances d, with sums r of covalent radii: how
    frequencies go with bond lengths and masses.

    Parameters
    ----------
    crystal : WyckoffStructure
    found : Neighbours
    weights : ndarray, shape (P,)
        How much each neighbour counts.
    share : ndarray, shape (O,)
        Share of the atoms on each orbit.

    Examples
    --------
    >>> from pyro_hea.materials.crystals import WyckoffStructure, crystal_features
    >>> salt = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    >>> _, both = crystal_features([salt])
    >>> float(both["site_polarity_mean"].iloc[0].round(2))   # 3.16 - 0.93
    2.23
    """
    orbits = len(crystal.orbits)
    elements = [orbit.element for orbit in crystal.orbits]
    radius, mass, negativity = (
        element_property(name, elements)
        for name in ("covalent_radius", "atomic_mass", "electronegativity")
    )
    a, b, d = found.orbit, found.other, found.distance
    radii = radius[a] + radius[b]
    total = np.maximum(np.bincount(a, weights, orbits), 1e-9)

    def mean(values: Floats) -> Floats:
        return np.bincount(a, weights * values, orbits) / total

    def smallest(values: Floats) -> Floats:
        least = np.full(orbits, values.max())
        np.minimum.at(least, a, values)
        return least

    def stiffness(strength: Floats) -> Floats:
        return np.log(np.bincount(a, weights * strength, orbits) / mass + 1e-12) / 2

    names = np.array([orbit.element for orbit in crystal.orbits])
    sites = {
        "coordination": total,
        "length": mean(d),
        "length_over_radii": mean(d / radii),
        "polarity": mean(np.abs(negativity[a] - negativity[b])),
        "like_share": mean((names[a] == names[b]).astype(float)),
        "stiffness": stiffness(d**-3.0),
        "stiffness_beyond_radii": stiffness(np.exp(-_SOFTNESS * (d - radii))),
        "neighbour_mass": mean(mass[b]),
        "neighbour_electronegativity": mean(negativity[b]),
        "shortest_over_radii": smallest(d / radii),
        "shortest": smallest(d),
        "electronegativity_over_neighbours": negativity - mean(negativity[b]),
    }
    features = {}
    for name, values in sites.items():
        centre = float(share @ values)
        features[f"site_{name}_mean"] = centre
        features[f"site_{name}_spread"] = float(np.sqrt(share @ np.square(values - centre)))
        features[f"site_{name}_min"] = float(values.min())
        features[f"site_{name}_max"] = float(values.max())
    for end, site in (("anion", negativity.argmax()), ("cation", negativity.argmin())):
        features |= {f"{end}_{name}": float(sites[name][site]) for name in _AT_ENDS}
    volume, average = crystal.volume_per_atom, float(share @ mass)
    features["log_volume_per_atom"] = float(np.log(volume))
    features["log_mass_and_volume"] = float(np.log(average) / 2 + np.log(volume) / 3)
    return features
