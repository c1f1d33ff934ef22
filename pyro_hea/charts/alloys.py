"""`AlloyAtlas`: the alloys that people make, as a manifold of families."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.charts.atlas import Atlas
from pyro_hea.charts.inverse import posterior_chains, warn_if_off
from pyro_hea.design.gathering import gather, likely_enough
from pyro_hea.design.problem import MINIMUM, Problem, check_count, features_of
from pyro_hea.design.program import first_of_each
from pyro_hea.design.rounding import round_compositions
from pyro_hea.design.smooth import smooth_cost
from pyro_hea.errors import (
    CheckpointError,
    ConstraintError,
    DataError,
    UnknownElementError,
    listing,
)
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.materials.alloys.formula import SYMBOLS
from pyro_hea.posterior.ensemble import as_fractions
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.spec import AtlasSpec

if TYPE_CHECKING:
    import arviz as az
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.result import DesignResult
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

_STARTS = 3
"""Known alloys that descents start at, for each alloy that is asked for."""


class AlloyAtlas:
    """Compositions of alloys as an atlas, each chart a family of alloys.

    Points are the square roots of the fractions: there the simplex is a piece of a sphere, and an
    element that is absent is a coordinate that is 0. Families are found by k-means; a chart knows
    the elements of its family, and is 0 in all others.

    Parameters
    ----------
    spec : AtlasSpec, optional
        The shipped `alloys` by default.

    Examples
    --------
    >>> from pyro_hea import AtlasSpec, load_alloys
    >>> spec = AtlasSpec.shipped("alloys").with_(charts=6, training={"epochs": 2}, overlap=None)
    >>> atlas = AlloyAtlas(spec).fit(load_alloys("zeng2024"), progress=False)
    >>> atlas.project(["CoCrFeMnNi", "HfNbTaTiZr"]).shape
    (2, 30)
    """

    def __init__(self, spec: AtlasSpec | None = None) -> None:
        self.atlas = Atlas(spec or AtlasSpec.shipped("alloys"))

    def __repr__(self) -> str:
        return f"AlloyAtlas({self.atlas!r})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p><pre>{self.atlas.spec!r}</pre>"

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the alloys."""
        return self.atlas.columns

    def fit(
        self,
        alloys: AlloyDataset | Alloys,
        *,
        seed: int = 0,
        progress: bool = True,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Learn the manifold of alloys.

        Parameters
        ----------
        alloys : AlloyDataset, DataFrame or formulas
        seed, progress, checkpoint, resume
            As of `Atlas.fit`.

        Raises
        ------
        DataError
            For fewer alloys than charts.
        CheckpointError
        """
        table = as_fractions(alloys)
        roots = np.sqrt(table.to_numpy(float))
        spec = self.atlas.spec
        if len(roots) < spec.charts:
            raise DataError(
                f"{len(roots)} alloys are fewer than the {spec.charts} charts that they would be "
                "shared out to: give more alloys, or lower charts"
            )
        supports, seeds = _families(roots, spec, seed)
        self.atlas.fit(
            pd.DataFrame(roots, columns=table.columns),
            seed=seed,
            progress=progress,
            checkpoint=checkpoint,
            resume=resume,
            supports=supports,
            seeds=seeds,
        )
        return self

    def families(self, alloys: AlloyDataset | Alloys) -> pd.Series[int]:
        """The chart that is most responsible for each alloy."""
        table = self._table(alloys)
        gamma = np.asarray(self.atlas.responsibilities(self._roots(table)))
        return pd.Series(gamma.argmax(1), table.index, name="chart")

    def project(self, alloys: AlloyDataset | Alloys, min_fraction: float = MINIMUM) -> pd.DataFrame:
        """Fractions of the alloys of the manifold near those given, (N, E).

        Elements below `min_fraction` are dropped, but for the one there is most of.
        """
        table = self._table(alloys)
        points = np.asarray(self.atlas.project(self._roots(table)))
        return pd.DataFrame(_fractions(points, min_fraction), table.index, table.columns)

    def sample(self, n: int, seed: int = 0, min_fraction: float = MINIMUM) -> pd.DataFrame:
        """Draw alloys of the manifold, (n, E); fractions below `min_fraction` are dropped."""
        points = np.asarray(self.atlas.sample(n, seed))
        return pd.DataFrame(_fractions(points, min_fraction), columns=pd.Index(self.elements))

    def plot(self, alloys: AlloyDataset | Alloys, ax: Axes | None = None) -> Axes:
        """Draw alloys on a map, by the family whose chart is most responsible for them.

        Parameters
        ----------
        alloys : AlloyDataset, DataFrame or formulas
        ax : Axes, optional
        """
        from pyro_hea import plots

        table = self._table(alloys)
        return plots.alloy_families(table, [*self.families(alloys)], ax)

    # Inverse design.

    def design(
        self,
        vae: DisentangledVAE,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        n: int = 20,
        seed: int = 0,
        steps: int = 40,
        min_probability: float | None = None,
    ) -> DesignResult:
        """Alloys of the manifold whose wishes hold, by descent of −κ log Q(y* | φ(x)).

        It starts at known alloys, those first that come nearest to satisfying the constraints.

        Parameters
        ----------
        vae : DisentangledVAE
            Predicts the targets.
        targets : mapping of target to wish
        constraints : sequence of Constraint
            All hold exactly on each alloy returned.
        n : int
        seed : int
        steps : int
            Of the descent.
        min_probability : float, optional
            As of `DisentangledVAE.design`.

        Returns
        -------
        DesignResult
            The most probable first.

        Raises
        ------
        ConstraintError
            Where no descent ends at an alloy that satisfies every constraint.
        """
        check_count(n, seed)
        problem = Problem.of(vae.ensemble, targets, constraints, min_elements=None)
        found, attributes = self._descended(problem, smooth_cost(problem), n, seed, steps)
        order = np.argsort(-problem.probability(found).mean(0), kind="stable")[:n]
        return likely_enough(gather(problem, found[order], attributes), min_probability)

    def match(
        self,
        vae: DisentangledVAE,
        features: Mapping[str, tuple[float, float]],
        constraints: Sequence[Constraint] = (),
        *,
        n: int = 20,
        seed: int = 0,
        steps: int = 40,
    ) -> DesignResult:
        """Alloys of the manifold with measured features.

        Parameters
        ----------
        vae : DisentangledVAE
            Its element tables give the features, and it predicts what the alloys are.
        features : mapping of feature to (value, standard deviation)
        constraints : sequence of Constraint
        n, seed, steps
            As of `design`.

        Returns
        -------
        DesignResult
            The nearest in features first, which stand in the table. The alloys differ as far as the
            features leave open.

        Raises
        ------
        ConstraintError

        Warns
        -----
        EstimateWarning
            Where no match is near the features.
        """
        check_count(n, seed)
        features = _checked(features)
        problem = Problem.of(vae.ensemble, {}, constraints, with_wishes=False)
        cost = smooth_cost(problem, features)
        found, attributes = self._descended(problem, cost, n, seed, steps)
        have = features_of(found, vae.ensemble, tuple(features))
        value, sd = np.array([*features.values()], float).T
        off = np.abs((have.to_numpy() - value) / sd).max(1)
        order = np.argsort(off, kind="stable")[:n]
        warn_if_off(float(off.min()), "the measured features")
        result = gather(problem, found[order], attributes, best_first=False)
        table = result.table.assign(**{name: have[name].to_numpy()[order] for name in features})
        table.attrs = result.table.attrs
        return replace(result, table=table)

    def posterior(
        self,
        vae: DisentangledVAE,
        features: Mapping[str, tuple[float, float]],
        *,
        min_fraction: float = MINIMUM,
        draws: int = 250,
        chains: int = 4,
        particles: int = 500,
        seed: int = 0,
    ) -> az.InferenceData:
        """Draw alloys given measured features, each with a normal error.

        The prior is that of `sample`, whose alloys hold more elements than people would use:
        `match` gives alloys near known ones.

        Parameters
        ----------
        vae : DisentangledVAE
            Its element tables give the features.
        features : mapping of feature to (value, standard deviation)
        min_fraction : float
            Elements below this fraction are dropped, before features are computed too.
        draws, chains : int
            Chains are independent populations.
        particles : int
            Of each chart, in each chain.
        seed : int

        Returns
        -------
        InferenceData
            `posterior` with `composition`, the `features` of it, and the `chart`; `sample_stats`
            with `lp`, the log likelihood; `observed_data` and `constant_data` with the values and
            their standard deviations.

        Raises
        ------
        ConstraintError
            For a feature without a value and a standard deviation.

        Warns
        -----
        EstimateWarning
            Where no alloy that is drawn has the features.
        """
        features = _checked(features)
        tables = vae.ensemble.tables
        own = FeatureMap([*features], tables, self.elements)
        value, sd = torch.tensor([*features.values()], dtype=torch.double).unbind(-1)

        def of(points: Tensor) -> tuple[NDArray[np.float64], Tensor]:
            alloys = _fractions(points.flatten(0, -2).numpy(), min_fraction)
            return alloys, own(torch.tensor(alloys))

        def log_likelihood(points: Tensor) -> Tensor:
            return torch.distributions.Normal(value, sd).log_prob(of(points)[1]).sum(-1)

        drawn = posterior_chains(
            self.atlas.model, log_likelihood, None, draws, chains, particles, seed
        )
        alloys, have = of(drawn["x"])
        warn_if_off(float(((have - value) / sd).abs().amax(-1).min()), "the measured features")
        shape = drawn["chart"].shape
        return to_inference_data(
            {
                "posterior": {
                    "composition": alloys.reshape(*shape, -1),
                    "features": have.view(*shape, -1).numpy(),
                    "chart": drawn["chart"].numpy(),
                },
                "sample_stats": {"lp": drawn["lp"].numpy()},
            },
            observed={"features": value.numpy()},
            constant={"standard_deviation": sd.numpy()},
            dims={"composition": ["element"], "features": ["feature"], "chart": []},
            data_dims={"features": ["feature"], "standard_deviation": ["feature"]},
            default_dims=["feature"],
            coords={"element": list(self.elements), "feature": [*features]},
            attributes={"model": "AlloyAtlas", "draws_are_of": "tempered particles", "seed": seed},
        )

    def _descended(
        self,
        problem: Problem,
        cost: Callable[[Tensor], Tensor],
        n: int,
        seed: int,
        steps: int,
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Distinct rounded compositions (M, E) at the ends of descents, and how they were found."""
        ensemble = problem.ensemble
        columns = [self._column(element) for element in ensemble.elements]

        def objective(points: Tensor) -> Tensor:
            return cost(_normalised(points)[:, columns])

        known = ensemble.known.to_numpy(float)
        order = np.random.default_rng(seed).permutation(len(known))
        order = order[np.argsort(problem.cost(known[order]), kind="stable")]
        start = self._roots(self._table(ensemble.known.iloc[order[: _STARTS * n]]))
        descent = self.atlas.minimize(objective, start, steps)
        ends = _fractions(np.asarray(descent.points), 0.0)[:, columns]
        alloys, possible = round_compositions(
            ends, problem.region, problem.step, problem.min_fraction
        )
        alloys = alloys[possible]
        alloys = alloys[problem.satisfied(alloys)]
        attributes = {
            "inference": "atlas",
            "seed": seed,
            "candidates": len(ends),
            "discarded": 1 - len(alloys) / len(ends),
        }
        if not len(alloys):
            raise ConstraintError(
                f"none of {_STARTS * n} descents on the atlas ends at an alloy that satisfies "
                "every constraint: loosen them, or ask for more alloys"
            )
        return alloys[first_of_each(alloys)], attributes

    # Files.

    def save(self, directory: str | Path) -> None:
        """Write weights and manifest into a folder."""
        self.atlas.save(directory)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read a saved atlas, after checking that it is whole and fits this release.

        Raises
        ------
        MissingFileError, CheckpointError
        """
        atlas = Atlas.load(directory)
        others = [name for name in atlas.columns if name not in SYMBOLS]
        if others:
            raise CheckpointError(
                f"'{directory}' is an atlas of points with {listing(others, 4)}, not of alloys: "
                "read it with Atlas.load"
            )
        loaded = cls.__new__(cls)
        loaded.atlas = atlas
        return loaded

    # Helpers.

    def _column(self, element: str) -> int:
        if element not in self.elements:
            raise UnknownElementError(
                f"the model knows {element}, which no alloy of this atlas holds: fit both on the "
                "same alloys"
            )
        return self.elements.index(element)

    def _table(self, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
        table = as_fractions(alloys)
        for element in table.columns.difference(list(self.elements)):
            if (table[element] > 0).any():
                raise UnknownElementError(f"no alloy of this atlas holds {element}")
        return table.reindex(columns=list(self.elements), fill_value=0.0)

    def _roots(self, table: pd.DataFrame) -> NDArray[np.float64]:
        return np.sqrt(table.to_numpy(float))


def _checked(features: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Features with finite numbers as their values and standard deviations."""
    if not isinstance(features, Mapping) or not features:
        raise ConstraintError("it needs a feature, as in {'mixing_enthalpy': (-10, 1)}")
    checked = {}
    for name, value in features.items():
        try:
            mean, sd = map(float, value)
        except (TypeError, ValueError):
            mean = sd = np.nan
        if not (np.isfinite(mean) and 0 < sd < np.inf):
            raise ConstraintError(
                f"'{name}' is to be (value, standard deviation), as (8.1, 0.1), not {value!r}"
            )
        checked[name] = (mean, sd)
    return checked


def _families(
    roots: NDArray[np.float64], spec: AtlasSpec, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Elements of each family (K, s), and rows of the alloys nearest to its centre (K, m).

    Families hold different numbers of elements; the smaller ones get the most common others.
    """
    from sklearn.cluster import KMeans

    found = KMeans(spec.charts, n_init=4, random_state=seed).fit(roots)
    common = (roots > 0).mean(0)
    count = np.stack([(roots[found.labels_ == k] > 0).sum(0) for k in range(spec.charts)])
    width = int((count > 0).sum(1).max())
    supports = np.argsort(-(count + common), axis=1, kind="stable")[:, :width]
    near = np.argsort(found.transform(roots), axis=0, kind="stable")
    return np.sort(supports, axis=1), near[: spec.seeding.neighbours].T.copy()


def _normalised(points: Tensor) -> Tensor:
    """Fractions (N, E) at square roots, which descent may leave the sphere with."""
    squares = points.clamp_min(0.0).square()
    return squares / squares.sum(-1, keepdim=True).clamp_min(1e-12)


def _fractions(points: NDArray[np.float64], min_fraction: float) -> NDArray[np.float64]:
    """Fractions of at least `min_fraction`, (N, E)."""
    if not 0 <= min_fraction < 1:
        raise DataError(f"min_fraction={min_fraction} is not allowed; it is a fraction below 1")
    made = _normalised(torch.tensor(points)).numpy()
    made = np.where(made < np.minimum(min_fraction, made.max(1, keepdims=True)), 0.0, made)
    return np.asarray(made / made.sum(1, keepdims=True))
