"""The kinds of targets as sites of the program.

Shapes are (..., K, N): branches of the enumeration, members, alloys. For each alloy the head of a
site has `outputs` numbers, its value is encoded for other networks in `width` numbers, and its
parents shift its prior by `shifts` numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import AffineTransform, ExpTransform, Transform
from torch.nn.functional import logsigmoid, one_hot, softplus

from pyro_hea.program.sites.tails import Tails
from pyro_hea.spec import Binary, Categorical, Continuous, Ordinal

if TYPE_CHECKING:
    from pyro_hea.spec import Target

UNKNOWN = -1.0
"""Value of a parent that is not known: every class of its child is possible then."""

_IMPOSSIBLE = -1e9
"""Log odds of an impossible class: its probability is exactly 0 and its gradient finite."""

_SMALLEST_SCALE = 1e-2
"""Of a continuous target's guide, in standard deviations of the labels."""


class _Calibrated(nn.Module):
    """A site whose head is calibrated after training, on labels that it was not trained on.

    `calibration` is the temperature, (1,), the temperature and the weights of both tails, (3,), or
    a, b and c of a beta calibration, (3,), the same for all members; None where none is declared.
    It has no effect in training mode.
    """

    calibration: Tensor | None

    def __init__(self, target: Target) -> None:
        super().__init__()
        none = {
            "temperature": torch.ones(1),
            "tails": torch.ones(3),
            "beta": torch.tensor([1.0, 1.0, 0.0]),
            None: None,
        }
        self.register_buffer("calibration", none[target.calibration])

    @property
    def temperature(self) -> Tensor | float:
        """Divides log odds, and multiplies the scale of a number."""
        return 1.0 if self.training or self.calibration is None else self.calibration[:1]

    def widened(self, outputs: Tensor, spread: Tensor) -> Tensor:
        """Outputs of a head whose log odds have a standard deviation besides, (..., N).

        MacKay, The evidence framework applied to classification networks (1992).
        """
        return outputs / (1 + math.pi / 8 * spread.square()).sqrt().unsqueeze(-1)


class BinarySite(_Calibrated):
    """A target that is 0 or 1."""

    outputs = width = shifts = 1
    placeholder = 0.0
    prior_logit: Tensor

    def __init__(self, target: Binary) -> None:
        super().__init__(target)
        declared = getattr(target.prior, "distribution", None)  # an expert's is a shift
        logit = torch.zeros(()) if declared is None else declared(torch.zeros(())).logits
        self.register_buffer("prior_logit", logit, persistent=False)

    @property
    def values(self) -> Tensor:
        """Every value, (2,)."""
        return torch.arange(2.0).to(self.prior_logit)

    def prior(self, shift: Tensor | None, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """p(y | parents), where experts and parents shift the logit by (..., 1)."""
        logit = self.prior_logit if shift is None else self.prior_logit + shift[..., 0]
        return dist.Bernoulli(logits=logit)

    def posterior(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """q(y | features, parents) from a head's outputs."""
        return dist.Bernoulli(logits=self.logit(outputs)[..., 0])

    def logit(self, outputs: Tensor) -> Tensor:
        """Log odds of 1, (..., 1).

        Beta calibration (Kull, Silva Filho and Flach, AISTATS 2017) is a log p - b log(1 - p) + c.
        """
        if self.training or self.calibration is None or len(self.calibration) == 1:
            return outputs / self.temperature
        a, b, c = self.calibration
        return a * logsigmoid(outputs) - b * logsigmoid(-outputs) + c

    def informed(
        self, outputs: Tensor, parents: Mapping[str, Tensor], evidence: Tensor
    ) -> TorchDistribution:
        """The distribution after log evidence (..., 2) of each class, by Bayes' rule."""
        return dist.Bernoulli(logits=(self.logit(outputs) + evidence.diff(dim=-1))[..., 0])

    def encode(self, y: Tensor) -> Tensor:
        """A value encoded for other networks."""
        return y.unsqueeze(-1)

    def expected(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Mean over q of the encoded value."""
        return self.logit(outputs).sigmoid()

    def log_classes(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Log q of each class, (..., 2)."""
        logit = self.logit(outputs)
        return torch.cat([logsigmoid(-logit), logsigmoid(logit)], -1)

    def likeliest(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """The most probable value."""
        return (self.logit(outputs)[..., 0] > 0).to(outputs)

    def log_loss(self, outputs: Tensor, y: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """-log q of labels."""
        return -self.posterior(outputs, parents).log_prob(y)


class _ClassSite(_Calibrated, ABC):
    """A target with a class among C."""

    placeholder = 0.0
    prior_logits: Tensor

    def __init__(self, target: Categorical | Ordinal) -> None:
        super().__init__(target)
        prior = target.prior
        logits = (
            torch.zeros(len(target.classes))
            if prior is None
            else prior.distribution(torch.zeros(())).logits
        )
        self.register_buffer("prior_logits", logits.log_softmax(-1), persistent=False)

    @property
    def values(self) -> Tensor:
        """Every value, (C,)."""
        return torch.arange(float(len(self.prior_logits))).to(self.prior_logits)

    @abstractmethod
    def posterior(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """q(y | features, parents) from a head's outputs."""

    def informed(
        self, outputs: Tensor, parents: Mapping[str, Tensor], evidence: Tensor
    ) -> TorchDistribution:
        """The distribution after log evidence (..., C) of each class, by Bayes' rule."""
        return dist.Categorical(logits=self.log_classes(outputs, parents) + evidence)

    def log_classes(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Log q of each class, (..., C)."""
        return cast("dist.Categorical", self.posterior(outputs, parents)).logits

    def likeliest(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """The most probable class."""
        return self.log_classes(outputs, parents).argmax(-1).to(outputs)

    def log_loss(self, outputs: Tensor, y: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """-log q of labels."""
        return -self.posterior(outputs, parents).log_prob(y)


class CategoricalSite(_ClassSite):
    """A target that is one of several classes.

    Parameters
    ----------
    target : Categorical
    classes_of : mapping of str to tuple of str
        The classes of each target that it is given.
    """

    def __init__(self, target: Categorical, classes_of: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(target)
        self.outputs = self.width = self.shifts = len(target.classes)
        self._parents = list(target.only)
        for parent, possible in target.only.items():
            rows = [
                [0.0 if c in possible[value] else _IMPOSSIBLE for c in target.classes]
                for value in classes_of[parent]
            ]
            # The last row, which UNKNOWN leads to, leaves everything possible.
            table = torch.tensor([*rows, [0.0] * len(target.classes)])
            self.register_buffer(f"only_{parent}", table, persistent=False)

    def only(self, parent: str) -> Tensor:
        """Log of whether each class is possible with each value of a parent, (values, C)."""
        return self.get_buffer(f"only_{parent}")[:-1]

    def _possible(self, logits: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        for parent in self._parents:
            logits = logits + self.get_buffer(f"only_{parent}")[parents[parent].long()]
        return logits

    def prior(self, shift: Tensor | None, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """p(y | parents), where these shift the logits by (..., C) and rule classes out."""
        logits = self.prior_logits if shift is None else self.prior_logits + shift
        return dist.Categorical(logits=self._possible(logits, parents))

    def posterior(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """q(y | features, parents) from a head's outputs."""
        return dist.Categorical(logits=self._possible(outputs / self.temperature, parents))

    def encode(self, y: Tensor) -> Tensor:
        """A value encoded for other networks."""
        return one_hot(y.long(), self.width).to(self.prior_logits)

    def expected(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Mean over q of the encoded value."""
        return self._possible(outputs / self.temperature, parents).softmax(-1)


class OrdinalSite(_ClassSite):
    """A target with ordered levels, by a logistic scale cut at thresholds.

    McCullagh, Regression models for ordinal data (1980).
    """

    outputs = width = shifts = 1
    prior_cuts: Tensor

    def __init__(self, target: Ordinal, members: int) -> None:
        super().__init__(target)
        below = self.prior_logits.exp().cumsum(-1)[:-1]
        self.register_buffer("prior_cuts", below.clamp(1e-6, 1 - 1e-6).logit(), persistent=False)
        self.lowest_cut = nn.Parameter(self.prior_cuts[:1].expand(members, 1, 1).clone())
        gaps = self.prior_cuts.diff().clamp_min(1e-3).expm1().log()  # of which softplus makes gaps
        self.raw_gaps = nn.Parameter(gaps.expand(members, 1, len(gaps)).clone())

    def prior(self, shift: Tensor | None, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """p(y | parents), where these shift the scale by (..., 1)."""
        at = self.prior_cuts.new_zeros(()) if shift is None else shift[..., 0]
        return dist.OrderedLogistic(at, self.prior_cuts)

    def posterior(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """q(y | features, parents) from a head's outputs."""
        cuts = torch.cat([self.lowest_cut, softplus(self.raw_gaps)], -1).cumsum(-1)
        t = self.temperature
        return dist.OrderedLogistic((outputs / t)[..., 0], cuts / t)

    def encode(self, y: Tensor) -> Tensor:
        """A value encoded for other networks: 0 for the lowest level, 1 for the highest."""
        return y.unsqueeze(-1).to(self.prior_cuts) / len(self.prior_cuts)

    def expected(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Mean over q of the encoded value."""
        probabilities = self.log_classes(outputs, parents).exp()
        return (probabilities * self.values).sum(-1, keepdim=True) / len(self.prior_cuts)


class ContinuousSite(_Calibrated):
    """A target that is a number, normal on an unbounded scale but for its tails.

    The link maps that scale to the target's own: the exponential for a positive target, the
    identity for one without bounds, and else the bijection to the support of the prior.

    Parameters
    ----------
    target : Continuous
    centre, spread : float
        Mean and standard deviation of the labels on the unbounded scale.
    members : int
    """

    width = shifts = 1
    centre: Tensor
    spread: Tensor

    def __init__(self, target: Continuous, centre: float, spread: float, members: int) -> None:
        super().__init__(target)
        self.target, self._declared = target, target.known_prior
        self.outputs = 2 if target.heteroscedastic else 1
        self.register_buffer("centre", torch.tensor(centre))
        self.register_buffer("spread", torch.tensor(spread))
        if not target.heteroscedastic:
            self.raw_scale = nn.Parameter(torch.zeros(members, 1))

    @property
    def link(self) -> Transform:
        """From the unbounded scale to the target's own."""
        return link_of(self.target)

    @property
    def placeholder(self) -> float:
        """A possible value, for alloys without a label."""
        return float(self.link(self.centre))

    def prior(self, shift: Tensor | None, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """p(y | parents), where these shift the unbounded scale by (..., 1) spreads."""
        steps: list[Transform] = [ExpTransform()] if self.target.transform == "log" else []
        if shift is not None:
            steps += [self.link.inv, AffineTransform(shift[..., 0] * self.spread, 1.0), self.link]
        declared = self._declared.distribution(self.centre)
        return dist.TransformedDistribution(declared, steps) if steps else declared

    def normal(self, outputs: Tensor) -> dist.Normal:
        """The standardised value under q without its tails, from a head's outputs."""
        raw = outputs[..., 1] if self.target.heteroscedastic else self.raw_scale
        scale = self.temperature * (softplus(raw) + _SMALLEST_SCALE)
        if outputs.shape[-1] > self.outputs:  # see `widened`
            scale = torch.hypot(scale, outputs[..., -1])
        return dist.Normal(outputs[..., 0], scale)

    def widened(self, outputs: Tensor, spread: Tensor) -> Tensor:
        """Outputs with one column more: a standard deviation beside that of q, standardised."""
        column = spread.expand(outputs.shape[:-1]).unsqueeze(-1)
        return torch.cat([outputs, column], -1)

    @property
    def tails(self) -> Transform | None:
        """From the deviations of a normal to those of the value; None where they are the same."""
        if self.training or self.calibration is None or len(self.calibration) == 1:
            return None
        return Tails(*self.calibration[1:])

    def deviations(self, outputs: Tensor, standardised: Tensor) -> Tensor:
        """Standardised values as deviations, which are standard normal under q."""
        normal = self.normal(outputs)
        away = (standardised - normal.loc) / normal.scale
        return away if self.tails is None else self.tails.inv(away)

    def standardised(self, outputs: Tensor, deviations: Tensor) -> Tensor:
        """The standardised values at such deviations."""
        normal = self.normal(outputs)
        away = deviations if self.tails is None else self.tails(deviations)
        return normal.loc + normal.scale * away

    def standard(self, outputs: Tensor) -> TorchDistribution:
        """The standardised value under q, from a head's outputs."""
        normal = self.normal(outputs)
        if self.tails is None:
            return normal
        deviations = dist.Normal(torch.zeros_like(normal.loc), torch.ones_like(normal.scale))
        at = AffineTransform(normal.loc, normal.scale)
        return dist.TransformedDistribution(deviations, [self.tails, at])

    def natural(self, standardised: Tensor) -> Tensor:
        """Values of standardised ones."""
        return cast("Tensor", self.link(self.centre + self.spread * standardised))

    def posterior(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> TorchDistribution:
        """q(y | features, parents) from a head's outputs."""
        scale = AffineTransform(self.centre, self.spread)
        return dist.TransformedDistribution(self.standard(outputs), [scale, self.link])

    def encode(self, y: Tensor) -> Tensor:
        """A value encoded for other networks: standardised on the unbounded scale."""
        return ((self.link.inv(y) - self.centre) / self.spread).unsqueeze(-1)

    def expected(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Mean over q of the encoded value."""
        return outputs[..., :1]

    def likeliest(self, outputs: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """The median."""
        return self.natural(outputs[..., 0])

    def log_loss(self, outputs: Tensor, y: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """-log q of labels, standardised."""
        return -self.standard(outputs).log_prob(self.encode(y)[..., 0])


Site: TypeAlias = BinarySite | CategoricalSite | OrdinalSite | ContinuousSite


def site_of(
    target: Target,
    members: int,
    classes_of: Mapping[str, tuple[str, ...]],
    scale: tuple[float, float],
) -> Site:
    """The site of a declared target.

    Parameters
    ----------
    target : Target
    members : int
    classes_of : mapping of str to tuple of str
        The classes of the other targets.
    scale : tuple of float
        Mean and standard deviation of a number's labels, see `ContinuousSite`.
    """
    if isinstance(target, Binary):
        return BinarySite(target)
    if isinstance(target, Categorical):
        return CategoricalSite(target, classes_of)
    if isinstance(target, Ordinal):
        return OrdinalSite(target, members)
    return ContinuousSite(target, *scale, members)


def link_of(target: Continuous) -> Transform:
    """From the unbounded scale of a number to its own."""
    if target.transform == "log":
        return ExpTransform()
    if target.positive:
        return cast("Transform", biject_to(constraints.positive))
    support = constraints.real if target.prior is None else target.prior.support
    return cast("Transform", biject_to(support))
