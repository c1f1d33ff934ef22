"""Marginal distributions of targets by the heads: parent targets are summed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.sites import Site
    from pyro_hea.program.targets import TargetModel
    from pyro_hea.spec import Target

Event: TypeAlias = tuple[float, ...]
"""Classes that a target may be of, by position; or the two bounds between which a number lies."""

POINTS, _REACH, _TAIL_REACH = 32, 4.5, 3.0
"""Points of the Gauss-Legendre rule over a number that is a parent of other targets; the standard
deviations of q that it covers, and those that it covers of a tail beyond. The error of a
probability is below 0.0005 where it rises from 0.05 to 0.95 within one standard deviation, and the
relative error of a variance below 0.0002."""

_FAR = 40.0
"""Standard deviations beyond which the tail of a normal is 0 in double precision."""

LARGEST = 1e15
"""A number predicted as larger has no meaning; its square is one in single precision."""

_NODES = 24
"""Points of the Gauss-Hermite rule for mean and variance of a number."""

SPREAD_OUTSIDE = 1.0
"""Standard deviation that a target gets for each width of the measured range of its conditions by
which it is asked for outside that range: of its labels, or of log odds."""

_BISECTIONS = 40
"""Steps of the bisection for a quantile."""


class Marginal(NamedTuple):
    """q of one target in B branches, combinations of values of the targets that it is given.

    `log_weight` is (B, K, N); `outputs` are the head's, (B, K, N, outputs), and `parents` the
    values of each branch, (B, K, N).
    """

    site: Site
    log_weight: Tensor
    outputs: Tensor
    parents: dict[str, Tensor]

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """Of each class, (K, N, C)."""
        assert not isinstance(self.site, ContinuousSite)
        log_q = self.site.log_classes(self.outputs, self.parents)
        return (log_q + self.log_weight.unsqueeze(-1)).logsumexp(0).exp()

    @torch.no_grad()
    def log_prob(self, y: Tensor) -> Tensor:
        """Log q of labels y (N,) in each branch and member, with its weight, (B, K, N).

        Of a number the density per unit of the target.
        """
        if isinstance(self.site, ContinuousSite):
            log_q = self.site.posterior(self.outputs, self.parents).log_prob(y)
        else:
            of_class = self.site.log_classes(self.outputs, self.parents)
            log_q = (of_class * one_hot(y.long(), of_class.shape[-1])).sum(-1)
        return log_q + self.log_weight

    @torch.no_grad()
    def cumulative(self, value: Tensor) -> Tensor:
        """Probability that a number is at most `value` (..., N), (..., K, N)."""
        site = self._continuous_site()
        at = site.encode(_clamped(site, value).unsqueeze(-2).unsqueeze(-2))[..., 0]
        below = torch.special.ndtr(site.deviations(self.outputs, at))
        return (below * self.log_weight.exp()).sum(-3)

    @torch.no_grad()
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of a number, (K, N), in its unit and its square."""
        site = self._continuous_site()
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        deviations = self.outputs.new_tensor(nodes).view(-1, 1, 1, 1)
        values = _finite(site.natural(site.standardised(self.outputs, deviations)))
        share = values.new_tensor(weights / weights.sum()).view(-1, 1, 1, 1)
        branch = self.log_weight.exp()
        mean = ((values * share).sum(0) * branch).sum(0)
        square = ((values.square() * share).sum(0) * branch).sum(0)
        return mean, (square - mean.square()).clamp_min(0.0)

    def within_conditions(self) -> Marginal:
        """The same without the spread of conditions outside the measured range."""
        return self._replace(outputs=self.outputs[..., : self.site.outputs])

    @torch.no_grad()
    def quantiles(self, levels: Iterable[float]) -> Tensor:
        """Quantiles of a number over branches and members together, (levels, N)."""
        site = self._continuous_site()
        branch = self.log_weight.exp() / len(self.outputs[0])
        level = self.outputs.new_tensor(list(levels)).view(-1, 1)
        each = site.standardised(self.outputs, torch.special.ndtri(level[..., None, None]))

        def probability(at: Tensor) -> Tensor:
            deviations = site.deviations(self.outputs, at[:, None, None])
            return (torch.special.ndtr(deviations) * branch).sum((1, 2))

        found = _bisected(each.amin((1, 2)), each.amax((1, 2)), probability, level)
        return _finite(site.natural(found))

    @torch.no_grad()
    def medians(self) -> Tensor:
        """Median of a number by each member, over its branches, (K, N)."""
        site = self._continuous_site()
        each, branch = site.normal(self.outputs).loc, self.log_weight.exp()

        def probability(at: Tensor) -> Tensor:
            return (torch.special.ndtr(site.deviations(self.outputs, at)) * branch).sum(0)

        found = _bisected(each.amin(0), each.amax(0), probability, each.new_tensor(0.5))
        return _finite(site.natural(found))

    def log_probability(self, event: Event) -> Tensor:
        """Of an event in each branch, (B, K, N)."""
        if isinstance(self.site, ContinuousSite):
            return _log_normal_between(*self._standard_bounds(event))
        return self._log_classes(event).logsumexp(0)

    def split(self, event: Event | None) -> tuple[Tensor, Tensor]:
        """Quadrature points or classes of the target and their log probabilities, (M, B, K, N)."""
        if not isinstance(self.site, ContinuousSite):
            classes = self.site.values if event is None else self.site.values.new_tensor(event)
            values = classes.view(-1, 1, 1, 1).expand(-1, *self.outputs.shape[:-1])
            return values, self._log_classes(tuple(classes.tolist()))
        low, high = self._standard_bounds((-np.inf, np.inf) if event is None else event)
        log_all = _log_normal_between(low, high)
        low, high = (
            low.maximum((high - _TAIL_REACH).clamp_max(-_REACH)),
            high.minimum((low + _TAIL_REACH).clamp_min(_REACH)),
        )
        nodes, weights = (
            low.new_tensor(column).view(-1, 1, 1, 1)
            for column in np.polynomial.legendre.leggauss(POINTS)
        )
        at = (low + high) / 2 + (high - low) / 2 * nodes
        log_share = (weights.log() - at.square() / 2).log_softmax(0)
        return self.site.natural(self.site.standardised(self.outputs, at)), log_all + log_share

    def _continuous_site(self) -> ContinuousSite:
        assert isinstance(self.site, ContinuousSite)
        return self.site

    def _standard_bounds(self, bounds: Event) -> tuple[Tensor, Tensor]:
        """Bounds as deviations, (B, K, N); infinite ones, which have no gradient, are cut."""
        site = self._continuous_site()
        ends = site.encode(_clamped(site, self.outputs.new_tensor(bounds)))[..., 0]
        low, high = (
            site.deviations(self.outputs, end)
            if end.isfinite()
            else torch.full_like(self.outputs[..., 0], float(end.sign()) * _FAR)
            for end in ends
        )
        if ends[0] == -np.inf:
            low = low.minimum(high.detach() - _FAR)
        if ends[1] == np.inf:
            high = high.maximum(low.detach() + _FAR)
        return low, high

    def _log_classes(self, classes: Event) -> Tensor:
        """(classes, B, K, N)."""
        assert not isinstance(self.site, ContinuousSite)
        log_q = self.site.log_classes(self.outputs, self.parents)
        return log_q[..., [int(c) for c in classes]].movedim(-1, 0)


def _finite(values: Tensor) -> Tensor:
    """Values of a spread so wide that they are no numbers in single precision, cut."""
    return values.clamp(-LARGEST, LARGEST)


def _bisected(
    low: Tensor, high: Tensor, probability: Callable[[Tensor], Tensor], level: Tensor
) -> Tensor:
    """Where a probability rises to a level; a mixture's quantile lies between its parts'."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = probability(middle) < level
        low, high = low.where(~below, middle), high.where(below, middle)
    return (low + high) / 2


def _clamped(site: ContinuousSite, value: Tensor) -> Tensor:
    """Values clamped to the support of a number."""
    support = site.link.codomain
    lowest, highest = (getattr(support, f"{side}_bound", None) for side in ("lower", "upper"))
    return value if lowest is None and highest is None else value.clamp(lowest, highest)


def _log_normal_between(low: Tensor, high: Tensor) -> Tensor:
    """Log probability of a standard normal between two bounds, accurate in the tails."""
    low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
    below, upto = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    least = torch.finfo(low.dtype).tiny
    return (upto + (-(below - upto).nan_to_num(0.0).exp()).log1p()).clamp_min(np.log(least))


@torch.no_grad()
def marginals(
    model: TargetModel, batch: AlloyBatch, names: Iterable[str] | None = None
) -> dict[str, Marginal]:
    """Marginals of targets, all by default, for alloys with known features."""
    names = model.spec.target_names if names is None else tuple(names)
    return {
        name: m
        for name, (m, _) in _marginals_with_events(model, batch, names, {}).items()
        if name in names
    }


def joint_probability(model: TargetModel, batch: AlloyBatch, events: Mapping[str, Event]) -> Tensor:
    """Probability by each member that all events hold together, (K, N)."""
    found = _marginals_with_events(model, batch, tuple(events), events)
    return found[next(reversed(found))][1].logsumexp(0).exp()


def _marginals_with_events(
    model: TargetModel, batch: AlloyBatch, names: tuple[str, ...], events: Mapping[str, Event]
) -> dict[str, tuple[Marginal, Tensor]]:
    """Marginal of each needed target, and the log weight (B, K, N) of the events so far."""
    needed = _with_ancestors(model, names)
    read = model.head_inputs(batch)
    shape = (1, model.members, len(batch))
    log_weight = read.embedded.new_zeros(shape)
    values: dict[str, Tensor] = {}
    found = {}
    for i, target in enumerate(needed):
        outputs = model.head(target.name, read, model.given(target.name, values, batch))
        outputs = outputs.expand(len(log_weight), *shape[1:], -1)
        outside = model.outside_conditions(target.name, batch)
        if outside is not None:
            outputs = model.site(target.name).widened(outputs, SPREAD_OUTSIDE * outside)
        marginal = Marginal(model.site(target.name), log_weight, outputs, dict(values))
        event = events.get(target.name)
        if any(target.name in later.given for later in needed[i + 1 :]):
            value, log_share = marginal.split(event)
            times = len(value)
            values = {name: v.repeat(times, 1, 1) for name, v in values.items()}
            values[target.name] = value.flatten(0, 1)
            log_weight = (log_weight + log_share).flatten(0, 1)
        elif event is not None:
            log_weight = log_weight + marginal.log_probability(event)
        found[target.name] = marginal, log_weight
    return found


def _with_ancestors(model: TargetModel, names: Iterable[str]) -> list[Target]:
    wanted = set(names)
    for target in reversed(model.targets):
        if target.name in wanted:
            wanted.update(target.given)
    return [target for target in model.targets if target.name in wanted]
