"""Interpolations between two alloys: what they pass, what they keep, how straight they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.errors import DataError
from pyro_hea.explain.traversals import Traversal
from pyro_hea.posterior import predict
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.explain.separable.member_latent import Encoded
    from pyro_hea.explain.separable.separable import SeparableLatent
    from pyro_hea.materials.alloys.amounts import Alloy

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Interpolation(Traversal):
    """Alloys on the straight line in u between two alloys.

    Attributes
    ----------
    clusters : Series
        Cluster of each by position; "none" where it is in none.
    smoothness : float
        Distance of the ends over the sum of the steps, in atoms that differ: 1 is straight.
    plain_smoothness : float
        The same of the straight line in the latent of the model.
    keeps : float
        Share of the alloys between the ends that are in the cluster of both ends; NaN where the
        ends are in different clusters.
    """

    clusters: pd.Series
    smoothness: float
    plain_smoothness: float
    keeps: float

    def __repr__(self) -> str:
        kept = "" if np.isnan(self.keeps) else f", {self.keeps:.0%} in the cluster of both ends"
        return (
            f"Interpolation({len(self.z)} alloys along {self.along}: smoothness "
            f"{self.smoothness:.2f}, in the latent of the model {self.plain_smoothness:.2f}{kept})"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the alloys as bars, each with its cluster."""
        from pyro_hea import plots

        return plots.interpolation_strips(self.fractions, list(self.clusters), ax)


@dataclass(frozen=True, eq=False)
class Walks:
    """Many interpolations at once.

    Attributes
    ----------
    fractions : array, shape (P, S, E)
        Decoded alloys of P pairs.
    clusters : array of int, shape (P, S)
    """

    fractions: Floats
    clusters: NDArray[np.int64]

    @property
    def smoothness(self) -> Floats:
        """Of each pair, (P,); 1 for ends that are the same."""
        steps = np.abs(np.diff(self.fractions, axis=1)).sum(-1).sum(1)
        ends = np.abs(self.fractions[:, -1] - self.fractions[:, 0]).sum(-1)
        return np.asarray(np.where(steps > 0, ends / np.where(steps > 0, steps, 1.0), 1.0))

    @property
    def keeps(self) -> Floats:
        """Share of the alloys between that are in the cluster of both ends, (P,); NaN without."""
        first, last = self.clusters[:, 0], self.clusters[:, -1]
        kept = (self.clusters[:, 1:-1] == first[:, None]).mean(1)
        return np.where((first == last) & (first >= 0), kept, np.nan)


def interpolate(separable: SeparableLatent, a: Alloy, b: Alloy, steps: int) -> Interpolation:
    """See `SeparableLatent.interpolate`."""
    if steps < 3:
        raise DataError(f"steps={steps} is not allowed; both ends and one between make three")
    ensemble = separable.ensemble
    ends = separable.latent.encode([a, b])
    first, last = ends.take(np.array([0])), ends.take(np.array([1]))
    found = walk(separable, first, last, steps)
    plain = walk(separable, first, last, steps, plain=True)
    position = pd.Index(np.linspace(0, 1, steps), name="position")
    share = position.to_numpy()[:, None]
    u = separable.u(ends.w).cpu().numpy()
    columns = [f"u{i}" for i in range(u.shape[1])]
    alloys = pd.DataFrame(found.fractions[0], position, list(ensemble.elements))
    return Interpolation(
        f"{ends.fractions.index[0]} → {ends.fractions.index[1]}",
        pd.DataFrame((1 - share) * u[:1] + share * u[1:], position, columns),
        alloys,
        predict(ensemble, alloys.reset_index(drop=True)).reset_index().set_axis(position),
        pd.Series([separable.name_of(c) for c in found.clusters[0]], position, name="cluster"),
        float(found.smoothness[0]),
        float(plain.smoothness[0]),
        float(found.keeps[0]),
    )


def walk(
    separable: SeparableLatent, starts: Encoded, ends: Encoded, steps: int, plain: bool = False
) -> Walks:
    """Decode straight lines between P pairs of alloys, in u or in the latent of the model.

    Classes are those of the nearer end, numbers change in proportion.
    """
    latent = separable.latent
    share = torch.linspace(0, 1, steps).to(starts.w)[None, :, None]

    def lines(a: Tensor, b: Tensor) -> Tensor:
        return ((1 - share) * a[:, None] + share * b[:, None]).flatten(0, 1)

    if plain:
        w = lines(starts.w, ends.w)
    else:
        w = separable.w(lines(separable.u(starts.w), separable.u(ends.w)))
    y = {}
    for name, first in starts.y.items():
        if isinstance(separable.ensemble.spec.target(name), Continuous):
            y[name] = lines(first[:, None], ends.y[name][:, None])[:, 0]
        else:
            near = share[..., 0] < 0.5
            y[name] = torch.where(near, first[:, None], ends.y[name][:, None]).flatten()
    alloys = latent.table(latent.decode(w, y))
    codes = separable.clusters_of(alloys.to_numpy(float))
    pairs = len(starts)
    return Walks(alloys.to_numpy(float).reshape(pairs, steps, -1), codes.reshape(pairs, steps))
