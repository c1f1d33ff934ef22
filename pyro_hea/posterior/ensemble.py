"""A trained ensemble: the model with its elements, features and training alloys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch.distributions import Independent

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import DataError, UnknownElementError
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import (
    AlloyBatch,
    AlloyDataset,
    encode_labels,
    encode_values,
    labels_at_conditions,
    references,
    report_counts,
    to_batch,
)
from pyro_hea.materials.alloys.element_tables import PropertyTables, load_tables
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior.marginals import marginals
from pyro_hea.posterior.members import Members
from pyro_hea.posterior.modes import find_modes
from pyro_hea.posterior.traces import in_double_precision
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.spec import Binary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.spec import ModelSpec, Target


_MODE_SEARCH_ROWS = 1024
"""Alloys encoded at a time, over members: each has many searches."""

_PRIOR_DRAWS = 4000
"""Draws from which the moments of a prior of z are estimated."""


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Members):
    """K trained members and their training alloys.

    Attributes
    ----------
    model : AlloyModel
    elements : tuple of str
        Columns of a composition, the elements of the training alloys.
    known : DataFrame, shape (N, E)
        Fractions of the training alloys by formula.
    seed : int
        Seed that it was trained with.
    """

    model: AlloyModel
    elements: tuple[str, ...]
    known: pd.DataFrame
    seed: int

    @property
    def spec(self) -> ModelSpec:
        """Declaration of the model."""
        return self.model.spec

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.embedding.edges.device

    @property
    def tables(self) -> PropertyTables:
        """Element and pair tables behind the features."""
        return load_tables(self.spec.features.tables)

    @cached_property
    def feature_map(self) -> FeatureMap:
        """Features of compositions over the training elements."""
        return FeatureMap(self.spec.features.columns, self.tables, self.elements)

    def batch(self, alloys: AlloyDataset | Alloys, labels: bool = True) -> AlloyBatch:
        """Alloys of the training elements as tensors, with their labels where they have any.

        Raises
        ------
        UnknownElementError
            For an element that no training alloy holds.
        """
        fractions = self.fractions(alloys)
        if not (labels and isinstance(alloys, AlloyDataset)):
            return to_batch(fractions, self.feature_map, device=self.device)
        model = self.model
        known = alloys.labels.reindex(columns=list(self.spec.target_names))
        conditions = {}
        for target in model.targets:
            if target.conditions:
                known[target.name], at = labels_at_conditions(alloys, target)
                conditions[target.name] = self.standardised_conditions(target, at)
        known = encode_labels(known.drop(columns=list(model.reliabilities)), model.targets)
        batch = to_batch(
            fractions,
            self.feature_map,
            known,
            self.device,
            placeholders={t.name: model.site(t.name).placeholder for t in model.targets},
        )
        like = batch.features
        sources = model.statistics.sources
        reports = {
            name: like.new_tensor(report_counts(alloys, self.spec.target(name), sources[name]))
            for name in model.reliabilities
        }
        tensors = {name: like.new_tensor(at) for name, at in conditions.items()}
        return replace(batch, conditions=tensors, reports=reports)

    def standardised_conditions(
        self, target: Target, conditions: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Conditions (N, C) as the model reads them: 0 where predictions are made."""
        scale = np.array(self.model.statistics.conditions[target.name])
        return (conditions - references(target.conditions)) / scale

    def fractions(self, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
        """Fractions over the training elements, (N, E)."""
        table = as_fractions(alloys)
        for element in table.columns.difference(list(self.elements)):
            rows = np.flatnonzero(table[element] > 0)
            if len(rows):
                raise UnknownElementError(
                    f"row {rows[0] + 1} ('{table.index[rows[0]]}') holds {element}, which no "
                    f"training alloy holds. Its latent is not defined; `predict` answers from "
                    f"features. Training elements: {', '.join(self.elements)}"
                )
        return table.reindex(columns=list(self.elements), fill_value=0.0)

    @torch.no_grad()
    def head_probabilities(self, features: Tensor) -> dict[str, Tensor]:
        """q(y = 1 | features) of each member, (K, N) a binary target."""
        batch = AlloyBatch(None, features, {}, {})
        binary = [t.name for t in self.spec.targets if isinstance(t, Binary)]
        answers = marginals(self.model, batch, binary)
        return {name: answers[name].probabilities()[..., 1] for name in binary}

    @cached_property
    def latent_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the prior of z in each member, (K, d).

        From draws where the prior is learnt or has no moments.
        """
        model = self.model
        shape = (self.members, model.spec.latent.dim)
        with torch.no_grad():
            prior = model.latent_prior()
            if isinstance(prior, Independent):
                mean, sd = prior.mean.expand(shape), prior.stddev.expand(shape)
                if bool((mean + sd).isfinite().all()):
                    return mean, sd
            with seeded(0):
                z = prior.expand([self.members, 1]).sample(torch.Size([_PRIOR_DRAWS]))[:, :, 0]
        return z.mean(0), z.std(0)

    @torch.no_grad()
    def most_probable(self, batch: AlloyBatch) -> dict[str, Tensor]:
        """Known labels, and the most probable value of each member elsewhere, (K, N) a target.

        Reports count, and classes that labels of other targets rule out are left out.
        """
        model, read = self.model, self.model.head_inputs(batch)
        values: dict[str, Tensor] = {}
        for target in model.targets:
            name = target.name
            outputs = model.head(name, read, model.given(name, values, batch))
            site, evidence = model.site(name), model.evidence(name, batch)
            if evidence is None or isinstance(site, ContinuousSite):
                guess = site.likeliest(outputs, values)
            else:
                guess = (site.log_classes(outputs, values) + evidence).argmax(-1).to(outputs)
            if name in batch.targets:
                guess = torch.where(batch.known(name), batch.targets[name], guess)
            values[name] = guess
        return values

    @torch.no_grad()
    def guide_centre(self, batch: AlloyBatch) -> Tensor:
        """Centre of the guide of each alloy in each member, pushed to z, (K, N, d)."""
        return self.model.latent_mean(batch.composition, self.most_probable(batch))

    def encode(self, batch: AlloyBatch) -> Tensor:
        """Latent of each alloy in each member, (K, N, d): the mode of w given it, pushed to z.

        The guide is one network for all alloys; the search starts at its centre and around it, and
        is in double precision, so that an alloy has the same latent alone and among others. See
        `pyro_hea.posterior.modes`.
        """
        some = torch.arange(len(batch)).split(max(1, _MODE_SEARCH_ROWS // self.members))
        with unvalidated():
            return torch.cat([self._modes(batch.take(rows.to(self.device))) for rows in some], 1)

    def _modes(self, batch: AlloyBatch) -> Tensor:
        given = batch.replaced(targets=self.most_probable(batch), labelled={})
        z = find_modes(*in_double_precision(self.model, given))
        return z.to(given.features.dtype)

    @torch.no_grad()
    def decode(self, z: Tensor, targets: Mapping[str, str | float | Tensor]) -> Tensor:
        """Typical composition at z (K, N, d) with the given targets, (K, N, E)."""
        numbers = {
            n: self.encode_value(n, v) if isinstance(v, str) else v for n, v in targets.items()
        }
        y = {n: torch.as_tensor(v).to(z).expand(z.shape[:-1]) for n, v in numbers.items()}
        return self.model.likelihood(z, y).typical

    def encode_value(self, name: str, value: str | float) -> float:
        """A value of a target as a number; a class, by name or position, as its position.

        Raises
        ------
        UnknownTargetError
        DataError
            For a name that is no class of the target.
        """
        self.check_target(name)
        if not isinstance(value, str):
            return float(value)
        given = pd.Series([value], index=[name])
        return float(encode_values(given, self.spec.target(name)).iloc[0])


def as_fractions(alloys: AlloyDataset | Alloys) -> pd.DataFrame:
    """Fractions of alloys given in any way, (N, their elements)."""
    table = alloys.fractions if isinstance(alloys, AlloyDataset) else fraction_table(alloys)
    if table.empty:
        raise DataError("there is no alloy here; give at least one")
    return table
