"""How far an alloy is from the training alloys, and how much of the prior that puts in its answer.

An alloy of elements that no training alloy holds is predicted from its features. How good that is
was measured by leaving elements out of training (protocol `unseen`): the ensemble ranks such alloys
well and is somewhat too sure of them, the more so the farther their features are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

PRIOR_WEIGHT = 0.05
"""Share of the prior in the answer of an alloy that is far from all training alloys.

Of the weights tried it has the least log loss in the protocol `unseen`, each element counted once,
and does so whichever element is left out of the choice.
"""

_ROWS = 4096


def prior_share(distance: NDArray[np.float64], weight: float = PRIOR_WEIGHT) -> NDArray[np.float64]:
    """Share of the prior in an answer, by distance: w d / (1 + d).

    Examples
    --------
    >>> prior_share(np.array([0.0, 1.0, np.inf])).round(3)
    array([0.   , 0.025, 0.05 ])
    """
    with np.errstate(divide="ignore"):
        return np.asarray(weight / (1 + 1 / distance))


def feature_distance(
    features: NDArray[np.float64], known: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance to the nearest training alloy, in standard deviations of the training alloys.

    Parameters
    ----------
    features : ndarray, shape (N, F)
    known : ndarray, shape (M, F)
        Of the training alloys. Features that do not vary among them are left out.

    Returns
    -------
    ndarray, shape (N,)
        Euclidean, over standardised features.

    Examples
    --------
    >>> feature_distance(np.array([[3.0, 9.0]]), np.array([[-1.0, 5.0], [1.0, 5.0]]))
    array([2.])
    """
    scale = known.std(0)
    varies = scale > 0
    ours, theirs = (
        torch.from_numpy(np.ascontiguousarray(table[:, varies] / scale[varies]))
        for table in (features, known)
    )
    nearest = [torch.cdist(part, theirs).amin(1) for part in ours.split(_ROWS)]
    return torch.cat(nearest).numpy()
