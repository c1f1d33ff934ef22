"""`CrystalVAE`: the face of crystals, thin over the same rooms as that of alloys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import numpy as np
import pandas as pd
import torch

from pyro_hea.crystal_fitting import prepare_crystals
from pyro_hea.design import crystals as designing
from pyro_hea.design.crystal_constraints import AnyConstraint
from pyro_hea.design.crystal_result import CrystalDesigns, designs_of
from pyro_hea.design.problem import check_count
from pyro_hea.design.wishes import Wish
from pyro_hea.errors import (
    ConstraintError,
    DataError,
    SpecError,
    StructureWarning,
    excerpt,
    listing,
    warn,
)
from pyro_hea.inference.wyckoff_training import train_wyckoff
from pyro_hea.materials.crystals import CrystalDataset
from pyro_hea.posterior.crystal_archive import load_saved_crystals, save_crystals
from pyro_hea.posterior.crystal_decoding import decode_crystals, draw_crystals
from pyro_hea.posterior.crystal_ensemble import (
    CrystalEnsemble,
    Formulas,
    Structures,
    compositions_of,
    dataset_of,
)
from pyro_hea.posterior.crystal_predictions import (
    crystal_posterior,
    encode_crystals,
    predict_crystals,
    predict_formulas,
)
from pyro_hea.posterior.new_prototypes import SHORTEST
from pyro_hea.spec import CrystalSpec
from pyro_hea.trained import TrainedModel

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.explain.explorer import CrystalExplorer
    from pyro_hea.program.crystal_batch import CrystalInputs


class CrystalVAE(TrainedModel[CrystalSpec, CrystalEnsemble]):
    """A variational autoencoder of crystals with a latent of composition and one of structure.

    Parameters
    ----------
    spec : CrystalSpec, optional
        The default is `CrystalSpec.shipped("crystals")`.

    Examples
    --------
    >>> from pyro_hea import CrystalSpec, CrystalVAE, load_crystals
    >>> quick = {"training": {"members": 1, "epochs": 1}, "head_epochs": 5}
    >>> small = CrystalSpec(head={"hidden": [8]}, structure={"prior": {"steps": 50}}, **quick)
    >>> crystals = load_crystals().take(slice(0, 300)).of_size(8)
    >>> vae = CrystalVAE(small).fit(crystals, progress=False)
    >>> vae.predict("MgO").columns[:3].tolist()
    ['prototype', 'prototype_probability', 'metal']
    """

    def __init__(self, spec: CrystalSpec | None = None) -> None:
        if not isinstance(spec, CrystalSpec | None):
            raise SpecError(
                f"{excerpt(spec)} is no CrystalSpec; write CrystalVAE(CrystalSpec(...)), or "
                "CrystalSpec.from_yaml(path) for one in a file"
            )
        super().__init__(spec or CrystalSpec())

    def __repr__(self) -> str:
        targets = ", ".join(self.spec.target_names)
        if self._ensemble is None:
            return f"CrystalVAE({targets}; not fitted)"
        vocabulary = self.ensemble.vocabulary
        return (
            f"CrystalVAE({targets}; {self.ensemble.members} members, {len(self.ensemble.known)} "
            f"crystals, {len(vocabulary.formula_types)} formula types, "
            f"{len(vocabulary.prototypes)} prototypes)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p><pre>{escape(repr(self.spec))}</pre>"

    # Training.

    @torch.inference_mode(False)
    def fit(
        self,
        data: CrystalDataset,
        *,
        seed: int = 0,
        progress: bool = True,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on labelled and unlabelled crystals together.

        A number that declares no prior gets one scaled to its labels.

        Parameters
        ----------
        data : CrystalDataset
        seed : int
        progress : bool
            Show a progress bar.
        checkpoint : path, optional
            Folder into which the state of the training is saved as it goes and when it is
            interrupted.
        resume : bool
            Continue from the state in `checkpoint`, to the same result as without interruption.

        Returns
        -------
        CrystalVAE
            Itself.

        Raises
        ------
        DataError
            Without two different labels of a target.
        UnknownTargetError
            For a target that the crystals lack.
        TrainingDivergedError
        """
        run = prepare_crystals(
            self.spec, data, seed=seed, folder=checkpoint, resume=resume, progress=progress
        )
        self._ensemble, self._records = cast("CrystalEnsemble", run.ensemble), run.records
        self.spec = self._ensemble.spec
        run.train(progress)
        self._ensemble.model.eval()
        train_wyckoff(
            self._ensemble.model,
            cast("CrystalInputs", run.trainer.data),
            self._ensemble.vocabulary.prototypes,
            seed=seed,
            progress=progress,
        )
        return self

    # Answers.

    def predict(self, crystals: Structures | Formulas) -> pd.DataFrame:
        """Predict each target, with its uncertainty.

        Parameters
        ----------
        crystals : CrystalDataset, pymatgen structures, designs, or formulas
            Of a formula the structure is not known: predictions are averaged over the structures
            that it may have, by their probability.

        Returns
        -------
        DataFrame
            By id or by formula, columns as of `DisentangledVAE.predict`; numbers that metals do
            not have are as if the crystal was none. Formulas have `prototype` and
            `prototype_probability` besides. `attrs["units"]` has the unit of each column.

        Warns
        -----
        UnseenElementWarning
            Naming the elements that no training crystal holds.
        """
        if _are_formulas(crystals):
            formulas = [crystals] if isinstance(crystals, str) else list(cast("Formulas", crystals))
            self.ensemble.warn_of_unseen(compositions_of(formulas))
            return predict_formulas(self.ensemble, formulas)
        data = dataset_of(cast("Structures", crystals))
        self.ensemble.warn_of_unseen(crystal.counts for crystal in data.crystals)
        return predict_crystals(self.ensemble, data)

    def encode(self, crystals: Structures, member: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Centres of z_composition and of z_structure in one member, one table each, by id.

        Raises
        ------
        DataError
            For a crystal of a stoichiometry that no training crystal has; so do the methods below.
        """
        return encode_crystals(self.ensemble, dataset_of(crystals), member)

    def decode(
        self,
        z_composition: pd.DataFrame,
        z_structure: pd.DataFrame,
        like: Structures,
        member: int = 0,
    ) -> CrystalDesigns:
        """Crystals that one member decodes.

        Parameters
        ----------
        z_composition, z_structure : DataFrame, shape (N, d)
            As `encode` gives them.
        like : crystals
            N crystals that give formula types and targets.
        member : int
        """
        single = self.ensemble.of_member(member)
        given = single.inputs_with_latents(dataset_of(like))
        latents = []
        for z, dim in (
            (z_composition, self.spec.composition.dim),
            (z_structure, self.spec.structure.dim),
        ):
            try:
                values = np.asarray(z, float)
            except (TypeError, ValueError) as error:
                raise DataError(f"latents are tables of numbers, as of encode: {error}") from None
            if values.shape != (len(given), dim):
                raise DataError(
                    f"latents have shape {values.shape}; for {len(given)} crystals and this model "
                    f"it has to be ({len(given)}, {dim})"
                )
            if not np.isfinite(values).all():
                raise DataError("latents hold values that are no finite numbers")
            latents.append(torch.tensor(values, dtype=torch.float32)[None])
        z_c, z_s = latents
        return designs_of(self.ensemble, decode_crystals(single, z_c, z_s, given))

    def reconstruct(self, crystals: Structures) -> CrystalDesigns:
        """Crystals decoded from their own latents, over all members.

        One whose prototype no training crystal has becomes one of a prototype that some have,
        unless the spec declares the decoder of Wyckoff positions.
        """
        given = self.ensemble.inputs_with_latents(dataset_of(crystals))
        latents = self.ensemble.encode(given)
        return designs_of(self.ensemble, decode_crystals(self.ensemble, *latents, given))

    def swap(self, composition: Structures, structure: Structures) -> CrystalDesigns:
        """Composition of one crystal, structure of another; see `pyro_hea.design.crystals.swap`."""
        return designing.swap(self.ensemble, composition, structure)

    def substitute(self, structure: Structures, elements: Mapping[str, str]) -> CrystalDesigns:
        """Put other elements in the places of a crystal, as {"Sr": "Ba"}."""
        return designing.substitute(self.ensemble, structure, elements)

    def polymorphs(self, formula: str, n: int = 5) -> CrystalDesigns:
        """The most probable structures of a formula, with their probabilities."""
        return designing.polymorphs(self.ensemble, formula, n)

    def design(
        self,
        targets: Mapping[str, Wish],
        constraints: Sequence[AnyConstraint] = (),
        *,
        n: int = 50,
        seed: int = 0,
    ) -> CrystalDesigns:
        """Draw new crystals that are predicted to have the wished-for targets.

        Parameters
        ----------
        targets : mapping of target to wish
            As {"gap": (0.5, 1.5), "acoustic_debye_temperature": ("<", 60)}.
        constraints : sequence of constraints
            Those of alloys on elements, and `SpaceGroups`, `CrystalSystems`, `Prototypes`,
            `MaxAtoms`, `Neutral`, `ShortestDistance`. Each holds exactly.
        n : int
        seed : int
        """
        return designing.design_crystals(self.ensemble, targets, constraints, n=n, seed=seed)

    def sample(
        self,
        n: int = 100,
        *,
        shortest_distance: float = SHORTEST,
        neutral: bool = False,
        seed: int = 0,
    ) -> CrystalDesigns:
        """Draw crystals from the model, with nothing wished for.

        Parameters
        ----------
        n : int
        shortest_distance : float
            Share of the sum of two covalent radii; crystals whose atoms are nearer are drawn anew.
            With 0 everything is kept.
        neutral : bool
            Draw anew what has no oxidation states that add up to no charge, by SMACT, which the
            extra `crystals` installs.
        seed : int

        Raises
        ------
        ConstraintError
            Where none is left.
        MissingExtraError

        Warns
        -----
        DesignWarning
            Where fewer than `n` are left.
        """
        check_count(n, seed, "crystal")
        if not shortest_distance >= 0:
            raise ConstraintError(
                f"shortest_distance={shortest_distance} is not allowed; it is a share of the sum "
                "of two covalent radii, as 0.75, or 0"
            )
        drawn = draw_crystals(self.ensemble, n, seed, shortest_distance, neutral)
        if not drawn:
            raise ConstraintError(
                f"none of the crystals that were drawn keeps shortest_distance={shortest_distance}"
                f"{' and neutral=True' * neutral}; lower that"
            )
        return designs_of(self.ensemble, drawn)

    def posterior(
        self, crystals: Structures, *, draws: int = 100, seed: int = 0
    ) -> az.InferenceData:
        """Draw targets and latents of crystals from the guide; `chain` is the member."""
        return crystal_posterior(self.ensemble, dataset_of(crystals), draws, seed)

    def explore(self, crystals: Structures, member: int = 0) -> CrystalExplorer:
        """Walk through one member's two latent spaces in a notebook.

        Parameters
        ----------
        crystals : CrystalDataset or pymatgen structures
            To show on the maps.
        member : int

        Returns
        -------
        CrystalExplorer
            Displays itself as widgets; without them `at` answers from Python. Its `picked` is a
            DataFrame of the crystals that were kept.

        Raises
        ------
        MissingExtraError
            Without plotly.

        Warns
        -----
        StructureWarning
            For crystals of a stoichiometry that no training crystal has, which are left out.
        """
        from pyro_hea.explain.explorer import CrystalExplorer  # plotly is needed for nothing else

        data, ensemble = dataset_of(crystals), self.ensemble
        foreign = ensemble.foreign(data)
        if foreign.any() and not foreign.all():
            warn(
                f"{listing(data[foreign].ids, 4)}: no training crystal has their stoichiometry, so "
                "that they are not on the maps",
                StructureWarning,
            )
            data = data[~foreign]
        if foreign.all():
            ensemble.inputs_with_latents(data)  # says so
        return CrystalExplorer(ensemble, data, ensemble.check_member(member))

    # Files.

    def save(self, directory: str | Path) -> None:
        """Write weights (safetensors) and manifest (JSON) into a folder."""
        save_crystals(self.ensemble, directory)

    @classmethod
    @torch.inference_mode(False)
    def load(cls, directory: str | Path) -> Self:
        """Read a saved model, after checking that it is whole and fits this release.

        Raises
        ------
        MissingFileError, CheckpointError
        """
        ensemble = load_saved_crystals(directory)
        vae = cls(ensemble.spec)
        vae._ensemble = ensemble
        return vae


def _are_formulas(crystals: object) -> bool:
    if isinstance(crystals, str):
        return True
    if not isinstance(crystals, Sequence | np.ndarray | pd.Series | pd.Index):
        return False
    return len(crystals) > 0 and isinstance(next(iter(crystals)), str)
