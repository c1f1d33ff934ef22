"""Cells of points by their distances along the manifold on which they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import cdist
from sklearn.neighbors import kneighbors_graph
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEIGHBOURS = 10
"""Nearest points to which a path may go on."""

_ROUNDS = 100
"""Of moving the middles, at most; some ten are the rule."""


def distances_along(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lengths of the shortest paths from point to near point, (N, N).

    Pieces that no path joins are farther apart than any two points of one piece.
    """
    count = min(_NEIGHBOURS + 1, len(points))  # with the point itself
    graph = kneighbors_graph(points, count, mode="distance", include_self=True)
    along = shortest_path(graph, directed=False)
    joined = np.isfinite(along)
    return np.asarray(np.where(joined, along, along[joined].max() + cdist(points, points)))


def middles(away: Tensor, cells: int) -> Tensor:
    """Rows of the points in the middle of each cell, by k-medoids of squared distances (N, N).

    It starts at a random point and those farthest from all before.
    """
    chosen = torch.randint(len(away), (1,))
    while len(chosen) < cells:
        chosen = torch.cat([chosen, away[chosen].amin(0).argmax(0, keepdim=True)])
    for _ in range(_ROUNDS):
        before, cell = chosen.clone(), away[chosen].argmin(0)
        for k in range(cells):
            rows = (cell == k).nonzero()[:, 0]
            if len(rows):  # of points that are the same, one middle may have all
                chosen[k] = rows[away[rows][:, rows].square().sum(1).argmin()]
        if bool((chosen == before).all()):
            break
    return chosen
