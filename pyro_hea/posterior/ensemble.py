"""A trained ensemble: the model together with what its inputs and outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.composition import PropertyTables, fraction_table, load_tables
from pyro_hea.dataset import AlloyBatch, AlloyDataset, to_batch
from pyro_hea.errors import DataError, UnknownElementError, UnknownTargetError, nearest
from pyro_hea.features import PUBLISHED_FEATURES, RICH_FEATURES, FeatureMap

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.composition import Alloys
    from pyro_hea.model import AlloyModel
    from pyro_hea.spec import Features, ModelSpec


def feature_names(features: Features) -> tuple[str, ...]:
    """Names of the declared features."""
    if isinstance(features.names, str):
        return {"rich": RICH_FEATURES, "published": PUBLISHED_FEATURES}[features.names]
    return features.names


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """K trained members and the alloys that they know.

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
    def members(self) -> int:
        """Number of members K."""
        return self.model.members

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
        return FeatureMap(feature_names(self.spec.features), self.tables, self.elements)

    def batch(self, alloys: AlloyDataset | Alloys, labels: bool = True) -> AlloyBatch:
        """Alloys of the training elements as tensors, with their labels where they have any.

        Raises
        ------
        UnknownElementError
            For an element that no training alloy holds.
        """
        fractions = self.fractions(alloys)
        known = None
        if labels and isinstance(alloys, AlloyDataset):
            known = alloys.labels.reindex(columns=list(self.spec.target_names))
        return to_batch(fractions, self.feature_map, known, self.device)

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
        """q(y = 1 | features) of each member, (K, N) a target."""
        embedded = self.model.embedding(features)
        return {
            name: torch.sigmoid(self.model.target_logits(name, embedded))
            for name in self.spec.target_names
        }

    @torch.no_grad()
    def most_probable(self, batch: AlloyBatch) -> dict[str, Tensor]:
        """Known labels, and each member's more probable class elsewhere, (K, N) a target."""
        values = {}
        for name, probability in self.head_probabilities(batch.features).items():
            guess = (probability > 0.5).to(probability.dtype)
            if name in batch.targets:
                guess = torch.where(batch.known(name), batch.targets[name], guess)
            values[name] = guess
        return values

    @torch.no_grad()
    def encode(self, batch: AlloyBatch) -> Tensor:
        """Centre of the latent of each alloy in each member, (K, N, d)."""
        return self.model.latent_mean(batch.composition, self.most_probable(batch))

    @torch.no_grad()
    def decode(self, z: Tensor, targets: Mapping[str, float | Tensor]) -> Tensor:
        """Expected composition at z (K, N, d) with the given targets, (K, N, E)."""
        y = {n: torch.as_tensor(v).to(z).expand(z.shape[:-1]) for n, v in targets.items()}
        return self.model.likelihood(z, y).mean

    def check_target(self, name: str) -> None:
        """Refuse a target that the model was not trained on."""
        if name not in self.spec.target_names:
            raise UnknownTargetError(
                f"the model has no target '{name}'.{nearest(name, self.spec.target_names)} "
                f"Targets: {', '.join(self.spec.target_names)}"
            )


def as_fractions(alloys: AlloyDataset | Alloys) -> pd.DataFrame:
    """Fractions of alloys given in any way, (N, their elements)."""
    table = alloys.fractions if isinstance(alloys, AlloyDataset) else fraction_table(alloys)
    if table.empty:
        raise DataError("there is no alloy here; give at least one")
    return table
