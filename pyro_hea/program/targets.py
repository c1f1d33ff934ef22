"""Targets as sites of a program: priors, heads that infer them, experts, and noisy reports.

What a material is made of is left to the models that derive from this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from pyro_hea.program.networks import MLP, MemberShift
from pyro_hea.program.sites import (
    CategoricalSite,
    ContinuousSite,
    Expert,
    Reliability,
    Site,
    site_of,
)
from pyro_hea.spec import Binary, Categorical, Continuous, HumeRothery, Logistic, in_order

if TYPE_CHECKING:
    from pyro_hea.alloys.dataset import AlloyBatch, Statistics
    from pyro_hea.spec import ModelSpec, ProgramSpec, Target

MEMBERS_DIM = -2
"""Plate of the ensemble's members."""

ALLOYS_DIM = -1
"""Plate of the alloys."""

_SUMMED: InferDict = {"enumerate": "parallel"}
"""A discrete target is summed over, not sampled."""

Values = Mapping[str, Tensor]
"""Of targets by name, (..., N) or (..., K, N)."""


class Read(NamedTuple):
    """What the heads read of alloys.

    `embedded` features are (..., N, F'); `odds` are by target the log odds
    (..., N) or (..., K, N) that an expert gives.
    """

    embedded: Tensor
    odds: dict[str, Tensor]

    def lerp(self, other: Read, share: Tensor) -> Read:
        """Mixed with another, `share` (N, 1) of that."""
        odds = {n: torch.lerp(v, other.odds[n], share[:, 0]) for n, v in self.odds.items()}
        return Read(self.embedded.lerp(other.embedded, share), odds)


class Shared(NamedTuple):
    """What all alloys share, by target: coefficients of an expert, reliability of the reports."""

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
        """Alloys behind a posterior of what all alloys share."""
        self.embedding = embedding
        self._parents = {t.name: t.given for t in self.targets}
        self._ruling: dict[str, list[str]] = {t.name: [] for t in self.targets}
        for target in self.targets:
            for parent in target.only if isinstance(target, Categorical) else ():
                self._ruling[parent].append(target.name)
        self._conditions = {
            t.name: len(t.conditions) if isinstance(t, Continuous) else 0 for t in self.targets
        }
        self.sites, self.heads, self.shifts = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.experts, self.reliabilities = nn.ModuleDict(), nn.ModuleDict()
        for target in self.targets:
            self._add(target)
        self.width = sum(int(self.site(t.name).width) for t in self.targets)
        """Of all targets, as networks read them."""

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """While weights stay as they are, and what was computed once need not be computed anew."""
        yield

    @abstractmethod
    def model(self, batch: Any) -> Any:
        """The program: targets, latents and what the material is made of."""

    @abstractmethod
    def guide(self, batch: Any) -> Values:
        """What is not known is inferred; returns every value that was drawn."""

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
        # Of alloys that were never made there are as many as one likes: nothing is learnt by heart.
        dropout = 0.0 if name in spec.taught else spec.head.dropout
        self.heads[name] = MLP(k, sizes, dropout, activation=spec.head.activation)
        if given:
            self.shifts[name] = MemberShift(k, given, site.shifts)
        if isinstance(target.prior, HumeRothery | Logistic):
            scale = self.statistics.centre, self.statistics.spread
            columns = cast("ModelSpec", spec).features.columns
            self.experts[name] = Expert(name, target.prior, columns, *scale, k)
        if isinstance(target, Binary | Categorical) and target.reports is not None:
            sources, classes_of_it = self.statistics.sources[name], len(target.classes)
            channel = Reliability(name, target.reports, sources, classes_of_it, k)
            self.reliabilities[name] = channel

    def target_prior(
        self, name: str, y: Values, batch: AlloyBatch, shared: Shared
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

    def read(self, batch: AlloyBatch) -> Read:
        """What the heads read of alloys."""
        odds = {  # the coefficients follow the bound, not the heads' own loss
            name: cast("Expert", expert).log_odds(batch.features).detach()
            for name, expert in self.experts.items()
        }
        return Read(self.embedding(batch.features), odds)

    def head(self, name: str, read: Read, given: Tensor | None) -> Tensor:
        """Outputs of a target's head, (..., K, N, outputs).

        An expert's log odds are added: the head learns what the expert leaves unsaid.
        """
        inputs, branching = read.embedded, given
        if given is not None and given.dim() <= inputs.dim():
            inputs, branching = join(inputs, given), None
        outputs: Tensor = self.heads[name](inputs, branching)
        return outputs if name not in read.odds else outputs + read.odds[name].unsqueeze(-1)

    def _sample_targets(self, batch: AlloyBatch, shared: Shared) -> dict[str, Tensor]:
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

    def _infer_targets(self, read: Read, batch: AlloyBatch, shared: Shared) -> dict[str, Tensor]:
        """Each target in the guide: the label where there is one, else from the features."""
        y: dict[str, Tensor] = {}
        for t in self.targets:
            y[t.name] = self._infer_target(t.name, read, y, batch, shared)
        return y

    def _infer_target(
        self, name: str, read: Read, y: Values, batch: AlloyBatch, shared: Shared
    ) -> Tensor:
        if name in batch.targets and name not in batch.labelled:
            return batch.targets[name]
        # The bound would pull a taught head towards what the decoder finds easy: it only listens.
        with torch.set_grad_enabled(torch.is_grad_enabled() and name not in self.spec.taught):
            outputs = self.head(name, read, self.given(name, y, batch))
        evidence = self.evidence(name, batch, shared)
        if evidence is not None and name in batch.reports:
            # As with labels: the noise of z stays out of the gradient of the head, and of that of
            # the sources, which are judged by the head.
            told = batch.reports[name].sum((-1, -2)) > 0
            outputs = torch.where(told.unsqueeze(-1), outputs.detach(), outputs)
            evidence = evidence.detach()
        infer = None if isinstance(self.site(name), ContinuousSite) else _SUMMED
        if name not in batch.targets:
            return pyro.sample(name, self._informed(name, outputs, y, evidence), infer=infer)
        known = batch.labelled[name]
        # The constant outputs keep the noise of z on labelled rows out of the head's gradient.
        blind = outputs.masked_fill(known.unsqueeze(-1), 0.0)
        with poutine.mask(mask=cast("BoolTensor", ~known)):
            q = self._informed(name, blind, y, evidence)
            guess = pyro.sample(f"{name}_unobserved", q, infer=infer)
        return torch.where(known, batch.targets[name], guess)

    def _informed(
        self, name: str, outputs: Tensor, y: Values, evidence: Tensor | None
    ) -> TorchDistribution:
        site = self.site(name)
        if evidence is None or isinstance(site, ContinuousSite):
            return site.posterior(outputs, y)
        return site.informed(outputs, y, evidence)

    def evidence(self, name: str, batch: AlloyBatch, shared: Shared | None = None) -> Tensor | None:
        """What is known of a class beside the features, (..., N, C), in nats; None for nothing.

        Its reports, at the guide's mean reliability by default, and that labels of targets which
        are possible only with some classes speak against the other ones.
        """
        reports, ruled = self.of_reports(name, batch, shared), self._ruled(name, batch)
        return ruled if reports is None else reports if ruled is None else reports + ruled

    def of_reports(
        self, name: str, batch: AlloyBatch, shared: Shared | None = None
    ) -> Tensor | None:
        """Log probability of the reports for each true class, (..., K, N, C)."""
        if name not in batch.reports:
            return None
        channel = cast("Reliability", self.reliabilities[name])
        reliability = channel.mean.detach() if shared is None else shared.reliability[name]
        return channel.log_evidence(reliability, batch.reports[name])

    def _ruled(self, name: str, batch: AlloyBatch) -> Tensor | None:
        """Log of whether each class is possible by the labels of what is given it, (N, C)."""
        total: Tensor | None = None
        for child in self._ruling[name]:
            later = self._ruled(child, batch)
            if later is None and child not in batch.targets:
                continue
            table = cast("CategoricalSite", self.site(child)).only(name)
            possible = table.expand(len(batch), -1, -1)
            possible = possible if later is None else possible + later.unsqueeze(-2)
            ruled = possible.amax(-1)
            if child in batch.targets:
                known = batch.known(child)
                label = torch.where(known, batch.targets[child], 0).long()
                chosen = label.view(-1, 1, 1).expand(-1, possible.shape[1], 1)
                ruled = torch.where(known[:, None], possible.gather(-1, chosen)[..., 0], ruled)
            total = ruled if total is None else total + ruled
        return total

    def _score_reports(self, name: str, y: Values, batch: AlloyBatch, shared: Shared) -> None:
        evidence = self.of_reports(name, batch, shared)
        if evidence is not None:
            if batch.half is not None:  # a head knows by heart what it has learnt from
                judges = cast("Reliability", self.reliabilities[name]).judges(batch.half)
                evidence = torch.where(judges.unsqueeze(-1), evidence, evidence.detach())
            true = one_hot(y[name].long(), evidence.shape[-1])
            pyro.factor(f"{name}_reports", (evidence * true).sum(-1))

    def _shared(self, batch: AlloyBatch, sample: str) -> Shared:
        """What all alloys share, each batch bearing its part of it."""
        with poutine.scale(scale=len(batch) / self.population):
            return Shared(
                {name: getattr(expert, sample)() for name, expert in self.experts.items()},
                {name: getattr(source, sample)() for name, source in self.reliabilities.items()},
            )

    @property
    def centres(self) -> dict[str, Tensor]:
        """Where the guide centres each site that all alloys share, by its name."""
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
        """Values of all targets as the networks read them, (..., width)."""
        return join(*(self.site(t.name).encode(y[t.name]) for t in self.targets))

    def given(self, name: str, y: Values, batch: AlloyBatch) -> Tensor | None:
        """What a target depends on beside the features: other targets, and test conditions."""
        contexts = {parent: self.site(parent).encode(y[parent]) for parent in self._parents[name]}
        return self.conditioned(name, contexts, batch)

    def conditioned(self, name: str, contexts: Values, batch: AlloyBatch) -> Tensor | None:
        """`given` with the other targets as the networks read them, (..., width)."""
        parts = [contexts[parent] for parent in self._parents[name]]
        if self._conditions[name]:
            parts.append(batch.conditions_of(name, self._conditions[name]))
        return join(*parts) if parts else None

    def _plates(self, alloys: int) -> tuple[Any, Any]:
        return (
            pyro.plate("members", self.members, dim=MEMBERS_DIM),
            pyro.plate("alloys", alloys, dim=ALLOYS_DIM),
        )

    def member(self, index: int) -> Self:
        """One member as a model of its own, with copies of its weights."""
        with fork_rng():  # its first weights are thrown away
            single = self._untrained(1)
        parameters = {n: p.detach()[index : index + 1] for n, p in self.named_parameters()}
        single.to(next(self.parameters())).load_state_dict(self.state_dict() | parameters)
        single.population = self.population
        return single.train(self.training)


def join(*columns: Tensor) -> Tensor:
    """Columns side by side, their batches broadcast against each other."""
    batch = broadcast_shape(*(c.shape[:-1] for c in columns))
    return torch.cat([c.expand(*batch, c.shape[-1]) for c in columns], -1)
