"""`AlloyAtlas`: the alloys that people make, as a manifold of families."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from pyro_hea.charts.alloy_designs import design_alloys
from pyro_hea.charts.alloy_features import match_features, posterior_alloys
from pyro_hea.charts.alloy_points import fractions_at, fractions_of, roots
from pyro_hea.charts.atlas import Atlas
from pyro_hea.design.problem import MINIMUM
from pyro_hea.errors import CheckpointError, DataError, listing
from pyro_hea.materials.alloys.formula import SYMBOLS
from pyro_hea.posterior.ensemble import as_fractions
from pyro_hea.spec import AtlasSpec
from pyro_hea.trained import asks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset


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
        points = roots(table)
        spec = self.atlas.spec
        if len(points) < spec.charts:
            raise DataError(
                f"{len(points)} alloys are fewer than the {spec.charts} charts that they would be "
                "shared out to: give more alloys, or lower charts"
            )
        supports, seeds = _families(points, spec, seed)
        self.atlas.fit(
            pd.DataFrame(points, columns=table.columns),
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
        gamma = np.asarray(self.atlas.responsibilities(roots(table)))
        return pd.Series(gamma.argmax(1), table.index, name="chart")

    def project(self, alloys: AlloyDataset | Alloys, min_fraction: float = MINIMUM) -> pd.DataFrame:
        """Fractions of the alloys of the manifold near those given, (N, E).

        Elements below `min_fraction` are dropped, but for the one there is most of.
        """
        table = self._table(alloys)
        points = np.asarray(self.atlas.project(roots(table)))
        return pd.DataFrame(fractions_at(points, min_fraction), table.index, table.columns)

    def sample(self, n: int, seed: int = 0, min_fraction: float = MINIMUM) -> pd.DataFrame:
        """Draw alloys of the manifold, (n, E); fractions below `min_fraction` are dropped."""
        points = np.asarray(self.atlas.sample(n, seed))
        return pd.DataFrame(fractions_at(points, min_fraction), columns=pd.Index(self.elements))

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

    design = asks(design_alloys, of="atlas")
    match = asks(match_features, of="atlas")
    posterior = asks(posterior_alloys, of="atlas")

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

    def _table(self, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
        return fractions_of(alloys, self.elements)


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
