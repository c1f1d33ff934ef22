"""Targets as sites of a program: priors, heads that infer them, experts, and noisy reports.

What a material is made of is left to the models that derive from this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import pyro
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from pyro.distributions.util import broadcast_shape
from pyro.poutine.runtime import InferDict
from torch import BoolTensor, Tensor, nn
from torch.nn.functional import one_hot

from pyro_hea.devices import fork_rng
from pyro_hea.materials.alloys.dataset import references
from pyro_hea.program.networks import MLP, MemberShift
from pyro_hea.program.sites import (
    CategoricalSite,
    ContinuousSite,
    Expert,
    Reliability,
    Site,
    site_of,
)
from pyro_hea.spec import Binary, Categorical, Continuous, Logistic, Rule, in_order

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
    from pyro_hea.spec import ModelSpec, ProgramSpec, Target

MEMBERS_DIM = -2
"""Plate of the ensemble's members."""

ALLOYS_DIM = -1
"""Plate of the alloys."""

_SUMMED: InferDict = {"enumerate": "parallel"}
"""A discrete target is summed over, not sampled."""

Values = Mapping[str, Tensor]
"""Of targets by name, (..., N) or (..., K, N)."""


class HeadInputs(NamedTuple):
    """Inputs of the heads.

    `embedded` features are (..., N, F'); `odds` are by target the log odds
    (..., N) or (..., K, N) of an expert prior.
    """

    embedded: Tensor
    odds: dict[str, Tensor]

    def lerp(self, other: HeadInputs, share: Tensor) -> HeadInputs:
        """Mixed with another, `share` (N, 1) of that."""
        odds = {n: torch.lerp(v, other.odds[n], share[:, 0]) for n, v in self.odds.items()}
        return HeadInputs(self.embedded.lerp(other.embedded, share), odds)


class GlobalLatents(NamedTuple):
    """Latents of the whole data, by target: coefficients of an expert, reliability of reports."""

    coefficients: dict[str, Tensor]
    reliability: dict[str, Tensor]


class TargetModel(nn.Module, ABC):
    """K members whose targets are latent sites, observed where they are known.

    Parameters
    ----------
    spec : ProgramSpec
    statistics : Statistics
        Of the training data.
    embedding : Module
        Of features, as the heads read them; `embedding.outputs` is its width.
    members : int, optional
        Members K, those of the spec by default.
    """

    spec: ProgramSpec
    embedding: Any

    def __init__(
        self,
        spec: ProgramSpec,
        statistics: Statistics,
        embedding: nn.Module,
        members: int | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.statistics = spec, statistics
        self.targets = in_order(spec.targets)
        self.members = members or spec.training.members
        self.population = 1
        """Number of training alloys, over which the terms of the global latents are spread."""
        self.embedding = embedding
        self._parents = {t.name: t.given for t in self.targets}
        self._constrained: dict[str, list[str]] = {t.name: [] for t in self.targets}
        for target in self.targets:
            for parent in target.only if isinstance(target, Categorical) else ():
                self._constrained[parent].append(target.name)
        self._conditions = {t.name: len(references(t.conditions)) for t in self.targets}
        self.sites, self.heads, self.shifts = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.experts, self.reliabilities = nn.ModuleDict(), nn.ModuleDict()
        for target in self.targets:
            self._add(target)
        self.width = sum(int(self.site(t.name).width) for t in self.targets)
        """Of all targets, as networks read them."""

    @contextmanager
    def cached_flow(self) -> Iterator[None]:
        """While weights stay as they are, and what was computed once need not be computed anew."""
        yield

    @abstractmethod
    def model(self, batch: Any) -> Any:
        """The program: targets, latents and what the material is made of."""

    @abstractmethod
    def guide(self, batch: Any) -> Values:
        """What is not known is inferred; returns every value that was drawn."""

    @abstractmethod
    def head_inputs(self, batch: Any) -> HeadInputs:
        """Inputs of the heads."""

    @abstractmethod
    def _untrained(self, members: int) -> Self:
        """A model like this one, with so many members and their first weights."""

    def _add(self, target: Target) -> None:
        """The networks of one target, whose parents have theirs."""
        spec, k, name = self.spec, self.members, target.name
        classes = {t.name: t.classes for t in self.targets if not isinstance(t, Continuous)}
        site = site_of(target, k, classes, self.statistics.scales.get(name, (0.0, 1.0)))
        given = self._conditions[name] + sum(int(self.site(p).width) for p in target.given)
        sizes = (self.embedding.outputs + given, *spec.head.hidden, site.outputs)
        self.sites[name] = site
        # There are so many synthetic alloys that a distilled head does not overfit.
        taught = spec.training.distillation is not None and name in spec.distilled_targets
        dropout = 0.0 if taught else spec.head.dropout
        self.heads[name] = MLP(k, sizes, dropout, activation=spec.head.activation)
        if given:
            self.shifts[name] = MemberShift(k, given, site.shifts)
        if isinstance(target.prior, Rule | Logistic):
            scale = self.statistics.centre, self.statistics.spread
            columns = cast("ModelSpec", spec).features.columns
            self.experts[name] = Expert(name, target.prior, columns, *scale, k)
        if isinstance(target, Binary | Categorical) and target.reports is not None:
            sources, classes_of_it = self.statistics.sources[name], len(target.classes)
            channel = Reliability(name, target.reports, sources, classes_of_it, k)
            self.reliabilities[name] = channel

    def target_prior(
        self, name: str, y: Values, batch: AlloyBatch, shared: GlobalLatents
    ) -> TorchDistribution:
        """p(y | parents) of a target, and of the features where its prior reads them."""
        shift = None
        given = self.given(name, y, batch)
        if given is not None:
            shift = self.shifts[name](given)
        if name in self.experts:
            expert = cast("Expert", self.experts[name])
            odds = expert.log_odds(batch.features, shared.coefficients[name]).unsqueeze(-1)
            shift = odds if shift is None else shift + odds
        return self.site(name).prior(shift, y)

    def head(self, name: str, inputs: HeadInputs, given: Tensor | None) -> Tensor:
        """Outputs of a target's head, (..., K, N, outputs).

        An expert's log odds are added where there is no distillation: the head learns the rest.
        """
        x, branching = inputs.embedded, given
        if given is not None and given.dim() <= x.dim():
            x, branching = join(x, given), None
        outputs: Tensor = self.heads[name](x, branching)
        return outputs if name not in inputs.odds else outputs + inputs.odds[name].unsqueeze(-1)

    def _sample_targets(self, batch: AlloyBatch, shared: GlobalLatents) -> dict[str, Tensor]:
        """Each target of the model, observed where it is known, and what is reported of it."""
        y: dict[str, Tensor] = {}
        for t in self.targets:
            y[t.name] = pyro.sample(
                t.name,
                self.target_prior(t.name, y, batch, shared),
                obs=batch.targets.get(t.name),
                obs_mask=cast("BoolTensor | None", batch.labelled.get(t.name)),
            )
            self._score_reports(t.name, y, batch, shared)
        return y

    def _infer_targets(self, batch: AlloyBatch, shared: GlobalLatents) -> dict[str, Tensor]:
        """Each target in the guide: the label where there is one, else from the features."""
        y: dict[str, Tensor] = {}
        inputs = cache(lambda: self.head_inputs(batch))  # of no use where every label is known
        for t in self.targets:
            y[t.name] = self._infer_target(t.name, inputs, y, batch, shared)
        return y

    @property
    def trained_apart(self) -> tuple[str, ...]:
        """Beginnings of the names of the weights that all other training leaves as they are."""
        names = self.spec.distilled_targets
        return tuple(f"{part}.{name}." for name in names for part in ("heads", "sites"))

    def _elbo_trains_head(self, name: str) -> bool:
        """Whether the gradient of the ELBO on unlabelled rows reaches a head."""
        return name not in self.spec.distilled_targets

    def _infer_target(
        self,
        name: str,
        inputs: Callable[[], HeadInputs],
        y: Values,
        batch: AlloyBatch,
        shared: GlobalLatents,
    ) -> Tensor:
        if name in batch.targets and name not in batch.labelled:
            return batch.targets[name]
        read = inputs()
        # The ELBO would pull a distilled head towards the classes that the decoder models best.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._elbo_trains_head(name)):
            outputs = self.head(name, read, self.given(name, y, batch))
        evidence = self.evidence(name, batch, shared)
        if evidence is not None and name in batch.reports:
            # As with labels, the noise of z is kept out of the gradients of the head and of the
            # reliabilities, which are estimated with the head.
            reported = batch.reports[name].sum((-1, -2)) > 0
            outputs = torch.where(reported.unsqueeze(-1), outputs.detach(), outputs)
            evidence = evidence.detach()
        infer = None if isinstance(self.site(name), ContinuousSite) else _SUMMED
        if name not in batch.targets:
            return pyro.sample(
                name, self._target_posterior(name, outputs, y, evidence), infer=infer
            )
        known = batch.labelled[name]
        # Constant outputs keep the noise of z on labelled rows out of the head's gradient.
        outputs = outputs.masked_fill(known.unsqueeze(-1), 0.0)
        with poutine.mask(mask=cast("BoolTensor", ~known)):
            q = self._target_posterior(name, outputs, y, evidence)
            guess = pyro.sample(f"{name}_unobserved", q, infer=infer)
        return torch.where(known, batch.targets[name], guess)

    def _target_posterior(
        self, name: str, outputs: Tensor, y: Values, evidence: Tensor | None
    ) -> TorchDistribution:
        site = self.site(name)
        if evidence is None or isinstance(site, ContinuousSite):
            return site.posterior(outputs, y)
        return site.informed(outputs, y, evidence)

    def evidence(
        self, name: str, batch: AlloyBatch, shared: GlobalLatents | None = None
    ) -> Tensor | None:
        """Log evidence of each class beside the features, (..., N, C), nats; None for none.

        It is the log likelihood of the reports, at the guide's mean reliability by default, and
        minus infinity, nearly, for classes that labels of other targets rule out.
        """
        parts = (self.report_evidence(name, batch, shared), self._label_constraints(name, batch))
        given = [part for part in parts if part is not None]
        return sum(given[1:], given[0]) if given else None

    def report_evidence(
        self, name: str, batch: AlloyBatch, shared: GlobalLatents | None = None
    ) -> Tensor | None:
        """Log probability of the reports for each true class, (..., K, N, C)."""
        if name not in batch.reports:
            return None
        channel = cast("Reliability", self.reliabilities[name])
        reliability = channel.mean.detach() if shared is None else shared.reliability[name]
        return channel.log_evidence(reliability, batch.reports[name])

    def _label_constraints(self, name: str, batch: AlloyBatch) -> Tensor | None:
        """Log of whether each class is possible by the labels of its children, (N, C)."""
        total: Tensor | None = None
        for child in self._constrained[name]:
            later = self._label_constraints(child, batch)
            if later is None and child not in batch.targets:
                continue
            table = cast("CategoricalSite", self.site(child)).only(name)
            possible = table.expand(len(batch), -1, -1)
            possible = possible if later is None else possible + later.unsqueeze(-2)
            allowed = possible.amax(-1)
            if child in batch.targets:
                known = batch.known(child)
                label = torch.where(known, batch.targets[child], 0).long()
                chosen = label.view(-1, 1, 1).expand(-1, possible.shape[1], 1)
                allowed = torch.where(known[:, None], possible.gather(-1, chosen)[..., 0], allowed)
            total = allowed if total is None else total + allowed
        return total

    def _score_reports(
        self, name: str, y: Values, batch: AlloyBatch, shared: GlobalLatents
    ) -> None:
        evidence = self.report_evidence(name, batch, shared)
        if evidence is not None:
            if batch.report_half is not None:  # a head is overconfident of its own training half
                judges = cast("Reliability", self.reliabilities[name]).judges(batch.report_half)
                evidence = torch.where(judges.unsqueeze(-1), evidence, evidence.detach())
            true = one_hot(y[name].long(), evidence.shape[-1])
            pyro.factor(f"{name}_reports", (evidence * true).sum(-1))

    def _shared(self, batch: AlloyBatch, sample: str) -> GlobalLatents:
        """Sample the global latents, scaled to the batch's share of their terms."""
        with poutine.scale(scale=len(batch) / self.population):
            return GlobalLatents(
                {name: getattr(expert, sample)() for name, expert in self.experts.items()},
                {name: getattr(source, sample)() for name, source in self.reliabilities.items()},
            )

    @property
    def centres(self) -> dict[str, Tensor]:
        """Centre of the guide of each global latent, by the name of its site."""
        found = {}
        for expert in self.experts.values():
            found.update(cast("Expert", expert).centres)
        for channel in self.reliabilities.values():
            found[cast("Reliability", channel).site] = cast("Reliability", channel).mean
        return found

    def site(self, name: str) -> Site:
        """The site of a target."""
        return cast("Site", self.sites[name])

    def ancestors(self, name: str) -> list[str]:
        """The targets that a target is given, and those that they are given, in order."""
        found = set(self._parents[name])
        found.update(*(self.ancestors(parent) for parent in self._parents[name]))
        return [t.name for t in self.targets if t.name in found]

    def context(self, y: Values) -> Tensor:
        """Values of all targets encoded for the networks, (..., width)."""
        return join(*(self.site(t.name).encode(y[t.name]) for t in self.targets))

    def given(self, name: str, y: Values, batch: AlloyBatch) -> Tensor | None:
        """The parents of a target and its test conditions, encoded, (..., width); None for none."""
        contexts = {parent: self.site(parent).encode(y[parent]) for parent in self._parents[name]}
        return self.conditioned(name, contexts, batch)

    def conditioned(self, name: str, contexts: Values, batch: AlloyBatch) -> Tensor | None:
        """`given` with the parents already encoded, (..., width)."""
        parts = [contexts[parent] for parent in self._parents[name]]
        if self._conditions[name]:
            parts.append(batch.conditions_of(name, self._conditions[name]))
        return join(*parts) if parts else None

    def outside_conditions(self, name: str, batch: AlloyBatch) -> Tensor | None:
        """How far conditions of a target are outside those measured, (N,); None where none is.

        In widths of the measured range, or in standard units where these are larger.
        """
        if name not in batch.conditions or name not in self.statistics.condition_ranges:
            return None
        at = batch.conditions[name]
        target = next(t for t in self.targets if t.name == name)
        scale = at.new_tensor(self.statistics.conditions[name])
        bounds = at.new_tensor(self.statistics.condition_ranges[name]).mT
        low, high = (bounds - at.new_tensor(references(target.conditions))) / scale
        away = (low - at).maximum(at - high).clamp_min(0.0) / (high - low).clamp_min(1.0)
        distance = away.square().sum(-1).sqrt()
        return distance if bool((distance > 1e-6).any()) else None

    def _plates(self, alloys: int) -> tuple[Any, Any]:
        return (
            pyro.plate("members", self.members, dim=MEMBERS_DIM),
            pyro.plate("alloys", alloys, dim=ALLOYS_DIM),
        )

    def member(self, index: int) -> Self:
        """One member as a model of its own, with copies of its weights."""
        with fork_rng():  # its initial weights are replaced
            single = self._untrained(1)
        parameters = {n: p.detach()[index : index + 1] for n, p in self.named_parameters()}
        single.to(next(self.parameters())).load_state_dict(self.state_dict() | parameters)
        single.population = self.population
        return single.train(self.training)


def join(*columns: Tensor) -> Tensor:
    """Columns side by side, their batches broadcast against each other."""
    if len(columns) == 1:
        return columns[0]
    batch = broadcast_shape(*(c.shape[:-1] for c in columns))
    return torch.cat([c.expand(*batch, c.shape[-1]) for c in columns], -1)
