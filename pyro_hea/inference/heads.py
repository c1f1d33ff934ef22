"""What heads without a teacher learn beside the bound: labels, and every report of a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pyro_hea.inference.objective import is_told, nats, told
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from pyro_hea.alloys.dataset import AlloyBatch
    from pyro_hea.program.targets import TargetModel
    from pyro_hea.spec import Training


class Measurements(NamedTuple):
    """Every report of a number: rows of its alloys (R,), conditions (R, C), values (R,)."""

    rows: Tensor
    conditions: Tensor
    values: Tensor


class HeadLoss:
    """Log loss of the heads without a teacher on a batch, summed over targets and members, nats.

    Parameters
    ----------
    model : TargetModel
    data : AlloyBatch
        All training alloys.
    settings : Training
    measurements : mapping of str to Measurements
        Of targets with conditions.
    """

    def __init__(
        self,
        model: TargetModel,
        data: AlloyBatch,
        settings: Training,
        measurements: Mapping[str, Measurements],
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.measurements = measurements
        names = [name for name in model.spec.target_names if name not in model.spec.taught]
        told_of = {name: is_told(data, name).nonzero()[:, 0] for name in names}
        self._told = {name: rows for name, rows in told_of.items() if len(rows)}

    def __call__(self, batch: AlloyBatch) -> Tensor:
        """Sum over the targets of which anything is known; each learns in its own way."""
        loss = torch.zeros((), device=batch.features.device)
        for name in self._told:
            if name in self.measurements:
                loss = loss + self.of_measurements(batch, name)
            else:
                loss = loss + self.of_labels(batch, name)
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
