"""The loss: the negative ELBO, and the log loss of the heads on labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer import TraceEnum_ELBO
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.special import xlogy

from pyro_hea.program.sites import UNKNOWN, BinarySite, CategoricalSite, ContinuousSite
from pyro_hea.program.targets import MEMBERS_DIM

if TYPE_CHECKING:
    from pyro.poutine import Trace

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.sites import Reliability
    from pyro_hea.program.targets import TargetModel


def _negative_elbo(
    model: Callable[..., Any], guide: Callable[..., Any], batch: AlloyBatch
) -> Tensor:
    """What `TraceEnum_ELBO.differentiable_loss` gives, in fewer steps.

    Discrete sites of the guide are summed out: each term is weighted by the probability of its
    branch under the guide. Pyro's own sum asks the device which probabilities are 0, at each term.
    """
    branches = poutine.enum(guide, first_available_dim=MEMBERS_DIM - 1)
    posterior = poutine.trace(branches).get_trace(batch)
    program = poutine.trace(poutine.replay(model, trace=posterior)).get_trace(batch)
    drawn, scored = _samples(posterior), _samples(program)
    if not all(site["is_observed"] or site["name"] in posterior for site in scored):
        elbo = TraceEnum_ELBO(max_plate_nesting=-MEMBERS_DIM)  # the model has branches of its own
        return elbo.differentiable_loss(model, guide, batch)
    terms: dict[torch.Size, Tensor] = {}
    of_branches = []
    for sites, sign in ((drawn, 1.0), (scored, -1.0)):
        for site in sites:
            log_p = site["fn"].log_prob(site["value"])
            if sites is drawn and "_enumerate_dim" in site["infer"]:
                of_branches.append(log_p)
            term = scale_and_mask(log_p, site["scale"], site["mask"])
            if term.shape in terms:
                terms[term.shape] = terms[term.shape].add(term, alpha=sign)
            else:
                terms[term.shape] = term if sign > 0 else -term
    probability = sum(of_branches[1:], of_branches[0]).exp() if of_branches else None
    sums = []
    for shape, term in terms.items():
        if probability is not None and len(shape) > -MEMBERS_DIM:
            weight = probability.sum_to_size(shape)
            term = weight * term.masked_fill(weight == 0, 0.0)
        sums.append(term.sum())
    return sum(sums[1:], sums[0])


def _samples(trace: Trace) -> list[dict[str, Any]]:
    """The sites of a trace that are drawn or observed."""
    nodes: dict[str, Any] = dict(trace.nodes)
    return [
        site
        for site in nodes.values()
        if site["type"] == "sample"
        and not site_is_subsample(site)
        and not site["infer"].get("_deterministic")
    ]


_FEWEST_FOLDS, LABEL_FOLDS = 4, 10
"""Least and greatest number of folds of the labels of a number, see `count_label_folds`."""

_PSEUDO_LABELS = 4
"""Imagined labels at one standard deviation, a prior on the scale that is fitted."""


def elbo_loss(model: TargetModel, batch: AlloyBatch, counts: Tensor | None = None) -> Tensor:
    """Negative ELBO, summed over members and alloys, in nats, with its gradient.

    `counts` (K, N) are the weights of the alloys after `split_by_class`.
    """
    with model.cached_flow():
        if counts is None:
            return _negative_elbo(model.model, model.guide, batch)
        program, guide = (poutine.scale(part, scale=counts) for part in (model.model, model.guide))
        return _negative_elbo(program, guide, batch) + xlogy(counts, counts).sum()


class SplitAlloys(NamedTuple):
    """Alloys, several of which may be one alloy in each of its classes, with weights (K, N)."""

    alloys: AlloyBatch
    counts: Tensor | None


Known = Mapping[str, Tensor]
"""Which alloys have a label (N,), by target, on the CPU: asked there, it makes no device wait."""


def known_labels(batch: AlloyBatch) -> Known:
    """The `Known` of a batch: of each target that some alloys may lack."""
    return {name: known.cpu() for name, known in batch.labelled.items()}


def take(batch: AlloyBatch, known: Known, rows: Tensor) -> tuple[AlloyBatch, Known]:
    """Rows of the CPU of a batch, and of what is known of it."""
    on_device = rows.to(batch.features.device, non_blocking=True)
    return batch.take(on_device), {name: mask[rows] for name, mask in known.items()}


def _labelled(batch: AlloyBatch, known: Known, name: str) -> Tensor:
    """Which alloys have a label of a target, on the CPU, (N,)."""
    return known[name] if name in known else torch.full((len(batch),), name in batch.targets)


@torch.no_grad()
def split_by_class(model: TargetModel, batch: AlloyBatch, known: Known) -> SplitAlloys:
    """Replace each alloy of unknown class by one alloy of each class, weighted by q(class).

    Where q has no gradient, as of heads with a teacher, the ELBO is the same as with enumeration,
    and labelled alloys take no part in its branches.
    """
    counts = None
    for name in _split_targets(model):
        labelled = _labelled(batch, known, name)
        unknown, rest = (~labelled).nonzero()[:, 0], labelled.nonzero()[:, 0]
        if not len(unknown):
            continue
        some, _ = take(batch, {}, unknown)
        outputs = model.head(name, model.head_inputs(some), model.conditioned(name, {}, some))
        log_q = cast("BinarySite | CategoricalSite", model.site(name)).log_classes(outputs, {})
        classes = torch.arange(log_q.shape[-1], device=outputs.device)
        values = classes.repeat_interleave(len(unknown)).to(outputs)
        if counts is None:
            counts = batch.features.new_ones(model.members, len(batch))
        rows = torch.cat([rest, unknown.repeat(len(classes))])
        counts = counts[:, rows.to(outputs.device, non_blocking=True)]
        counts[:, -len(values) :] *= log_q.mT.flatten(1).exp()
        labels = {n: y for n, y in batch.labelled.items() if n != name}
        batch, known = take(batch.replaced(labelled=labels), known, rows)
        if len(rest):
            values = torch.cat([batch.targets[name][: len(rest)], values])
        batch = batch.replaced(targets={**batch.targets, name: values})
    return SplitAlloys(batch, counts)


def _split_targets(model: TargetModel) -> list[str]:
    """Targets that `split_by_class` splits.

    Not the parents of other targets, whose labels may rule out a class; and none where the model
    has global latents, whose terms must not be weighted.
    """
    if model.experts or model.reliabilities:
        return []
    parents = {name for target in model.targets for name in model.ancestors(target.name)}
    return [
        name
        for name in model.spec.distilled_targets
        if name not in parents and not isinstance(model.site(name), ContinuousSite)
    ]


def label_patterns(model: TargetModel, batch: AlloyBatch) -> Tensor:
    """A number for each alloy, equal where the same classes are known, on the CPU, (N,).

    A batch of one pattern needs no masks, and no branches for classes that are known.
    """
    pattern = torch.zeros(len(batch), dtype=torch.int64)
    for name in _classes(model):
        if name in batch.labelled:
            pattern = 2 * pattern + batch.labelled[name].cpu()
    return pattern


def count_unknown_classes(model: TargetModel, batch: AlloyBatch) -> Tensor:
    """How many classes of each alloy are not known, on the CPU, (N,)."""
    unknown = [~batch.known(name).cpu() for name in _classes(model)]
    return torch.stack(unknown).sum(0) if unknown else torch.zeros(len(batch), dtype=torch.int64)


def without_masks(batch: AlloyBatch, known: Known) -> AlloyBatch:
    """The same alloys, without masks and placeholders of targets known for all or for none."""
    targets, labelled = dict(batch.targets), dict(batch.labelled)
    for name, mask in known.items():
        if mask.all():
            del labelled[name]
        elif not mask.any():
            del labelled[name], targets[name]
    return batch.replaced(targets=targets, labelled=labelled)


def _classes(model: TargetModel) -> list[str]:
    """Targets whose unknown classes are enumerated."""
    names = [t.name for t in model.targets if not isinstance(model.site(t.name), ContinuousSite)]
    return [name for name in names if name not in _split_targets(model)]


class KnownValues(NamedTuple):
    """Values of the ancestors of a target in a batch.

    `contexts` are encoded for the networks, (..., N, width): labels where known, else the
    expectation of the head; `values` are the labels, `UNKNOWN` where there is none.
    """

    contexts: dict[str, Tensor]
    values: dict[str, Tensor]


@torch.no_grad()
def known_values(
    model: TargetModel, batch: AlloyBatch, name: str, labels: Known | None = None
) -> KnownValues:
    """The `KnownValues` of a target's ancestors; empty where it has none.

    `labels` are the known ones, where the CPU has them.
    """
    labels = known_labels(batch) if labels is None else labels
    given = KnownValues({}, {})
    for parent in model.ancestors(name):
        site = model.site(parent)
        known = batch.known(parent)
        values = batch.features.new_full((len(batch),), UNKNOWN)
        if parent in batch.targets:
            values = torch.where(known, batch.targets[parent], values)
        contexts = site.encode(torch.where(known, values, site.placeholder))
        unknown = (~_labelled(batch, labels, parent)).nonzero()[:, 0]
        if len(unknown):
            unknown = unknown.to(known.device, non_blocking=True)
            contexts = contexts.repeat(model.members, 1, 1)
            contexts[:, unknown] = _expected(model, batch.take(unknown), parent, given, unknown)
        given.contexts[parent], given.values[parent] = contexts, values
    return given


def _expected(
    model: TargetModel, some: AlloyBatch, name: str, given: KnownValues, rows: Tensor
) -> Tensor:
    """Expectation of a target's head at some rows of a batch, encoded, (K, n, width)."""
    contexts = {n: context[..., rows, :] for n, context in given.contexts.items()}
    values = {n: value[rows] for n, value in given.values.items()}
    outputs = model.head(name, model.head_inputs(some), model.conditioned(name, contexts, some))
    return model.site(name).expected(outputs, values)


def has_label(batch: AlloyBatch, name: str) -> Tensor:
    """Which alloys have a label or a report of a target, (N,)."""
    if name in batch.reports:
        return batch.reports[name].sum((-1, -2)) > 0
    return batch.known(name)


def head_loss(
    model: TargetModel, batch: AlloyBatch, name: str, outputs: Tensor, values: Mapping[str, Tensor]
) -> Tensor:
    """-log q of the labels or reports of a target, (K, N); undefined where there are none.

    0 for labels withheld from a member, and for the reports by which it estimates the reliability
    of the sources: its head learns from neither.
    """
    site = model.site(name)
    evidence = model.report_evidence(name, batch)
    if evidence is None:
        loss = site.log_loss(outputs, batch.targets[name], values)
        if name in batch.label_folds:
            loss = loss.masked_fill(withheld_labels(batch, name, model.members), 0.0)
        return loss
    assert not isinstance(site, ContinuousSite)
    loss = -(site.log_classes(outputs, values) + evidence).logsumexp(-1)
    if batch.report_half is None:
        return loss
    return loss.masked_fill(
        cast("Reliability", model.reliabilities[name]).judges(batch.report_half), 0.0
    )


def count_label_folds(members: int) -> int:
    """Folds of the labels of a distilled number: one a member, so that each is withheld from one.

    Examples
    --------
    >>> [count_label_folds(members) for members in (1, 8, 64)]
    [4, 8, 10]
    """
    return min(max(members, _FEWEST_FOLDS), LABEL_FOLDS)


def withheld_labels(batch: AlloyBatch, name: str, members: int) -> Tensor:
    """Which labels of a number are withheld from each member in training, (K, N)."""
    fold = torch.arange(members, device=batch.label_folds[name].device)
    part = fold % LABEL_FOLDS
    return batch.label_folds[name] == part.unsqueeze(-1)


class Measurements(NamedTuple):
    """Every report of a target: rows of its alloys (R,), conditions (R, C), values (R,)."""

    rows: Tensor
    conditions: Tensor
    values: Tensor


def at_measurements(batch: AlloyBatch, name: str, reports: Measurements) -> AlloyBatch:
    """A row for each report of a target, at its conditions."""
    some = batch.take(reports.rows)
    return some.replaced(
        targets={**some.targets, name: reports.values},
        labelled={n: mask for n, mask in some.labelled.items() if n != name},
        conditions={**some.conditions, name: reports.conditions},
    )


class HeldOut(NamedTuple):
    """Alloys with a label of a target, and the members (K, N) that are not trained on it.

    An alloy may have several, whose `weights` (N,), in double precision, add up to 1.
    """

    alloys: AlloyBatch
    members: Tensor
    weights: Tensor


def held_out(
    model: TargetModel,
    name: str,
    data: AlloyBatch,
    validation: AlloyBatch | None,
    reports: Measurements | None = None,
) -> list[HeldOut]:
    """Labels of a target with the members whose heads have not seen them.

    Of a number with conditions, every one of its `reports` is such a label.
    """
    found = []
    if name in data.label_folds:
        alloys = torch.arange(len(data), device=data.features.device)
        if reports is not None:
            data, alloys = at_measurements(data, name, reports), reports.rows
        members = withheld_labels(data, name, model.members)
        rows = members.any(0)
        same = alloys[rows]
        weights = (same[:, None] == same).sum(1).double().reciprocal()
        some = data.take(rows).replaced(label_folds={})
        found.append(HeldOut(some, members[:, rows], weights))
    if validation is not None:
        rows = has_label(validation, name)
        members = rows[rows].expand(model.members, -1)
        weights = torch.ones(members.shape[1], dtype=torch.float64, device=members.device)
        found.append(HeldOut(validation.take(rows), members, weights))
    return [part for part in found if len(part.alloys)]


def number_loss(model: TargetModel, name: str, parts: list[HeldOut]) -> Tensor:
    """Log loss of a number on labels held out, a scalar, in nats of the standardised number.

    Mean over the labels, and for each over the members that have not seen it. Where the number is
    calibrated, its scale is fitted to these labels first: calibration corrects the scale later, so
    only the centres should decide when a head stops.
    """
    site = cast("ContinuousSite", model.site(name))
    scales, squares = [], []
    for alloys, members, _ in parts:
        read, given = model.head_inputs(alloys), known_values(model, alloys, name)
        q = site.normal(model.head(name, read, model.conditioned(name, given.contexts, alloys)))
        away = (site.encode(alloys.targets[name])[..., 0] - q.loc) / q.scale
        share = members / members.sum(0)
        scales.append((q.scale.log().expand_as(away) * share).sum(0))
        squares.append((away.square() * share).sum(0))
    square = torch.cat(squares)
    factor = square.new_ones(())
    if site.calibration is not None:
        factor = (_PSEUDO_LABELS + square.sum()) / (_PSEUDO_LABELS + len(square))
    constant = math.log(2 * math.pi) / 2
    return torch.cat(scales).mean() + factor.log() / 2 + square.mean() / factor / 2 + constant


def label_loss(model: TargetModel, batch: AlloyBatch) -> dict[str, Tensor]:
    """Log loss of each head on what is labelled, (K,) a target that has any, nats per label."""
    read = model.head_inputs(batch)
    losses = {}
    for target in model.targets:
        name = target.name
        known = has_label(batch, name)
        if known.any():
            given = known_values(model, batch, name)
            outputs = model.head(name, read, model.conditioned(name, given.contexts, batch))
            loss = head_loss(model, batch, name, outputs, given.values)
            losses[name] = torch.where(known, loss, 0.0).sum(-1) / known.sum()
    return losses
