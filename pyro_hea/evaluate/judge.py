"""The judge of designed alloys: trees on features and elements, which never meet the VAE.

Examples
--------
>>> from pyro_hea.materials.alloys.composition import fraction_table
>>> embedded_judge().predict(fraction_table(["CoCrFeMnNi", "AlCoCrCuFeNiTi"])) > 0.5
array([ True, False])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import PUBLISHED_SOURCE, load_alloys
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import RICH_FEATURES, FeatureMap

# The judge stays as it was defined, whatever a model reads.
_FEATURES = tuple(name for name in RICH_FEATURES if not name.endswith("_largest_fraction"))


@dataclass(frozen=True, eq=False, repr=False)
class Judge:
    """Mean probability of three tree ensembles.

    They are two of extra trees and one of boosted trees, on the rich features but the second to
    fifth largest fraction (published element and pair tables), joined with the square roots of
    the fractions.

    Attributes
    ----------
    feature_map : FeatureMap
        Of the 30 published elements.
    members : tuple of fitted scikit-learn classifiers
    """

    feature_map: FeatureMap
    members: tuple[Any, ...]

    @classmethod
    def fit(cls, fractions: pd.DataFrame, labels: ArrayLike) -> Judge:
        """Fit the three ensembles.

        Parameters
        ----------
        fractions : DataFrame, shape (N, E)
            One row per report; columns are element symbols.
        labels : array_like of {0, 1}, shape (N,)
            Whether a single phase was reported.

        Returns
        -------
        Judge

        Raises
        ------
        UnknownElementError
            For an alloy with an element outside the 30 published ones.
        DataError
            For labels that are not one 0 or 1 for each alloy, or all the same.
        """
        y = np.asarray(labels)
        if y.shape != (len(fractions),) or set(y.tolist()) != {0, 1}:
            raise DataError(
                f"The judge needs a label, 0 or 1 and some of each, for each of "
                f"{len(fractions)} alloys; got {y.shape} of {sorted(set(y.tolist()))[:5]}."
            )
        tables = load_tables("published")
        judge = cls(
            FeatureMap(_FEATURES, tables, tables.elements),
            (
                ExtraTreesClassifier(400, min_samples_leaf=2, random_state=0),
                ExtraTreesClassifier(400, min_samples_leaf=2, random_state=1),
                HistGradientBoostingClassifier(learning_rate=0.06, max_iter=200, random_state=0),
            ),
        )
        x = judge._inputs(fractions)
        for member in judge.members:
            member.fit(x, y.astype(int))
        return judge

    @property
    def elements(self) -> Sequence[str]:
        """The elements that it can judge."""
        return self.feature_map.elements

    def predict(self, fractions: pd.DataFrame) -> NDArray[np.float64]:
        """Judge alloys.

        Parameters
        ----------
        fractions : DataFrame, shape (N, any)
            Columns are element symbols in any order; an element without a column is absent.

        Returns
        -------
        array, shape (N,)
            Probability of a single phase; the judge calls it single phase above 0.5.

        Raises
        ------
        UnknownElementError
            For an alloy with an element outside the 30 published ones.
        FormulaError
            For a row that is no composition.

        Examples
        --------
        >>> judge = embedded_judge()
        >>> bool(judge.predict(pd.DataFrame({"Ni": [0.5], "Cu": [0.5]}))[0] > 0.9)
        True
        """
        if fractions.empty:
            return np.empty(0)
        x = self._inputs(fractions)
        members = [member.predict_proba(x)[:, 1] for member in self.members]
        return np.asarray(np.mean(members, axis=0), dtype=np.float64)

    def __repr__(self) -> str:
        return f"Judge({len(self.members)} tree ensembles, {len(self.elements)} elements)"

    def _inputs(self, fractions: pd.DataFrame) -> NDArray[np.float64]:
        # the name of the index spares a spelling of every alloy
        table = fraction_table(fractions.rename_axis(index="formula"), self.elements).to_numpy()
        return np.hstack([self.feature_map(torch.tensor(table)).numpy(), np.sqrt(table)])


@cache
def embedded_judge() -> Judge:
    """Fit the judge on the 1373 embedded phase reports of arXiv:2409.06740.

    Returns
    -------
    Judge
        The same object at each call; the first takes a few seconds.

    Examples
    --------
    >>> embedded_judge()
    Judge(3 tree ensembles, 30 elements)
    """
    reports = load_alloys([PUBLISHED_SOURCE]).reports
    return Judge.fit(fraction_table(reports["reported_formula"]), reports["value"])
