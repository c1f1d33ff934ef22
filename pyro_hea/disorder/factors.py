"""Which counts of species and of neighbours set an energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.features import PairFeatures

_MOST = 8
_LEAST_ADDED = 1e-4


def energy_factors(
    features: PairFeatures,
    occupations: NDArray[np.int8],
    energies: NDArray[np.float64],
    fractions: NDArray[np.float64],
) -> pd.DataFrame:
    """Counts by how much of the variance of the energy each explains, the most telling first.

    Each row adds, to a linear model of those above it, the count that explains most of what they
    leave. The species of the largest fraction is the reference, and is not counted.

    Returns
    -------
    DataFrame
        `factor`, `where` (the kind of site or the shell), `share` of the variance that it adds,
        `alone` (share by itself), and `effect`, the change of the energy in eV by one more, the
        others of the table as they are.

    Examples
    --------
    >>> from pyro_hea.disorder import square_lattice
    >>> from pyro_hea.disorder.features import PairFeatures
    >>> x = np.random.default_rng(0).integers(0, 2, (50, 9)).astype(np.int8)
    >>> counts = PairFeatures(square_lattice(3), ("Ni", "Cr"))
    >>> found = energy_factors(counts, x, 0.1 * x.sum(1), np.array([0.6, 0.4]))
    >>> found[["factor", "share", "effect"]].round(3).values.tolist()
    [['count of Cr', 1.0, 0.1]]
    """
    reference = features.species[int(np.argmax(fractions))]
    x = features(occupations)
    kept = [
        place
        for place, (_, name) in enumerate(features.names)
        if reference not in name.removeprefix("count of ").split("-") and x[:, place].std() > 0
    ]
    total = float(((energies - energies.mean()) ** 2).sum())
    alone = {place: _explained(x[:, [place]], energies, total)[0] for place in kept}
    chosen: list[int] = []
    shares: list[float] = []
    coefficients = np.zeros(0)
    while len(chosen) < _MOST and total > 0:
        tried = {
            place: _explained(x[:, [*chosen, place]], energies, total)
            for place in kept
            if place not in chosen
        }
        if not tried or len(energies) < len(chosen) + 3:
            break
        best = max(tried, key=lambda place: tried[place][0])
        added = tried[best][0] - sum(shares)
        if added < _LEAST_ADDED:
            break
        chosen.append(best)
        shares.append(added)
        coefficients = tried[best][1]
    rows = [features.names[place] for place in chosen]
    return pd.DataFrame(
        {
            "factor": [name for _, name in rows],
            "where": [group for group, _ in rows],
            "share": shares,
            "alone": [alone[place] for place in chosen],
            "effect": coefficients,
        }
    )


def _explained(
    x: NDArray[np.float64], y: NDArray[np.float64], total: float
) -> tuple[float, NDArray[np.float64]]:
    """Share of the variance that a linear model explains, and its coefficients."""
    if total <= 0:
        return 0.0, np.zeros(x.shape[1])
    centred = x - x.mean(0)
    coefficients = np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0]
    left = float(((y - y.mean() - centred @ coefficients) ** 2).sum())
    return 1 - left / total, coefficients
