"""A surrogate: a small network that predicts roughly what the ensemble says of a composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pyro_hea.devices import seeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.problem import Problem

_BEST = 0.01
"""Share of the compositions of which the surrogate may lose next to none."""

RECALL = 0.995
"""Share of the best percent of a sample that the surrogate is set to let through."""

_STEPS = 500

_MARGIN = 0.1
"""Nats by which the threshold is below what the sample asks for."""


class Surrogate(nn.Module):
    """From a composition to the log odds that the ensemble would give it, roughly.

    It reads the fractions, which elements are present, and what matrix products give of the
    element and pair tables: means, variances, the enthalpy and the entropy of mixing.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        region, tables = problem.region, problem.ensemble.tables
        self.columns = torch.tensor(np.flatnonzero(region.upper > 0))
        elements = [region.elements[i] for i in self.columns]
        table = tables.properties.loc[elements].to_numpy(float)
        spread = table.std(0)
        self.properties = torch.tensor((table - table.mean(0)) / np.where(spread > 0, spread, 1))
        self.properties = self.properties.float()
        pairs = tables.mixing_enthalpy.loc[elements, elements].to_numpy(float)
        self.pairs = torch.tensor(pairs / 10).float()
        width = 2 * len(elements) + 2 * self.properties.shape[1] + 2
        self.net = nn.Sequential(
            nn.Linear(width, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 1)
        )
        self.threshold, self.recall = -np.inf, 1.0

    def forward(self, fractions: Tensor) -> Tensor:
        """Log odds of compositions (N, E), (N,)."""
        x = fractions[:, self.columns].float()
        mean = x @ self.properties
        variance = x @ self.properties.square() - mean.square()
        enthalpy = 2 * ((x @ self.pairs) * x).sum(1, keepdim=True)
        entropy = -torch.special.xlogy(x, x).sum(1, keepdim=True)
        inputs = [4 * x, (x > 0).float(), mean, variance, enthalpy, entropy]
        return self.net(torch.cat(inputs, 1))[:, 0]

    @torch.no_grad()
    def promising(self, fractions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which compositions the whole ensemble should see."""
        return np.asarray(self(torch.tensor(fractions)).numpy() >= self.threshold)

    @classmethod
    def of(
        cls, problem: Problem, weights: Mapping[str, Tensor], threshold: float, recall: float
    ) -> Surrogate:
        """With the weights, the threshold and the recall that another one learnt."""
        with seeded(0):  # the weights that it draws are replaced
            surrogate = cls(problem)
        surrogate.load_state_dict(weights)
        surrogate.threshold, surrogate.recall = threshold, recall
        return surrogate.requires_grad_(False)

    @classmethod
    def fit(cls, problem: Problem, sample: NDArray[np.float64], seed: int) -> Surrogate:
        """Learn from the first half of a sample; set the threshold on the second."""
        q = torch.tensor(problem.probability(sample).mean(0))
        # only the upper half of the probabilities has to be ordered
        x, odds = torch.tensor(sample).float(), torch.logit(q.clamp(0.1, 1 - 1e-4)).float()
        half = len(x) // 2
        with seeded(seed):
            surrogate = cls(problem)
            optimizer = torch.optim.AdamW(surrogate.parameters(), weight_decay=1e-3)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=_STEPS)
            for _ in range(_STEPS):
                rows = torch.randint(half, (1024,))
                loss = (surrogate(x[rows]) - odds[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        surrogate.requires_grad_(False)
        kept = torch.tensor(problem.satisfied(sample[half:]))
        true, guess = q[half:][kept], surrogate(x[half:][kept])
        if len(true):
            best = guess[true.topk(max(1, round(_BEST * len(true)))).indices].sort().values
            surrogate.threshold = float(best[int((1 - RECALL) * len(best))]) - _MARGIN
            surrogate.recall = float((best >= surrogate.threshold).double().mean())
        return surrogate
