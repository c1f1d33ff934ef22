"""The coalition game of Shapley values, solved by the shap library.

The value of a coalition is the mean prediction of a member with the other features replaced by
those of background alloys (the interventional game of Lundberg and Lee, A
Unified Approach to Interpreting Model Predictions, 2017).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.random import mtrand

from pyro_hea.errors import missing_extra
from pyro_hea.explain._members import Floats

if TYPE_CHECKING:
    from types import ModuleType

    from pyro_hea.explain._quantity import Quantity
    from pyro_hea.vae import DisentangledVAE

EXACT = 10
"""Players up to which every coalition is evaluated."""

_ORDERS = 4
"""Random orders of more players, each of them also in reverse."""

_ROWS = 1024
"""Alloys evaluated at a time, so that intermediate results stay in the cache."""


class Game:
    """Coalitions of one alloy's features, and their value in each member."""

    def __init__(
        self,
        vae: DisentangledVAE,
        quantity: Quantity,
        features: pd.DataFrame,
        background: pd.DataFrame,
        groups: dict[str, tuple[str, ...]],
    ) -> None:
        self.quantity, self.features, self.groups = quantity, features, groups
        self._model = vae.ensemble.model
        edges = self._model.embedding.edges
        self._background = torch.tensor(background.to_numpy()).to(edges)
        own = [[f in members for f in features] for members in groups.values()]
        self._of_player = torch.tensor(own, device=edges.device)

    @torch.no_grad()
    def __call__(self, rows: Floats) -> Floats:
        """Value of coalitions of one alloy in every member, (R, K).

        Parameters
        ----------
        rows : array, shape (R, players + F)
            The mask of each coalition beside the features, which are those of one alloy.
        """
        players, others = len(self.groups), self._background
        masks = torch.tensor(rows[:, :players] > 0, device=others.device)
        x = torch.tensor(rows[0, players:]).to(others)
        kept = (masks[:, :, None] & self._of_player).any(1)
        values = []
        for part in kept.split(max(1, _ROWS // len(others))):
            mixed = torch.where(part[:, None], x, others).flatten(0, 1)
            predicted = self.quantity.of(self._model, mixed)
            values.append(predicted.unflatten(1, (len(part), len(others))).mean(2).T)
        return torch.cat(values).double().cpu().numpy()

    def play(self, *, interactions: bool, seed: int) -> tuple[Floats, Floats]:
        """Values (N, players, K), or (N, players, players, K), and the base (K,)."""
        shap, players = _shap(), len(self.groups)
        masker, rows = _Coalition(players, self.features.shape[1]), self.features.to_numpy(float)
        with _numpy_state():
            if players <= EXACT:
                explainer = shap.explainers.Exact(self, masker)
                # True asks for pairs; 1, which equals it, for single players
                options = {"interactions": True if interactions else 1}
            else:
                explainer = shap.explainers.Permutation(self, masker, seed=seed)
                options = {"max_evals": _ORDERS * (2 * players + 1)}
            found = explainer(rows, silent=True, batch_size=2**EXACT, **options)
        # shap drops axes of one member, and joins those of a pair
        axes = (len(rows), *[players] * (1 + interactions), self._model.members)
        base = np.reshape(found.base_values, (len(rows), -1))[0]
        return np.reshape(found.values, axes).astype(float), base.astype(float)


class _Coalition:
    """A shap masker that leaves the masking to the game: a row is the mask beside the alloy."""

    immutable_outputs = True

    def __init__(self, players: int, features: int) -> None:
        self.shape = (1, players)
        self.mask_shapes = lambda *_: [(players,)]
        self._features = features

    def __call__(self, mask: Any, x: Floats) -> tuple[Floats]:
        return (np.concatenate([mask, x])[None].astype(float),)


@contextmanager
def _numpy_state() -> Iterator[None]:
    """Give NumPy's legacy functions, which shap seeds, another generator than the caller's."""
    callers = mtrand.get_bit_generator()
    mtrand.set_bit_generator(np.random.MT19937())
    try:
        yield
    finally:
        mtrand.set_bit_generator(callers)


def _shap() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its colour maps, in newer releases of matplotlib
            import shap
    except ImportError as error:
        raise missing_extra("shap", "explain") from error
    return shap
