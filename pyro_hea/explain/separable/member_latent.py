"""What the decoder of one member sees of alloys, and the alloys that it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.problem import MINIMUM, STEP
from pyro_hea.devices import seeded
from pyro_hea.materials.alloys.composition import format_formula

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble


@dataclass(frozen=True, eq=False)
class Encoded:
    """Alloys in the latent of a member.

    Attributes
    ----------
    w : Tensor, shape (N, d)
        What the decoder sees beside the targets.
    y : mapping of target to Tensor of shape (N,)
        Values with which they are encoded and decoded: what the member finds most probable.
    fractions : DataFrame, shape (N, E)
        The alloys themselves.
    """

    w: Tensor
    y: Mapping[str, Tensor]
    fractions: pd.DataFrame

    def __len__(self) -> int:
        return len(self.w)

    def take(self, rows: NDArray[np.int64]) -> Encoded:
        """Some of the alloys."""
        at = torch.as_tensor(np.asarray(rows), device=self.w.device)
        y = {name: value[at] for name, value in self.y.items()}
        return replace(self, w=self.w[at], y=y, fractions=self.fractions.iloc[np.asarray(rows)])


@dataclass(frozen=True, eq=False)
class MemberLatent:
    """The latent w of one member, from composition to w and back.

    Attributes
    ----------
    ensemble : Ensemble
        Of that member alone.
    """

    ensemble: Ensemble

    @classmethod
    def of(cls, ensemble: Ensemble, member: int) -> MemberLatent:
        """That of one member of an ensemble."""
        return cls(ensemble.of_member(member))

    @property
    def dim(self) -> int:
        """Coordinates d."""
        return self.ensemble.spec.latent.dim

    def encode(self, alloys: AlloyDataset | Alloys) -> Encoded:
        """Encode alloys without their labels, by the mode of the posterior.

        A label would be in w: the encoder and the flow read the targets.
        """
        ensemble = self.ensemble
        fractions = ensemble.fractions(alloys)
        batch = ensemble.batch(fractions)
        y = ensemble.most_probable(batch)
        z = ensemble.encode(batch)
        with torch.no_grad():
            w = ensemble.model.decoder_latent(z, y)
        return Encoded(w[0], {name: value[0] for name, value in y.items()}, fractions)

    def compositions(self, w: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Typical compositions at w (..., N, d) and targets (N,) or one, (..., N, E)."""
        values = {name: value.to(w).expand(1, w.shape[-2]) for name, value in y.items()}
        return self.ensemble.model.decoded(w.reshape(1, *w.shape[-2:]), values).typical.reshape(
            *w.shape[:-1], -1
        )

    @torch.no_grad()
    def decode(self, w: Tensor, y: Mapping[str, Tensor]) -> NDArray[np.float64]:
        """The same of w (N, d), in double precision, (N, E)."""
        return np.asarray(self.compositions(w, y).double().cpu().numpy())

    @torch.no_grad()
    def draw(self, n: int, seed: int, like: Encoded) -> Encoded:
        """Draw from the prior of z, with targets of alloys chosen at random, and decode."""
        model = self.ensemble.model
        y = self.draw_targets(n, seed, like)
        with seeded(seed):
            z = model.latent_prior().expand([1, n]).sample()
        w = model.decoder_latent(z, {name: value[None] for name, value in y.items()})[0]
        return Encoded(w, y, self.table(self.decode(w, y)))

    @staticmethod
    def draw_targets(n: int, seed: int, like: Encoded) -> dict[str, Tensor]:
        """Targets of n alloys chosen at random, (n,) each."""
        rows = np.random.default_rng(seed).integers(len(like), size=n)
        return dict(like.take(rows).y)

    def table(self, fractions: NDArray[np.float64]) -> pd.DataFrame:
        """Compositions without elements below 1 at.%, scaled to 1, (N, E)."""
        kept = np.where(fractions < MINIMUM, 0.0, fractions)
        return pd.DataFrame(kept / kept.sum(1, keepdims=True), columns=list(self.ensemble.elements))

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """The training alloys of the model, (M, E)."""
        return self.ensemble.known.to_numpy(float)


def rounded_table(fractions: NDArray[np.float64], elements: list[str]) -> pd.DataFrame:
    """Rounded compositions by formula, (N, E)."""
    table = pd.DataFrame(fractions, columns=elements)
    rows = (dict(zip(elements, row, strict=True)) for row in fractions.tolist())
    table.index = pd.Index([format_formula(row) for row in rows], name="formula")
    return table


__all__ = ["STEP", "Encoded", "MemberLatent", "rounded_table"]
