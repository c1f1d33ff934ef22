"""Log loss of the heads without a teacher: on labels, and on every report of a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.inference.objective import (
    Known,
    Measurements,
    at_measurements,
    has_label,
    head_loss,
    known_labels,
    known_values,
    take,
)
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.targets import TargetModel
    from pyro_hea.spec import Training


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
        names = [
            name for name in model.spec.target_names if name not in model.spec.distilled_targets
        ]
        labelled = {name: has_label(data, name).cpu().nonzero()[:, 0] for name in names}
        self._labelled = {name: rows for name, rows in labelled.items() if len(rows)}
        self._known = known_labels(data)
        self._measured = {name: every.rows.cpu() for name, every in measurements.items()}

    def __call__(self, batch: AlloyBatch, known: Known | None = None) -> Tensor:
        """Sum over the targets that have labels or measurements.

        `known` are the labels of the batch, where the CPU has them.
        """
        known = known_labels(batch) if known is None else known
        loss = torch.zeros(())
        for name in self._labelled:
            if name in self.measurements:
                loss = loss + self.of_measurements(batch, name)
            else:
                loss = loss + self.of_labels(batch, known, name)
        return loss

    def of_labels(self, batch: AlloyBatch, labels: Known, name: str) -> Tensor:
        """Log loss on the labelled alloys of a batch, mixed with others."""
        model, rows, mixup = self.model, self._labelled[name], self.settings.mixup
        size = len(batch)
        if model.ancestors(name):  # spares the expectations of alloys without a label
            labelled = has_label(batch, name).cpu() if name in batch.reports else labels.get(name)
            if labelled is not None:
                batch, labels = take(batch, labels, labelled.nonzero()[:, 0])
        features, known = model.head_inputs(batch), known_values(model, batch, name, labels)
        context = model.conditioned(name, known.contexts, batch)
        if not mixup or isinstance(model.site(name), ContinuousSite):
            loss = head_loss(model, batch, name, model.head(name, features, context), known.values)
        else:
            # The log loss is linear in the label: that of mixed labels is the mixed log loss.
            picked = torch.randint(len(rows), (len(batch),))
            other, of_other = take(self.data, self._known, rows[picked])
            share = torch.distributions.Beta(mixup, mixup).sample((len(batch), 1))
            share = share.to(features.embedded, non_blocking=True)
            other_features = model.head_inputs(other)
            other_known = known_values(model, other, name, of_other)
            other_context = model.conditioned(name, other_known.contexts, other)
            if context is not None and other_context is not None:
                context = torch.lerp(context, other_context, share)
            outputs = model.head(name, features.lerp(other_features, share), context)
            share = share[:, 0]
            loss = (1 - share) * head_loss(model, batch, name, outputs, known.values)
            loss = loss + share * head_loss(model, other, name, outputs, other_known.values)
        loss = torch.where(has_label(batch, name), loss, 0.0)
        # Each label has the same weight in any batch: the mean is over all labelled alloys.
        return loss.sum() * len(self.data) / len(rows) / size

    def of_measurements(self, batch: AlloyBatch, name: str) -> Tensor:
        """Mean log loss on as many random measurements as a batch has alloys."""
        every = self.measurements[name]
        picked = torch.randint(len(every.rows), (len(batch),))
        rows = self._measured[name][picked]
        labels = {n: mask[rows] for n, mask in self._known.items() if n != name}
        picked = picked.to(batch.features.device, non_blocking=True)
        some = at_measurements(self.data, name, Measurements(*(part[picked] for part in every)))
        model = self.model
        features, known = model.head_inputs(some), known_values(model, some, name, labels)
        outputs = model.head(name, features, model.conditioned(name, known.contexts, some))
        return head_loss(model, some, name, outputs, known.values).mean(-1).sum()
