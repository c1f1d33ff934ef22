"""Crystals on two maps, one of z_composition and one of z_structure; no widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from pyro_hea.errors import DataError, nearest
from pyro_hea.explain.explorer.map_parts import nearest_rows, principal_axes
from pyro_hea.explain.explorer.target_display import colour_columns
from pyro_hea.materials.crystals import check_crystals
from pyro_hea.posterior.crystal_decoding import decode_crystals
from pyro_hea.posterior.crystal_ensemble import dataset_of_crystals
from pyro_hea.posterior.crystal_predictions import predict_crystals

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pyro_hea.materials.crystals import CrystalDataset, WyckoffStructure
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble

    Floats = NDArray[np.float64]

HALVES = ("composition", "structure")


@dataclass(frozen=True, eq=False)
class CrystalSelection:
    """What is decoded from the composition under one cursor and the structure under the other.

    Attributes
    ----------
    crystal : WyckoffStructure
    table : DataFrame, shape (1, columns)
        What is known of it, as of `check_crystals`, and what is predicted of it.
    composition, structure : str
        Ids of the crystals of the data whose latents it is decoded from.
    """

    crystal: WyckoffStructure
    table: pd.DataFrame
    composition: str
    structure: str

    def __repr__(self) -> str:
        return (
            f"CrystalSelection({self.crystal.formula}, {self.crystal.prototype}; composition of "
            f"{self.composition}, structure of {self.structure})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.table.round(3).to_html(index=False)}"


class CrystalMaps:
    """The first two principal components of each latent, in one member.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    data : CrystalDataset
    member : int

    Attributes
    ----------
    places : mapping of str to array of shape (N, 2)
        Of each crystal on the map of "composition" and on that of "structure".
    """

    def __init__(self, ensemble: CrystalEnsemble, data: CrystalDataset, member: int) -> None:
        self.ensemble, self.data, self.member = ensemble, data, member
        self._single = ensemble.of_member(member)
        self._inputs = ensemble.inputs(data)
        latents = self._single.encode(self._inputs)
        self._z = {h: z[0].double().numpy() for h, z in zip(HALVES, latents, strict=True)}
        self._axes = {half: principal_axes(z) for half, z in self._z.items()}
        self.places = {h: (z - z.mean(0)) @ self._axes[h].T for h, z in self._z.items()}
        self.predictions = predict_crystals(ensemble, data)

    def colours(self) -> dict[str, pd.Series]:
        """What the crystals can be coloured by: labels, predictions and their uncertainty."""
        columns: dict[str, pd.Series] = {}
        for target in self.ensemble.spec.targets:
            labels = self.data.targets.get(target.name)
            columns |= colour_columns(target, labels, self.predictions)
        return columns

    def row(self, crystal: str) -> int:
        """Row of a crystal of the data by its id.

        Raises
        ------
        DataError
        """
        if crystal not in self.data.ids:
            raise DataError(
                f"no crystal '{crystal}' is on the maps.{nearest(crystal, self.data.ids)} Ids are "
                f"as '{self.data.ids[0]}'"
            )
        return self.data.ids.index(crystal)

    def alike(self, row: int) -> NDArray[np.bool_]:
        """Crystals of the same stoichiometry, whose structures a composition can have, (N,)."""
        s = self._inputs.formula_type
        return cast("NDArray[np.bool_]", (s == s[row]).numpy())

    def nearest(self, half: str, point: Floats, among: NDArray[np.bool_] | None = None) -> int:
        """Row of the crystal that lies nearest on one map."""
        rows = np.arange(len(self.data)) if among is None else np.flatnonzero(among)
        return int(rows[nearest_rows(self.places[half][rows], np.reshape(point, (1, 2)))[0]])

    def at(self, composition: int, structure: int, moved: Floats | None = None) -> CrystalSelection:
        """The crystal with the composition of one and the structure of another.

        Parameters
        ----------
        composition, structure : int
            Rows of the data, of one stoichiometry.
        moved : array, shape (2,), optional
            Place on the map of structures to which z_structure is moved from that of its crystal.
        """
        z_c, z_s = self._z["composition"][composition], self._z["structure"][structure].copy()
        if moved is not None:
            z_s += (moved - self.places["structure"][structure]) @ self._axes["structure"]
        given = self._inputs.take(torch.tensor([composition]))
        c, s = (torch.tensor(each, dtype=torch.float32)[None, None] for each in (z_c, z_s))
        (crystal,) = decode_crystals(self._single, c, s, given)
        predicted = predict_crystals(self.ensemble, dataset_of_crystals([crystal]))
        table = check_crystals([crystal]).join(predicted.reset_index(drop=True))
        ids = self.data.ids
        return CrystalSelection(crystal, table, ids[composition], ids[structure])
