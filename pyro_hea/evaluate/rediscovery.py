"""Rediscovery: whole sets of elements are held out, and designs must find their alloys again.

One model stands for several sets that are held out at once, which is cheaper than one for each,
and a little harder: none of the others was trained on either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.design import AllowedElements, Novel, RequiredElements
from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.dataset import element_sets, load_alloys
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec

TARGET = "single_phase"

SETS = 20

GROUPS = 4
"""Models that are trained, each without the alloys of its share of the sets."""

WITHIN = 0.05
"""Total variation at which an alloy counts as found again."""

DESIGNS = 100

_UNIFORM = 20_000
"""Uniform compositions behind their share, so that it has next to no error of its own."""

_RESAMPLES = 2000


def rediscovery_group(
    group: int,
    spec: ModelSpec | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> pd.DataFrame:
    """Hold out one group of the fixed sets of elements, and design in each of them.

    Parameters
    ----------
    group : int
        From 0 to `GROUPS` - 1; all of them together are the protocol.
    spec : ModelSpec, optional
    seed : int
        Of the training, with the group, and of the designs.
    device : str
    progress : bool

    Returns
    -------
    DataFrame
        One row per set, as of `rediscovered`, with its `group`.
    """
    alloys = load_alloys("zeng2024")
    held = rediscovery_sets(alloys)[group::GROUPS]
    own = np.array(element_sets(alloys.fractions))
    training = GROUPS * seed + group
    vae = DisentangledVAE(spec).fit(
        alloys.take(~np.isin(own, held)), seed=training, device=device, progress=progress
    )
    return rediscovered(vae, alloys, held, seed=training).assign(group=group)


def rediscovery_sets(alloys: AlloyDataset, count: int = SETS) -> list[str]:
    """Element sets of at least four elements that hold a single-phase alloy, drawn once for all."""
    single = alloys.take((alloys.labels[TARGET] == 1).to_numpy())
    sets = pd.Series(element_sets(single.fractions))
    wide = single.number_of_elements.to_numpy() >= 4
    names = sorted(set(sets[wide]))
    if len(names) < count:
        raise DataError(f"there are {len(names)} such element sets, not {count}")
    return sorted(np.random.default_rng(0).choice(names, count, replace=False).tolist())


def rediscovered(
    vae: DisentangledVAE,
    alloys: AlloyDataset,
    sets: list[str],
    *,
    n: int = DESIGNS,
    seed: int = 0,
) -> pd.DataFrame:
    """How often designs in a set of elements come near a single-phase alloy that was held out.

    Parameters
    ----------
    vae : DisentangledVAE
        Trained without any alloy of the sets.
    alloys : AlloyDataset
        Among them those of the sets.
    sets : list of str
        As `element_sets` spells them.
    n : int
        Designs in each set.
    seed : int

    Returns
    -------
    DataFrame
        One row per set: `set`, the number of single-phase `alloys` in it, and the share within
        5 at.% (total variation) of one of them: of the `designs`, of `uniform` compositions on
        the simplex, and of the `equimolar` alloy, which is 0 or 1; `found` is 1 where any of the
        designs is.
    """
    own = np.array(element_sets(alloys.fractions))
    single = (alloys.labels[TARGET] == 1).to_numpy()
    rows = []
    for name in sets:
        goal = alloys.fractions[(own == name) & single]
        elements = [e for e in goal.columns if (goal[e] > 0).any()]
        wishes = [AllowedElements(*elements), RequiredElements(*elements), Novel(0)]
        result = vae.design({TARGET: 1}, wishes, n=n, seed=seed, min_probability=0)
        designs = result.table[elements].to_numpy(float)
        rng = np.random.default_rng(seed)
        tried = {
            "designs": designs,
            "uniform": rng.dirichlet(np.ones(len(elements)), _UNIFORM),
            "equimolar": np.full((1, len(elements)), 1 / len(elements)),
        }
        near = {key: _near(x, goal[elements].to_numpy(float)) for key, x in tried.items()}
        shares = {key: float(hit.mean()) for key, hit in near.items()}
        found = float(near["designs"].any())
        rows.append({"set": name, "alloys": len(goal), **shares, "found": found})
    return pd.DataFrame(rows)


def rediscovery_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Means over the sets and their ratio to uniform compositions, with 95 % intervals.

    Intervals are of a bootstrap over the sets.

    Examples
    --------
    >>> shares = {"designs": [0.3, 0.1], "uniform": 0.02, "equimolar": 1.0, "found": 1.0}
    >>> rediscovery_summary(pd.DataFrame(shares))["times uniform"]["mean"]
    10.0
    """
    columns = ["designs", "uniform", "equimolar", "found"]
    values = table[columns].to_numpy(float)
    rows = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    means = values[rows].mean(1)
    summary = {
        name: _interval(float(values[:, i].mean()), means[:, i]) for i, name in enumerate(columns)
    }
    floor = 1e-12  # of sets in which no uniform composition comes near
    ratio = float(values[:, 0].mean() / max(values[:, 1].mean(), floor))
    summary["times uniform"] = _interval(ratio, means[:, 0] / np.maximum(means[:, 1], floor))
    return summary


def _interval(mean: float, resampled: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"mean": mean, "low": float(low), "high": float(high)}


def _near(x: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(x[:, None] - goal).sum(-1).min(1) / 2 <= WITHIN + 1e-9)
