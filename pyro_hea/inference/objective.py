"""What is minimised: the negative ELBO, and the heads' own log loss on what is labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from torch import Tensor
from torch.special import xlogy

from pyro_hea.program.sites import UNKNOWN, BinarySite, CategoricalSite, ContinuousSite

if TYPE_CHECKING:
    from pyro_hea.alloys.dataset import AlloyBatch
    from pyro_hea.program.sites import Reliability
    from pyro_hea.program.targets import TargetModel

ELBO = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
"""Unlabelled discrete targets are summed out; where none is, there is nothing to enumerate."""

PARTS = 10
"""Of the labels of a number, each of which another member is not shown."""

_AS_EXPECTED = 4
"""Labels that are thought of as one scale off, beside those that a scale is judged by."""


def elbo_loss(model: TargetModel, batch: AlloyBatch, counts: Tensor | None = None) -> Tensor:
    """Negative ELBO, summed over members and alloys, in nats, with its gradient.

    With `counts` (K, N), that of the alloys which `in_each_class` has counted by them.
    """
    with model.one_pass():
        if counts is None:
            return ELBO.differentiable_loss(model.model, model.guide, batch)
        program = (poutine.scale(part, scale=counts) for part in (model.model, model.guide))
        return ELBO.differentiable_loss(*program, batch) + xlogy(counts, counts).sum()


class InEachClass(NamedTuple):
    """Alloys of which some stand for one alloy, and how much they count, (K, N)."""

    alloys: AlloyBatch
    counts: Tensor | None


@torch.no_grad()
def in_each_class(model: TargetModel, batch: AlloyBatch) -> InEachClass:
    """The alloys of unknown class once in each, as known and by as much as the guide holds of it.

    Where the bound does not move what the guide holds of a class, that sum over classes is the one
    that an enumeration takes, and labelled alloys bear none of its branches.
    """
    counts = None
    for name in _by_rows(model):
        known = batch.known(name)
        if known.all():
            continue
        unknown = (~known).nonzero()[:, 0]
        outputs = model.head(name, model.read(batch.take(unknown)), None)
        log_q = cast("BinarySite | CategoricalSite", model.site(name)).log_classes(outputs, {})
        classes = torch.arange(log_q.shape[-1], device=unknown.device)
        of_unknown = classes.repeat_interleave(len(unknown)).to(outputs)
        rows = torch.cat([known.nonzero()[:, 0], unknown.repeat(len(classes))])
        if counts is None:
            counts = batch.features.new_ones(model.members, len(batch))
        counts = counts[:, rows]
        counts[:, -len(of_unknown) :] *= log_q.mT.flatten(1).exp()
        labels = {n: y for n, y in batch.labelled.items() if n != name}
        values = torch.cat([batch.targets[name][known], of_unknown]) if known.any() else of_unknown
        batch = batch.replaced(labelled=labels).take(rows)
        batch = batch.replaced(targets={**batch.targets, name: values})
    return InEachClass(batch, counts)


def _by_rows(model: TargetModel) -> list[str]:
    """Targets whose classes `in_each_class` makes known.

    Not those that others depend on, whose labels may rule out a class, and none where all alloys
    share something else, which is not to be counted with them.
    """
    if model.experts or model.reliabilities:
        return []
    parents = {name for target in model.targets for name in model.ancestors(target.name)}
    return [name for name in model.spec.taught if name not in parents]


def patterns(model: TargetModel, batch: AlloyBatch) -> Tensor:
    """A number for each alloy, on the host, that is equal where the same classes are known, (N,).

    Alloys of one pattern need no mask and no branch for what is known of all of them.
    """
    pattern = torch.zeros(len(batch), dtype=torch.int64)
    for name in _classes(model):
        if name in batch.labelled:
            pattern = 2 * pattern + batch.labelled[name].cpu()
    return pattern


def unknown_classes(model: TargetModel, batch: AlloyBatch) -> Tensor:
    """How many classes of each alloy are not known, on the host, (N,)."""
    unknown = [~batch.known(name).cpu() for name in _classes(model)]
    return torch.stack(unknown).sum(0) if unknown else torch.zeros(len(batch), dtype=torch.int64)


def compacted(batch: AlloyBatch) -> AlloyBatch:
    """The same alloys, without a mask or a placeholder for what is known throughout or nowhere."""
    targets, labelled = dict(batch.targets), dict(batch.labelled)
    for name, known in batch.labelled.items():
        if known.all():
            del labelled[name]
        elif not known.any():
            del labelled[name], targets[name]
    return batch.replaced(targets=targets, labelled=labelled)


def _classes(model: TargetModel) -> list[str]:
    """Targets whose unknown classes are branches."""
    names = [t.name for t in model.targets if not isinstance(model.site(t.name), ContinuousSite)]
    return [name for name in names if name not in _by_rows(model)]


class Told(NamedTuple):
    """What a batch tells of the targets that another is given, and of what those are given.

    `contexts` are as the networks read them (..., N, width): labels where known, else what a head
    expects; `values` are the labels, `UNKNOWN` where there is none.
    """

    contexts: dict[str, Tensor]
    values: dict[str, Tensor]


@torch.no_grad()
def told(model: TargetModel, batch: AlloyBatch, name: str) -> Told:
    """See `Told`; empty where a target is given no other. Heads see what has no label alone."""
    given = Told({}, {})
    for parent in model.ancestors(name):
        site = model.site(parent)
        known = batch.known(parent)
        values = batch.features.new_full((len(batch),), UNKNOWN)
        if parent in batch.targets:
            values = torch.where(known, batch.targets[parent], values)
        contexts = site.encode(torch.where(known, values, site.placeholder))
        if not known.all():
            unknown = ~known
            contexts = contexts.repeat(model.members, 1, 1)
            contexts[:, unknown] = _expected(model, batch.take(unknown), parent, given, unknown)
        given.contexts[parent], given.values[parent] = contexts, values
    return given


def _expected(model: TargetModel, some: AlloyBatch, name: str, given: Told, rows: Tensor) -> Tensor:
    """What a target's head expects of some rows of a batch, (K, n, width)."""
    contexts = {n: context[..., rows, :] for n, context in given.contexts.items()}
    values = {n: value[rows] for n, value in given.values.items()}
    outputs = model.head(name, model.read(some), model.conditioned(name, contexts, some))
    return model.site(name).expected(outputs, values)


def is_told(batch: AlloyBatch, name: str) -> Tensor:
    """Which alloys have a label or a report of a target, (N,)."""
    if name in batch.reports:
        return batch.reports[name].sum((-1, -2)) > 0
    return batch.known(name)


def nats(
    model: TargetModel, batch: AlloyBatch, name: str, outputs: Tensor, values: Mapping[str, Tensor]
) -> Tensor:
    """-log q of the labels or reports of a target, (K, N); anything where there are none.

    0 for reports by which a member judges the sources, and for labels that it is not shown: from
    neither does its head learn.
    """
    site = model.site(name)
    evidence = model.of_reports(name, batch)
    if evidence is None:
        loss = site.nats(outputs, batch.targets[name], values)
        hidden = name in batch.parts
        return loss.masked_fill(unseen(batch, name, model.members), 0.0) if hidden else loss
    assert not isinstance(site, ContinuousSite)
    loss = -(site.log_classes(outputs, values) + evidence).logsumexp(-1)
    if batch.half is None:
        return loss
    return loss.masked_fill(cast("Reliability", model.reliabilities[name]).judges(batch.half), 0.0)


def unseen(batch: AlloyBatch, name: str, members: int) -> Tensor:
    """Which labels of a number each member is not shown in training, (K, N)."""
    part = torch.arange(members, device=batch.parts[name].device) % PARTS
    return batch.parts[name] == part.unsqueeze(-1)


class HeldOut(NamedTuple):
    """Alloys with a label of a target, and which members (K, N) are not trained on it."""

    alloys: AlloyBatch
    members: Tensor


def held_out(
    model: TargetModel, name: str, data: AlloyBatch, validation: AlloyBatch | None
) -> list[HeldOut]:
    """What can be said of a target by heads that have not seen the label."""
    found = []
    if name in data.parts:
        members = unseen(data, name, model.members)
        rows = members.any(0)
        found.append(HeldOut(data.take(rows).replaced(parts={}), members[:, rows]))
    if validation is not None:
        rows = is_told(validation, name)
        members = rows[rows].expand(model.members, -1)
        found.append(HeldOut(validation.take(rows), members))
    return [part for part in found if len(part.alloys)]


def number_loss(model: TargetModel, name: str, parts: list[HeldOut]) -> Tensor:
    """Log loss of a number on labels held out, a scalar, in nats of the standardised number.

    Mean over the labels, and for each over the members that may judge it. Where the number is
    calibrated its scale is taken as these labels ask for: what a calibration mends afterwards
    should not stop a head whose centres still get better.
    """
    site = cast("ContinuousSite", model.site(name))
    scales, squares = [], []
    for alloys, members in parts:
        read, given = model.read(alloys), told(model, alloys, name)
        q = site.normal(model.head(name, read, model.conditioned(name, given.contexts, alloys)))
        away = (site.encode(alloys.targets[name])[..., 0] - q.loc) / q.scale
        share = members / members.sum(0)
        scales.append((q.scale.log().expand_as(away) * share).sum(0))
        squares.append((away.square() * share).sum(0))
    square = torch.cat(squares)
    factor = square.new_ones(())
    if site.calibration is not None:
        factor = (_AS_EXPECTED + square.sum()) / (_AS_EXPECTED + len(square))
    constant = math.log(2 * math.pi) / 2
    return torch.cat(scales).mean() + factor.log() / 2 + square.mean() / factor / 2 + constant


def label_loss(model: TargetModel, batch: AlloyBatch) -> dict[str, Tensor]:
    """Log loss of each head on what is labelled, (K,) a target that has any, nats per label."""
    read = model.read(batch)
    losses = {}
    for target in model.targets:
        name = target.name
        known = is_told(batch, name)
        if known.any():
            given = told(model, batch, name)
            outputs = model.head(name, read, model.conditioned(name, given.contexts, batch))
            loss = nats(model, batch, name, outputs, given.values)
            losses[name] = torch.where(known, loss, 0.0).sum(-1) / known.sum()
    return losses
