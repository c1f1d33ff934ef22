"""What is minimised: the negative ELBO, and the heads' own log loss on what is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from pyro_hea.sites import UNKNOWN, ContinuousSite

if TYPE_CHECKING:
    from pyro_hea.dataset import AlloyBatch
    from pyro_hea.model import AlloyModel, Read
    from pyro_hea.sites import Reliability

ELBO = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
"""Unlabelled discrete targets are summed out; where none is, there is nothing to enumerate."""


def elbo_loss(model: AlloyModel, batch: AlloyBatch) -> Tensor:
    """Negative ELBO, summed over members and alloys, in nats, with its gradient."""
    return ELBO.differentiable_loss(model.model, model.guide, batch)


def patterns(model: AlloyModel, batch: AlloyBatch) -> Tensor:
    """A number for each alloy, on the host, that is equal where the same classes are known, (N,).

    Alloys of one pattern need no mask and no branch for what is known of all of them.
    """
    pattern = torch.zeros(len(batch), dtype=torch.int64)
    for name in _classes(model):
        if name in batch.labelled:
            pattern = 2 * pattern + batch.labelled[name].cpu()
    return pattern


def compacted(model: AlloyModel, batch: AlloyBatch) -> AlloyBatch:
    """The same alloys, all of one pattern, each class known throughout or nowhere."""
    targets, labelled = dict(batch.targets), dict(batch.labelled)
    for name in _classes(model):
        known = labelled.pop(name, None)
        if known is not None and not known[0]:
            del targets[name]
    return batch.replaced(targets=targets, labelled=labelled)


def _classes(model: AlloyModel) -> list[str]:
    return [t.name for t in model.targets if not isinstance(model.site(t.name), ContinuousSite)]


class Told(NamedTuple):
    """What a batch tells of the targets that others are given.

    `contexts` are as the networks read them (..., K, N, width): labels where known, else what a
    head expects; `values` are the labels, `UNKNOWN` where there is none.
    """

    contexts: dict[str, Tensor]
    values: dict[str, Tensor]


@torch.no_grad()
def told(model: AlloyModel, batch: AlloyBatch, read: Read) -> Told:
    """See `Told`; empty where no target depends on another."""
    parents = {name for target in model.targets for name in target.given}
    contexts: dict[str, Tensor] = {}
    values: dict[str, Tensor] = {}
    for target in model.targets:
        name = target.name
        if name not in parents:
            continue
        site = model.site(name)
        outputs = model.head(name, read, model.conditioned(name, contexts, batch))
        contexts[name] = site.expected(outputs, values)
        values[name] = batch.features.new_full((len(batch),), UNKNOWN)
        if name in batch.targets:
            known, labels = batch.known(name), batch.targets[name]
            contexts[name] = torch.where(known[:, None], site.encode(labels), contexts[name])
            values[name] = torch.where(known, labels, values[name])
    return Told(contexts, values)


def is_told(batch: AlloyBatch, name: str) -> Tensor:
    """Which alloys have a label or a report of a target, (N,)."""
    if name in batch.reports:
        return batch.reports[name].sum((-1, -2)) > 0
    return batch.known(name)


def nats(
    model: AlloyModel, batch: AlloyBatch, name: str, outputs: Tensor, values: Mapping[str, Tensor]
) -> Tensor:
    """-log q of the labels or reports of a target, (K, N); anything where there are none.

    0 for reports by which a member judges the sources, and from which its head does not learn.
    """
    site = model.site(name)
    evidence = model.of_reports(name, batch)
    if evidence is None:
        return site.nats(outputs, batch.targets[name], values)
    assert not isinstance(site, ContinuousSite)
    loss = -(site.log_classes(outputs, values) + evidence).logsumexp(-1)
    if batch.half is None:
        return loss
    return loss.masked_fill(cast("Reliability", model.reliabilities[name]).judges(batch.half), 0.0)


def label_loss(model: AlloyModel, batch: AlloyBatch) -> dict[str, Tensor]:
    """Log loss of each head on what is labelled, (K,) a target that has any, nats per label."""
    read = model.read(batch)
    given = told(model, batch, read)
    losses = {}
    for target in model.targets:
        name = target.name
        known = is_told(batch, name)
        if known.any():
            outputs = model.head(name, read, model.conditioned(name, given.contexts, batch))
            loss = nats(model, batch, name, outputs, given.values)
            losses[name] = torch.where(known, loss, 0.0).sum(-1) / known.sum()
    return losses
