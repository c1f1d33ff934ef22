"""The game of coalitions behind the attributions, and the shap library that plays it.

What a coalition is worth to a member is the probability that it gives to the alloy with the other
features replaced by those of background alloys, averaged over them (the interventional game of
Lundberg and Lee, A Unified Approach to Interpreting Model Predictions, 2017).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch

from pyro_hea.errors import missing_extra
from pyro_hea.explain._members import Floats

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

    from pyro_hea.vae import DisentangledVAE

EXACT = 10
"""Players up to which every coalition is asked."""

_ORDERS = 4
"""Random orders of more players, each of them also in reverse."""

_ROWS = 1024
"""Alloys evaluated at a time: few enough for what they become to stay in the cache."""


class Game:
    """Coalitions of one alloy's features, and what they are worth to each member.

    The first layer of a head is a sum over the embedded features, so its share of each player is
    worked out once, and a coalition picks shares instead of features.
    """

    def __init__(
        self,
        vae: DisentangledVAE,
        target: str,
        features: pd.DataFrame,
        background: Tensor,
        groups: dict[str, tuple[str, ...]],
    ) -> None:
        self.target, self.features, self.groups = target, features, groups
        self._embedding = vae.ensemble.model.embedding
        self._first, *rest = cast("Sequence[Any]", vae.ensemble.model.heads[target])
        self._rest = torch.nn.Sequential(*rest)
        columns = self._embedding.outputs // features.shape[1]
        own = [[float(f in members) for f in features] for members in groups.values()]
        self._of_player = torch.tensor(own).repeat_interleave(columns, 1).to(background)
        with torch.no_grad():
            self._absent = self._shares(background)

    def _shares(self, x: Tensor) -> Tensor:
        """What each player gives to the first layer, (K, N, players, H)."""
        embedded = self._embedding(x)[:, None] * self._of_player
        return torch.einsum("npf,kfh->knph", embedded, self._first.weight)

    @torch.no_grad()
    def __call__(self, rows: Floats) -> Floats:
        """Worth of coalitions of one alloy to every member, (R, K).

        Parameters
        ----------
        rows : array, shape (R, players + F)
            The mask of each coalition beside the features, which are those of one alloy.
        """
        players = len(self.groups)
        masks = torch.tensor(rows[:, :players]).to(self._absent)
        x = torch.tensor(rows[:1, players:]).to(self._absent)
        gained = self._shares(x) - self._absent
        nobody = self._absent.sum(-2, keepdim=True) + self._first.bias[:, None]
        worth = []
        for part in masks.split(max(1, _ROWS // self._absent.shape[1])):
            hidden = torch.matmul(part, gained).add_(nobody)
            logits = self._rest(hidden.flatten(1, 2))[..., 0]
            worth.append(logits.sigmoid().unflatten(1, hidden.shape[1:3]).mean(1).T)
        return torch.cat(worth).double().cpu().numpy()

    def play(self, *, interactions: bool, seed: int) -> tuple[Floats, Floats]:
        """Values (N, players, K), or (N, players, players, K), and the base (K,)."""
        shap, players = _shap(), len(self.groups)
        masker, rows = _Coalition(players, self.features.shape[1]), self.features.to_numpy(float)
        with _numpy_state():
            if players <= EXACT:
                explainer = shap.explainers.Exact(self, masker)
                # True asks for pairs; 1, which equals it, for single players
                asked = {"interactions": True if interactions else 1}
            else:
                explainer = shap.explainers.Permutation(self, masker, seed=seed)
                asked = {"max_evals": _ORDERS * (2 * players + 1)}
            found = explainer(rows, silent=True, batch_size=2**EXACT, **asked)
        # shap drops axes of one member, and joins those of a pair
        axes = (len(rows), *[players] * (1 + interactions), len(self._absent))
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
    """Keep NumPy's global random state, which shap seeds."""
    state = np.random.get_state()  # noqa: NPY002 - the global state is what shap seeds
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002 - and what is put back


def _shap() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its colour maps, in newer releases of matplotlib
            import shap
    except ImportError as error:
        raise missing_extra("shap", "explain") from error
    return shap
