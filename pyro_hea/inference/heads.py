"""Log loss of the heads without a teacher: on labels, and on every report of a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.inference.objective import (
    Measurements,
    at_measurements,
    has_label,
    head_loss,
    known_values,
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
        labelled = {name: has_label(data, name).nonzero()[:, 0] for name in names}
        self._labelled = {name: rows for name, rows in labelled.items() if len(rows)}

    def __call__(self, batch: AlloyBatch) -> Tensor:
        """Sum over the targets that have labels or measurements."""
        loss = torch.zeros((), device=batch.features.device)
        for name in self._labelled:
            if name in self.measurements:
                loss = loss + self.of_measurements(batch, name)
            else:
                loss = loss + self.of_labels(batch, name)
        return loss

    def of_labels(self, batch: AlloyBatch, name: str) -> Tensor:
        """Log loss on the labelled alloys of a batch, mixed with others."""
        model, rows, mixup = self.model, self._labelled[name], self.settings.mixup
        size = len(batch)
        if model.ancestors(name):  # spares the expectations of alloys without a label
            batch = batch.take(has_label(batch, name))
        features, known = model.head_inputs(batch), known_values(model, batch, name)
        context = model.conditioned(name, known.contexts, batch)
        if not mixup or isinstance(model.site(name), ContinuousSite):
            loss = head_loss(model, batch, name, model.head(name, features, context), known.values)
        else:
            # The log loss is linear in the label: that of mixed labels is the mixed log loss.
            picked = torch.randint(len(rows), (len(batch),), device=rows.device)
            other = self.data.take(rows[picked])
            share = torch.distributions.Beta(mixup, mixup).sample((len(batch), 1))
            share = share.to(features.embedded)
            other_features, other_known = model.head_inputs(other), known_values(model, other, name)
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
        picked = torch.randint(len(every.rows), (len(batch),), device=batch.features.device)
        some = at_measurements(self.data, name, Measurements(*(part[picked] for part in every)))
        model = self.model
        features, known = model.head_inputs(some), known_values(model, some, name)
        outputs = model.head(name, features, model.conditioned(name, known.contexts, some))
        return head_loss(model, some, name, outputs, known.values).mean(-1).sum()
