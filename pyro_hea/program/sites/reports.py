"""Labels as reports that may be wrong: a noise channel for each source (Dawid and Skene, 1979)."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_hea.spec import Reports

_LOG_COUNT_SCALE = 50.0
"""Factor on the log counts: they grow from tens to hundreds at the learning rate of weights."""


class Reliability(nn.Module):
    """How often each of S sources reports each of C classes for each true class.

    The site `<target>_reliability` holds one row of probabilities for each source and true class;
    prior and guide are Dirichlet.

    Parameters
    ----------
    name : str
        Of the target.
    declared : Reports
    sources : tuple of str
    classes : int
    members : int
    """

    prior: Tensor

    def __init__(
        self, name: str, declared: Reports, sources: tuple[str, ...], classes: int, members: int
    ) -> None:
        super().__init__()
        self.site, self.reports_site = f"{name}_reliability", f"{name}_reports"
        right = torch.tensor([declared.of(source).right for source in sources])
        wrong = torch.tensor([declared.of(source).wrong for source in sources]) / (classes - 1)
        true = torch.eye(classes)
        rows = right.view(-1, 1, 1) * true + wrong.view(-1, 1, 1) * (1 - true)
        self.register_buffer("prior", rows, persistent=False)  # (S, C, C)
        self.raw = nn.Parameter(torch.zeros(members, 1, *rows.shape))

    @property
    def concentration(self) -> Tensor:
        """Of the guide's Dirichlet, (K, 1, S, C, C)."""
        return self.prior * (_LOG_COUNT_SCALE * self.raw).exp()

    @property
    def mean(self) -> Tensor:
        """Mean of the guide's Dirichlet, (K, 1, S, C, C)."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    def sample_prior(self) -> Tensor:
        """Reliabilities, (K, 1, S, C, C)."""
        return pyro.sample(self.site, dist.Dirichlet(self.prior).to_event(2))

    def sample_guide(self) -> Tensor:
        """Reliabilities from the guide."""
        return pyro.sample(self.site, dist.Dirichlet(self.concentration).to_event(2))

    def judges(self, half: Tensor) -> Tensor:
        """Alloys by which each member estimates reliabilities, (K, N); see `AlloyBatch`."""
        return half == (torch.arange(len(self.raw), device=half.device) % 2 == 1).unsqueeze(-1)

    def log_evidence(self, reliability: Tensor, counts: Tensor) -> Tensor:
        """Log probability of an alloy's reports for each true class, (..., K, N, C).

        Parameters
        ----------
        reliability : Tensor, shape (..., K, 1, S, C, C)
        counts : Tensor, shape (N, S, C)
            Reports of each class by each source.
        """
        return torch.einsum("...stc,...sc->...t", reliability.clamp_min(1e-12).log(), counts)
