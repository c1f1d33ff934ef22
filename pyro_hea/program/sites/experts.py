"""Expert priors of a binary target: log odds that are a function of the features."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import biject_to
from torch.nn.functional import softplus

from pyro_hea.spec import Logistic, Rule

_DRAWS = 1001
"""Draws from which the median of a prior is taken, where its guide starts, and its predictions."""

_ROWS = 4096
"""Alloys predicted at a time."""

_SMALLEST_PROBABILITY = 1e-6
"""What no draw says is not impossible."""


class Expert(nn.Module):
    """Log odds of a target from the features, p(y | features, W).

    The coefficients W of a logistic prior are sites of the program, each with a guide that is
    normal on the unbounded scale of its prior's support; a rule has none.

    Parameters
    ----------
    name : str
        Of the target.
    prior : Rule or Logistic
    columns : tuple of str
        Names of the features that the model reads.
    centre, spread : Tensor, shape (F,)
        Mean and standard deviation of the features over the training alloys.
    members : int
    """

    at: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        name: str,
        prior: Rule | Logistic,
        columns: tuple[str, ...],
        centre: Tensor,
        spread: Tensor,
        members: int,
    ) -> None:
        super().__init__()
        self.declared = prior
        at = torch.tensor([columns.index(feature) for feature in prior.features])
        self.register_buffer("at", at, persistent=False)  # a list would be sent at each step
        self.register_buffer("centre", centre[at], persistent=False)
        self.register_buffer("spread", spread[at], persistent=False)
        self.coefficients = prior.coefficients if isinstance(prior, Logistic) else {}
        self.sites = {feature: f"{name}_{feature}" for feature in self.coefficients}
        if self.coefficients:
            self._links = [biject_to(p.support) for p in self.coefficients.values()]
            draws = [p.distribution().sample((_DRAWS,)) for p in self.coefficients.values()]
            loc = torch.stack([f.inv(d.median()) for f, d in zip(self._links, draws, strict=True)])
            self.loc = nn.Parameter(loc.expand(members, 1, -1).clone())
            self.raw_scale = nn.Parameter(torch.full_like(self.loc, -1.0))

    def sample_prior(self) -> Tensor | None:
        """Coefficients W, (K, 1, C), the intercept last; None where a rule has none."""
        if not self.coefficients:
            return None
        parts = [
            pyro.sample(self.sites[feature], prior.distribution(self.loc))
            for feature, prior in self.coefficients.items()
        ]
        return torch.stack(torch.broadcast_tensors(*parts), -1)

    def sample_guide(self) -> None:
        """Coefficients from the guide's normals, where there are any."""
        if not self.coefficients:
            return
        scale = softplus(self.raw_scale) + 1e-3
        for i, (site, link) in enumerate(zip(self.sites.values(), self._links, strict=True)):
            normal = dist.Normal(self.loc[..., i], scale[..., i])
            pyro.sample(site, dist.TransformedDistribution(normal, [link]))

    @property
    def centres(self) -> dict[str, Tensor]:
        """The guide's median of each coefficient's site, (K, 1)."""
        if not self.coefficients:
            return {}
        columns = zip(self.sites.values(), self._links, self.loc.unbind(-1), strict=True)
        return {site: link(loc) for site, link, loc in columns}

    def log_odds(self, features: Tensor, coefficients: Tensor | None = None) -> Tensor:
        """Log odds of 1 at features (..., N, F), with the guide's median coefficients by default.

        Returns
        -------
        Tensor, shape (..., N) of a rule, (..., K, N) of coefficients
        """
        values = features[..., self.at]
        if isinstance(self.declared, Rule):
            columns = zip(self.declared.features, values.unbind(-1), strict=True)
            return self.declared.log_odds(dict(columns))
        w = torch.stack(list(self.centres.values()), -1) if coefficients is None else coefficients
        standardised = (values - self.centre) / self.spread
        return (standardised * w[..., :-1]).sum(-1) + w[..., -1]

    def prior_log_odds(self, features: Tensor) -> Tensor:
        """Log odds of the probability of 1 before any label is seen, (N,), at features (N, F).

        The coefficients of a logistic prior are drawn, with the global random state, so an opinion
        whose coefficients are less certain says less.
        """
        if not self.coefficients:
            return self.log_odds(features)
        size = torch.Size([_DRAWS, 1])
        w = torch.stack(
            [p.distribution(self.loc).sample(size) for p in self.coefficients.values()], -1
        )
        some = [self.log_odds(part, w).sigmoid().mean(0) for part in features.split(_ROWS)]
        return torch.cat(some).logit(eps=_SMALLEST_PROBABILITY)
