"""From alloys to their latents, and from latents to compositions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch

from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.posterior.ensemble import Ensemble, as_fractions
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.amounts import Alloys

Floats: TypeAlias = "NDArray[np.float64]"


def encode(ensemble: Ensemble, alloys: AlloyDataset | Alloys, member: int = 0) -> pd.DataFrame:
    """Latent of each alloy in one member, columns `z0`, `z1`, …: see `Ensemble.encode`."""
    single = ensemble.of_member(member)
    z = single.encode(single.batch(alloys))[0].cpu().numpy()
    names = [f"z{i}" for i in range(z.shape[1])]
    return pd.DataFrame(z, as_fractions(alloys).index, names)


@torch.no_grad()
def decode(
    ensemble: Ensemble,
    z: pd.DataFrame | np.ndarray,
    targets: Mapping[str, str | float],
    member: int = 0,
) -> pd.DataFrame:
    """Fractions that one member decodes at `z` (N, d); classes by name or by position.

    Raises
    ------
    DataError
        For a target without a value, a class that it does not have, or z of another width.
    """
    ensemble.check_member(member)
    missing = set(ensemble.spec.target_names) - set(targets)
    for name, value in targets.items():
        _check_value(ensemble, name, value)
    if missing:
        raise DataError(f"decoding needs a value of each target; missing: {sorted(missing)}")
    values = np.atleast_2d(np.asarray(z, float))
    if values.shape[1] != ensemble.spec.latent.dim:
        raise DataError(
            f"z has {values.shape[1]} coordinates; this model has {ensemble.spec.latent.dim}"
        )
    tensor = torch.tensor(values, dtype=torch.float32, device=ensemble.device)
    decoded = ensemble.decode(tensor.expand(ensemble.members, *tensor.shape), targets)[member]
    return pd.DataFrame(decoded.cpu().numpy(), columns=list(ensemble.elements))


def reconstruct(ensemble: Ensemble, alloys: AlloyDataset | Alloys, member: int = 0) -> pd.DataFrame:
    """Fractions that one member decodes from its own latents."""
    _, (decoded,) = encode_and_decode(ensemble.of_member(member), alloys)
    return pd.DataFrame(decoded, as_fractions(alloys).index, list(ensemble.elements))


def encode_and_decode(ensemble: Ensemble, alloys: AlloyDataset | Alloys) -> tuple[Floats, Floats]:
    """Latents of alloys in all members, (K, N, d), and the fractions decoded there, (K, N, E)."""
    batch = ensemble.batch(alloys)
    z = ensemble.encode(batch)
    decoded = ensemble.decode(z, ensemble.most_probable(batch))
    return z.cpu().numpy(), decoded.cpu().numpy()


def _check_value(ensemble: Ensemble, name: str, value: str | float) -> None:
    """Refuse a target that there is not, or a position that is of no class of it."""
    ensemble.check_target(name)
    target = ensemble.spec.target(name)
    if isinstance(target, Continuous) or isinstance(value, str):
        return
    if value not in range(len(target.classes)):
        classes = ", ".join(f"{i} ({c})" for i, c in enumerate(target.classes))
        raise DataError(f"'{name}' has no class {value:g}; allowed: {classes}")
