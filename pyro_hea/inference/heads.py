"""What the heads learn beside the bound: the labels, every report of a number, and a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pyro_hea.inference.objective import is_told, nats, taught_nats, told
from pyro_hea.sites import ContinuousSite

if TYPE_CHECKING:
    from pyro_hea.dataset import AlloyBatch
    from pyro_hea.model import AlloyModel
    from pyro_hea.spec import Training
    from pyro_hea.teacher import Lessons


class Measurements(NamedTuple):
    """Every report of a number: rows of its alloys (R,), conditions (R, C), values (R,)."""

    rows: Tensor
    conditions: Tensor
    values: Tensor


class HeadLoss:
    """Log loss of the heads on a batch, summed over targets and members, nats.

    Parameters
    ----------
    model : AlloyModel
    data : AlloyBatch
        All training alloys.
    settings : Training
    measurements : mapping of str to Measurements
        Of targets with conditions.
    lessons : Lessons, optional
        What heads are taught beside the labels.
    """

    def __init__(
        self,
        model: AlloyModel,
        data: AlloyBatch,
        settings: Training,
        measurements: Mapping[str, Measurements],
        lessons: Lessons | None,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.measurements, self.lessons = measurements, lessons
        self.taught = list(lessons.probabilities) if lessons is not None else []
        told_of = {t.name: is_told(data, t.name).nonzero()[:, 0] for t in model.targets}
        self._told = {name: rows for name, rows in told_of.items() if len(rows)}

    def __call__(self, batch: AlloyBatch) -> Tensor:
        """Sum over the targets of which anything is known; each learns in its own way."""
        loss = torch.zeros((), device=batch.features.device)
        for name in self._told:
            if name in self.measurements:
                loss = loss + self.of_measurements(batch, name)
            elif name in self.taught:
                loss = loss + self.of_lessons(batch, name)
            else:
                loss = loss + self.of_labels(batch, name)
        return loss

    def of_lessons(self, batch: AlloyBatch, name: str) -> Tensor:
        """Log loss on as many alloys as a batch has, a share of them taught, the rest its own."""
        assert self.lessons is not None
        assert self.settings.teacher is not None
        lessons, share = self.lessons, self.settings.teacher.share
        own = len(batch) - int(share * len(batch))
        device = batch.features.device
        picked = torch.randint(len(lessons.alloys), (len(batch) - own,), device=device)
        said = lessons.probabilities[name][:, picked]
        loss = torch.zeros((), device=device)
        if len(picked):
            taught = taught_nats(self.model, lessons.alloys.take(picked), name, said)
            loss = loss + share * taught.mean(-1).sum()
        if own:
            rows = torch.arange(own, device=device)
            loss = loss + (1 - share) * self.of_labels(batch.take(rows), name)
        return loss

    def of_labels(self, batch: AlloyBatch, name: str) -> Tensor:
        """Log loss on the labelled alloys of a batch, mixed with others."""
        model, rows, mixup = self.model, self._told[name], self.settings.mixup
        size = len(batch)
        if model.ancestors(name):  # what is expected of the other alloys would be in vain
            batch = batch.take(is_told(batch, name))
        read, given = model.read(batch), told(model, batch, name)
        inputs = model.conditioned(name, given.contexts, batch)
        if not mixup or isinstance(model.site(name), ContinuousSite):
            loss = nats(model, batch, name, model.head(name, read, inputs), given.values)
        else:
            # The log loss is linear in the label: that of mixed labels is the mixed log loss.
            picked = torch.randint(len(rows), (len(batch),), device=rows.device)
            other = self.data.take(rows[picked])
            share = torch.distributions.Beta(mixup, mixup).sample((len(batch), 1)).to(read.embedded)
            other_read, other_given = model.read(other), told(model, other, name)
            other_inputs = model.conditioned(name, other_given.contexts, other)
            if inputs is not None and other_inputs is not None:
                inputs = torch.lerp(inputs, other_inputs, share)
            outputs = model.head(name, read.lerp(other_read, share), inputs)
            share = share[:, 0]
            loss = (1 - share) * nats(model, batch, name, outputs, given.values)
            loss = loss + share * nats(model, other, name, outputs, other_given.values)
        loss = torch.where(is_told(batch, name), loss, 0.0)
        # Per labelled alloy of the whole data, so that each label weighs the same in any batch.
        return loss.sum() * len(self.data) / len(rows) / size

    def of_measurements(self, batch: AlloyBatch, name: str) -> Tensor:
        """Mean log loss on as many measurements as a batch has alloys, at any condition."""
        every = self.measurements[name]
        picked = torch.randint(len(every.rows), (len(batch),), device=batch.features.device)
        some = self.data.take(every.rows[picked])
        labelled = {n: known for n, known in some.labelled.items() if n != name}
        some = some.replaced(
            targets={**some.targets, name: every.values[picked]},
            labelled=labelled,
            conditions={**some.conditions, name: every.conditions[picked]},
        )
        read, given = self.model.read(some), told(self.model, some, name)
        outputs = self.model.head(name, read, self.model.conditioned(name, given.contexts, some))
        return nats(self.model, some, name, outputs, given.values).mean(-1).sum()
