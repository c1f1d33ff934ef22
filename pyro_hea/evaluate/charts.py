"""What is measured of atlases: of manifolds that are known, and of alloys."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial import cKDTree

from pyro_hea.charts import AlloyAtlas, Atlas
from pyro_hea.charts.inverse import PointPrior
from pyro_hea.charts.toys import Toy, toy
from pyro_hea.errors import ChartWarning, missing_extra
from pyro_hea.evaluate.design import (
    HIGH_ENTROPY,
    TARGET,
    judged,
    judged_designs,
    summary_of_designs,
)
from pyro_hea.evaluate.measures.reconstruction import composition_metrics, nearest_alloy
from pyro_hea.evaluate.protocols import published_vae
from pyro_hea.materials.alloys.dataset import AlloyDataset, load_alloys
from pyro_hea.spec import AtlasSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.spec import ModelSpec

MINIMUM = 0.01
"""Fraction from which on an element is on the list of an alloy."""

PERSISTENCE = 0.35
"""Least length of a bar that counts as a feature, in the unit of the points.

2 000 points drawn evenly from each toy have bars of 0.45 and more for what is there, and of 0.27
and less for what is not.
"""

STARTS = {"circles": 4, "ring": 10, "sphere": 10, "torus": 30}
STEPS = {"ring": 3000}
SAMPLES = {"swiss_roll": 2_000_000}
"""Of the largest toy, so that their own gaps do not count; of the others 40 000."""

TOLERANCE = {"circles": 0.02, "ring": 0.01, "sphere": 0.02, "torus": 0.05}
"""Distance from the known minimum at which a descent has arrived."""


def betti_numbers(points: NDArray[np.float64], persistence: float) -> tuple[int, ...]:
    """Betti numbers of points in two or three dimensions, by persistent homology.

    Parameters
    ----------
    points : ndarray, shape (N, 2) or (N, 3)
    persistence : float
        Radius over which a feature of the alpha complex has to last.

    Raises
    ------
    MissingExtraError
        Without gudhi (the extra `topology`).
    """
    try:
        import gudhi
    except ImportError:
        raise missing_extra("gudhi", "topology") from None
    tree = gudhi.AlphaComplex(points=points).create_simplex_tree()
    tree.compute_persistence(persistence_dim_max=True)
    found = []
    for dim in range(points.shape[1]):
        bars = np.asarray(tree.persistence_intervals_in_dimension(dim)).reshape(-1, 2)
        length = np.diff(np.sqrt(bars.clip(0)), axis=1)
        found.append(int((length >= persistence).sum()))
    return tuple(found)


def measure_toy(name: str, seed: int) -> dict[str, Any]:
    """Train an atlas of a toy, and measure samples, coverage, topology and descent."""
    known, spec = toy(name), AtlasSpec.shipped(name)
    began = time.process_time()
    atlas = Atlas(spec).fit(known.points(seed=seed), seed=seed, progress=False)
    found: dict[str, Any] = {"toy": name, "seed": seed, "cpu_s": time.process_time() - began}
    sample = np.asarray(atlas.sample(SAMPLES.get(name, 40_000), seed))
    found |= _exactness(atlas, sample[:2000])
    found["within 3 sigma"] = _near(known, sample)
    found |= _coverage(known, sample, seed)
    found |= _bounds(atlas, known, seed)
    if known.objective is not None:
        found["betti"] = betti_numbers(sample[:2000], PERSISTENCE)
        found["betti right"] = found["betti"] == known.betti
        found |= descents(atlas, known, seed)
    if name == "circles":
        for prior in PRIORS:
            found[f"posterior, {prior} prior"] = posterior_of_circles(atlas, seed, prior)
    return found


ABLATED = ("circles", "sphere", "torus")
"""Toys that one chart cannot cover."""


def measure_ablations(name: str, seed: int) -> dict[str, Any]:
    """The same toy with one chart, and with its charts but no overlap phase."""
    known, spec = toy(name), AtlasSpec.shipped(name)
    points = known.points(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        single = Atlas(spec.with_(charts=1)).fit(points, seed=seed, progress=False)
    sample = np.asarray(single.sample(40_000, seed))
    of_one = descents(single, known, seed)
    betti = betti_numbers(sample[:2000], PERSISTENCE)
    without = Atlas(spec.with_(overlap=None)).fit(points, seed=seed, progress=False)
    arrived = descents(without, known, seed)
    return {
        "toy": name,
        "seed": seed,
        "one chart, betti": betti,
        "one chart, betti right": betti == known.betti,
        "one chart, within 3 sigma": _near(known, sample),
        **{f"one chart, {k}": v for k, v in _coverage(known, sample, seed).items()},
        "one chart, arrived": of_one["arrived"],
        "one chart, highest": of_one["highest"],
        "starts": arrived["starts"],
        "no overlap, arrived": arrived["arrived"],
        "no overlap, highest": arrived["highest"],
    }


def _coverage(known: Toy, sample: NDArray[np.float64], seed: int) -> dict[str, float]:
    """How far true points are from the nearest sample: the share within 0.1, and the farthest."""
    true = known.points(2000, seed + 1000, noisy=False)
    away = cKDTree(sample).query(true)[0]
    return {"covered": float((away <= 0.1).mean()), "farthest from a sample": float(away.max())}


def _near(known: Toy, sample: NDArray[np.float64]) -> float:
    """Share of samples within three standard deviations of the noise from the manifold."""
    return float((known.distance(sample[:5000]) <= 3 * known.noise).mean())


def descents(atlas: Atlas, known: Toy, seed: int) -> dict[str, Any]:
    """Descend from random starts; how many arrive at the known minimum, and whether any rose."""
    assert known.objective is not None
    assert known.minimum is not None
    starts = STARTS[known.name]
    began = time.process_time()
    descent = atlas.minimize(
        known.objective, known.points(starts, seed + 2000), STEPS.get(known.name, 500)
    )
    rose = descent.trail.groupby("start")["value"].apply(lambda v: bool((v.diff() > 0).any()))
    away = np.abs(descent.values - known.minimum)
    return {
        "starts": starts,
        "arrived": int((away <= TOLERANCE[known.name]).sum()),
        "lowest": float(descent.values.min()),
        "highest": float(descent.values.max()),
        "ends off the manifold": float(known.distance(np.asarray(descent.points)).max()),
        "rose": int(rose.sum()),
        "descent cpu_s": time.process_time() - began,
    }


OPERATOR, DATA, NOISE = np.array([[0.4, 1.0]]), np.array([0.6]), 0.3
"""A linear inverse problem: one measurement of a point."""

PRIORS: tuple[PointPrior, ...] = ("learnt", "even")

_ARCS = 8
"""Of each circle."""

CHAINS = 16
"""Populations of draws behind a standard error."""


def posterior_of_circles(atlas: Atlas, seed: int, prior: PointPrior) -> dict[str, float]:
    """Probabilities of arcs of two circles by posterior draws and by a grid of angles.

    Returns
    -------
    dict
        The largest difference between them, the standard error of that one, and the largest
        difference in such errors, of which 3.5 is the 95 % quantile where there is none: 16 arcs,
        15 degrees of freedom. An error is that over the chains, and no less than that of
        independent draws: where a handful of draws fall into an arc, their spread says nothing.
    """
    angle = (np.arange(16_000) + 0.5) * 2 * np.pi / 16_000
    circle = np.c_[np.cos(angle), np.sin(angle)]
    grid = np.concatenate([circle + np.array([side, 0.0]) for side in (-1.5, 1.5)])
    miss = (grid @ OPERATOR.T - DATA)[:, 0] / NOISE
    exact = _in_arcs(grid, np.exp(-(miss**2) / 2))
    drawn: Any = atlas.posterior(
        OPERATOR, DATA, NOISE, prior=prior, draws=500, chains=CHAINS, seed=seed
    )
    chains = drawn.posterior["x"].to_numpy()
    found = np.stack([_in_arcs(points, np.ones(len(points))) for points in chains])
    away = np.abs(found.mean(0) - exact)
    independent = np.sqrt(exact * (1 - exact) / chains[..., 0].size)
    error = np.maximum(found.std(0, ddof=1) / np.sqrt(len(found)), independent)
    worst = int(away.argmax())
    return {
        "largest difference": float(away[worst]),
        "its standard error": float(error[worst]),
        "in standard errors": float((away / error).max()),
    }


def _in_arcs(points: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the weight in each arc of both circles, (2 arcs,)."""
    right = points[:, 0] > 0
    turn = np.arctan2(points[:, 1], points[:, 0] - np.where(right, 1.5, -1.5))
    arc = ((turn + np.pi) / (2 * np.pi) * _ARCS).astype(int).clip(0, _ARCS - 1)
    return np.bincount(arc + _ARCS * right, weight, 2 * _ARCS) / weight.sum()


GRID = ((12, 6), (12, 10), (24, 6), (24, 10), (40, 10))
"""Charts and dimensions of atlases of alloys that are compared."""


def measure_families(charts: int, dim: int) -> dict[str, Any]:
    """An atlas of alloys with so many charts and dimensions, on the validation part."""
    parts = load_alloys("zeng2024").split("published")
    spec = AtlasSpec.shipped("alloys").with_(charts=charts, dim=dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        atlas = AlloyAtlas(spec).fit(parts["labelled"] + parts["unlabelled"], progress=False)
    points = np.sqrt(parts["validation"].fractions[list(atlas.elements)])
    return {
        "charts": charts,
        "dim": dim,
        "log density (nats)": float(np.mean(atlas.atlas.log_prob(points))),
        **_projected(atlas, parts["validation"]),
    }


def measure_alloys(seed: int, spec: ModelSpec, device: str) -> dict[str, Any]:
    """Projections of the published test part, and designs by descent and importance sampling."""
    parts = load_alloys("zeng2024").split("published")
    train = parts["labelled"] + parts["unlabelled"]
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        atlas = AlloyAtlas().fit(train, seed=seed, progress=False)
    found: dict[str, Any] = {"seed": seed, "cpu_s": time.process_time() - began}
    found |= _projected(atlas, parts["test"])
    known, _ = nearest_alloy(parts["test"].fractions, train.fractions)
    copied = train.fractions.iloc[known].set_axis(parts["test"].fractions.index)
    found |= {f"nearest alloy: {k}": v for k, v in _reconstruction(copied, parts["test"]).items()}
    vae = published_vae(spec, seed=seed, device=device, progress=False)
    began = time.process_time()
    descended = atlas.design(
        vae, {TARGET: 1}, HIGH_ENTROPY, n=_DESIGNS, seed=seed, min_probability=0
    )
    found["design cpu_s"] = time.process_time() - began
    found["descent"] = summary_of_designs(judged(descended))
    found["importance"] = summary_of_designs(judged_designs(vae, 1, n=_DESIGNS, seed=seed))
    return found


_DESIGNS = 50


def _projected(atlas: AlloyAtlas, alloys: AlloyDataset) -> dict[str, float]:
    return _reconstruction(atlas.project(alloys), alloys)


def _reconstruction(made: pd.DataFrame, alloys: AlloyDataset) -> dict[str, float]:
    """Share of alloys whose list of elements at 1 at.% and above is right, and the MAE."""
    true = alloys.fractions[made.columns]
    same = ((made >= MINIMUM) == (true >= MINIMUM)).all(axis=1)
    metrics = composition_metrics(true, made)
    return {"right elements": float(same.mean()), "MAE (at.%)": metrics["mae_at_pct"]}


@torch.no_grad()
def _exactness(atlas: Atlas, points: NDArray[np.float64]) -> dict[str, float]:
    """How well encoder and decoder undo each other, and projections stay, at the worst."""
    z = atlas.model.from_xi(atlas.model.density().sample(torch.Size([500])))
    back = atlas.model.encode(atlas.model.decode(z))
    once = np.asarray(atlas.project(points))
    again = np.asarray(atlas.project(once))
    return {
        "E(D(z)) - z": float((back - z).norm(dim=-1).max()),
        "projected twice": float(np.linalg.norm(again - once, axis=1).max()),
    }


@torch.no_grad()
def _bounds(atlas: Atlas, known: Toy, seed: int) -> dict[str, float]:
    """The enumerated bound and the published objective on points held out, nats per point."""
    weights = atlas.model.encoded(torch.tensor(known.points(2000, seed + 3000))).log_weights
    return {
        "enumerated bound": float(weights.logsumexp(0).mean()),
        "published objective": float((weights.softmax(0) * weights).sum(0).mean()),
    }
