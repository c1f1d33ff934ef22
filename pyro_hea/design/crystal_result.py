"""Crystals that were asked for: a table, structures, draws, files and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.export import write_table
from pyro_hea.errors import DataError, OutputError
from pyro_hea.materials.crystals import Structures, WyckoffStructure
from pyro_hea.materials.crystals.checks import compare_to_known, shortest_distance, write_cif
from pyro_hea.posterior import joint_probability
from pyro_hea.posterior.crystal_ensemble import dataset_of_crystals
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.posterior.marginals import marginals
from pyro_hea.posterior.predictions import INTERVAL, prediction_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import arviz as az

    from pyro_hea.design.wishes import Event
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble


@dataclass(frozen=True, eq=False, repr=False)
class CrystalDesigns:
    """Crystals that were asked for.

    Attributes
    ----------
    crystals : tuple of WyckoffStructure
        Space group, free lattice parameters and orbits; the symmetry is exact.
    table : DataFrame
        One row per crystal: `formula`, `prototype`, `new_prototype` (whether no training crystal
        has it), `space_group`, `crystal_system`, `atoms` (of the primitive cell), `volume_per_atom`
        (Å³), `distance_over_radii`; what it was asked for by (`probability` of a polymorph,
        `all_wishes` of a design); each target as in `predict`;
        `new`, `match`, `nearest`, `nearest_formula` and `nearest_distance`, see
        `pyro_hea.materials.crystals.checks.compare_to_known`.
    idata : InferenceData
        Latents of each crystal, and the probability that all wishes hold; `chain` is the member
        and `draw` the row of the table.
    """

    crystals: tuple[WyckoffStructure, ...]
    table: pd.DataFrame
    idata: az.InferenceData

    def __len__(self) -> int:
        return len(self.crystals)

    def __repr__(self) -> str:
        new = f", {self.table['new'].sum()} of them new" if len(self) else ""
        return f"CrystalDesigns({len(self)} crystal{'s' * (len(self) != 1)}{new})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.table.head(20).round(3).to_html(index=False)}"

    @property
    def structures(self) -> Structures:
        """Pymatgen structures of the primitive cells, each made when it is asked for."""
        return Structures(self.crystals)

    def write_cif(self, folder: str | Path) -> list[Path]:
        """Write a CIF of each crystal into a folder, named by row and formula.

        Raises
        ------
        OutputError
            Where the folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return [
                write_cif(crystal, folder / f"{i:03d}_{crystal.formula}.cif")
                for i, crystal in enumerate(self.crystals)
            ]
        except OSError as error:
            raise OutputError(f"cannot write '{folder}': {error.strerror or error}") from error

    def plot(self, row: int = 0, ax: Any = None) -> Any:
        """Draw the standard cell of one crystal; see `pyro_hea.plots.crystals.unit_cell`."""
        from pyro_hea.plots.crystals import unit_cell

        if not -len(self) <= row < len(self):
            raise DataError(f"there is no row {row}; there are {len(self)} crystals, from row 0")
        structure = self.crystals[row].structure(primitive=False)
        names = [site.specie.symbol for site in structure]
        ax = unit_cell(structure.lattice.matrix, structure.frac_coords, names, ax)
        ax.set_title(f"{self.crystals[row].formula}, {self.crystals[row].group.symbol}")
        return ax

    def to_csv(self, path: str | Path) -> None:
        """Write the table; numbers with six digits, and no cell that a spreadsheet would run."""
        write_table(self.table, path, "csv")


@torch.no_grad()
def designs_of(
    ensemble: CrystalEnsemble,
    crystals: Sequence[WyckoffStructure],
    told: Mapping[str, Any] | None = None,
    events: Mapping[str, Event] | None = None,
) -> CrystalDesigns:
    """Crystals with their predictions and what is known of the like.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    crystals : sequence of WyckoffStructure
    told : mapping of column to values, optional
        Further columns, before the predictions.
    events : mapping of target to Event, optional
        Wishes, whose joint probability is told.
    """
    data = dataset_of_crystals(crystals)
    inputs = ensemble.inputs(data)
    drawn: dict[str, Any] = {}
    columns = dict(told or {})
    if events:
        probability = joint_probability(ensemble.model, inputs, events).numpy()
        drawn["all_wishes"] = probability
        columns["all_wishes"] = probability.mean(0)
        columns["all_wishes_sd"] = probability.std(0)
    known = ensemble.vocabulary.prototype_index
    about = pd.DataFrame(
        {
            "formula": [c.formula for c in crystals],
            "prototype": [c.prototype for c in crystals],
            "new_prototype": [c.prototype not in known for c in crystals],
            "space_group": [c.number for c in crystals],
            "crystal_system": [c.group.crystal_system for c in crystals],
            "atoms": [c.atoms for c in crystals],
            "volume_per_atom": [c.volume_per_atom for c in crystals],
            "distance_over_radii": [shortest_distance(c)[1] for c in crystals],
            **columns,
        }
    )
    answers = marginals(ensemble.model, inputs)
    novelty = np.zeros(len(crystals))
    predicted = prediction_table(
        ensemble.spec.targets, answers, novelty, INTERVAL, pd.RangeIndex(len(crystals))
    )
    table = about.join(predicted).join(compare_to_known(crystals, ensemble.known))
    wishes = {name: "probability" for name in columns if name != "probability"}
    table.attrs["units"] = {"volume_per_atom": "Å³", **wishes, **predicted.attrs["units"]}
    for name, z in zip(("z_composition", "z_structure"), ensemble.encode(inputs), strict=True):
        drawn[name] = z.numpy()
    idata = to_inference_data(
        {"posterior": drawn},
        observed={},
        constant={},
        dims={name: [f"{name}_dim"] for name in ("z_composition", "z_structure")},
        default_dims=[],
        coords={},
        attributes={"model": "CrystalVAE"},
    )
    return CrystalDesigns(tuple(crystals), table, idata)
