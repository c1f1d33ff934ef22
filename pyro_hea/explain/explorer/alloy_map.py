"""Alloys on a map of latent components or features, decoded under the cursor; no widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, nearest
from pyro_hea.explain.explorer.decoding import decode_alloys
from pyro_hea.explain.explorer.map_parts import COMPONENTS, nearest_rows, principal_axes
from pyro_hea.explain.explorer.target_display import colour_columns
from pyro_hea.posterior import encode, predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble

    Floats = NDArray[np.float64]

_NEIGHBOURS = 3


@dataclass(frozen=True, eq=False)
class Selection:
    """The alloys under the cursor: the nearest one of the data, and the decoded one.

    Attributes
    ----------
    alloy : str
        Formula of the alloy of the data that lies nearest on the map.
    labels : Series
        Its labels.
    alloy_prediction : Series
        What is predicted of it.
    fractions : DataFrame, shape (1, E)
        The decoded alloy by formula, rounded to a tenth of an at.%.
    prediction : DataFrame, shape (1, ...)
        What is predicted of the decoded alloy.
    known : DataFrame
        The alloys of the data nearest to the decoded one: `distance` (total variation) and their
        labels.
    origin : str
        Description of the latent that it was decoded from.
    """

    alloy: str
    labels: pd.Series
    alloy_prediction: pd.Series
    fractions: pd.DataFrame
    prediction: pd.DataFrame
    known: pd.DataFrame
    origin: str


class AlloyMap:
    """Alloys in a plane of latent components or features, in one member.

    Parameters
    ----------
    ensemble : Ensemble
    data : AlloyDataset
        Of the training elements.
    member : int
    """

    def __init__(self, ensemble: Ensemble, data: AlloyDataset, member: int) -> None:
        self.ensemble, self.data, self.member = ensemble, data, member
        self.fractions = ensemble.fractions(data)
        self._z = encode(ensemble, data, member).to_numpy(float)
        self._axes = principal_axes(self._z)
        scores = (self._z - self._z.mean(0)) @ self._axes.T
        self.coordinates = pd.concat(
            [pd.DataFrame(scores, data.fractions.index, list(COMPONENTS)), data.features], axis=1
        )
        self.predictions = predict(ensemble, data)

    def colours(self) -> dict[str, pd.Series]:
        """What the alloys can be coloured by: labels, predictions and their uncertainty."""
        columns: dict[str, pd.Series] = {}
        for target in self.ensemble.spec.targets:
            columns |= colour_columns(target, self.labels(target.name), self.predictions)
        return columns

    def labels(self, target: str) -> pd.Series | None:
        """Labels of a target, (N,), NaN where there is none; None where there are none at all."""
        return self.data.labels.get(target)

    def values(self, target: str) -> pd.Series:
        """Labels of a target, or what is predicted where no alloy has one."""
        labels = self.labels(target)
        if labels is None or labels.isna().all():
            return self.predictions[target]
        return labels.dropna()

    def latents(self, x: str, y: str, points: Floats) -> Floats:
        """Points of z under places of the map, (S, d).

        The nearest alloy's z, moved along the components that are shown; what the map does not
        show is that alloy's own.

        Parameters
        ----------
        x, y : str
            Coordinates of the map.
        points : array, shape (S, 2)
        """
        near = self._nearest_on_map(x, y, points)
        shown = self.coordinates[[x, y]].to_numpy(float)
        z = self._z[near].copy()
        for column, name in enumerate((x, y)):
            if name in COMPONENTS:
                axis = self._axes[COMPONENTS.index(name)]
                z += (points[:, column] - shown[near, column])[:, None] * axis
        return z

    def alloys(
        self, x: str, y: str, points: Floats, targets: Mapping[str, float]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Decoded alloys under places of the map, with their predictions."""
        z = self.latents(x, y, points)
        fractions = decode_alloys(self.ensemble, z, targets, self.member)
        return fractions, predict(self.ensemble, fractions)

    def at(self, x: str, y: str, point: Floats, targets: Mapping[str, float]) -> Selection:
        """The alloy under one place of the map.

        Parameters
        ----------
        x, y : str
            Coordinates of the map.
        point : array, shape (2,)
        targets : mapping of target to value
            With which it is decoded.

        Returns
        -------
        Selection
        """
        points = np.reshape(point, (1, 2))
        fractions, prediction = self.alloys(x, y, points, targets)
        row = int(self._nearest_on_map(x, y, points)[0])
        origin = "its latent"
        if moved := [name for name in (x, y) if name in COMPONENTS]:
            origin += f", moved along {' and '.join(moved)}"
        return Selection(
            str(self.fractions.index[row]),
            self.data.labels.iloc[row],
            self.predictions.iloc[row],
            fractions,
            prediction,
            self._nearest_known(fractions.to_numpy()[0]),
            origin,
        )

    def _nearest_on_map(self, x: str, y: str, points: Floats) -> NDArray[np.intp]:
        """Row of the alloy that lies nearest on the map, (S,)."""
        shown = self.coordinates[[self.check_coordinate(x), self.check_coordinate(y)]].to_numpy(
            float
        )
        return nearest_rows(shown, points)

    def _nearest_known(self, fractions: Floats) -> pd.DataFrame:
        distance = np.abs(self.fractions.to_numpy() - fractions).sum(1) / 2
        rows = np.argsort(distance, kind="stable")[:_NEIGHBOURS]
        table = self.data.labels.iloc[rows].copy()
        table.insert(0, "distance", distance[rows])
        return table

    def check_coordinate(self, name: str) -> str:
        """A coordinate's name; an error where there is none of that name."""
        if name not in self.coordinates:
            raise DataError(
                f"'{name}' is no coordinate of a map."
                f"{nearest(name, map(str, self.coordinates))} Use "
                f"{' or '.join(map(repr, COMPONENTS))} or a feature"
            )
        return name
