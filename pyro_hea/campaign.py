"""`Campaign`: the loop between a model and a lab, the one object with state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pandas as pd

from pyro_hea.campaign_folder import read_campaign, write_campaign
from pyro_hea.design import Constraint, constraints_from_list, constraints_to_list, sample_designs
from pyro_hea.design.gathering import likely_enough
from pyro_hea.errors import (
    CheckpointError,
    ConstraintError,
    DataError,
    PyroHEAError,
    UnknownTargetError,
    nearest,
)
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import AlloyDataset, read_alloys
from pyro_hea.materials.alloys.dataset.table import composition_keys
from pyro_hea.spec import ModelSpec
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.design import DesignResult, Wish

_POOL = 8
"""Designs from which each suggestion is chosen."""


class Campaign:
    """Alloys that are suggested, made, measured, and suggested again.

    Parameters
    ----------
    data : AlloyDataset
        Measured so far, here and elsewhere.
    spec : ModelSpec
    wishes : mapping of target to wish
        As of `DisentangledVAE.design`, objectives among them.
    constraints : sequence of Constraint
    seed : int
        Of training and of all suggestions.

    Examples
    --------
    >>> from pyro_hea import Campaign, ModelSpec, load_alloys
    >>> spec = ModelSpec(training={"members": 2, "epochs": 2, "distillation": None})
    >>> Campaign(load_alloys(), spec, {"single_phase": 1})
    Campaign(round 0; ... alloys; 0 pending, 0 measured, 0 failed)
    """

    def __init__(
        self,
        data: AlloyDataset,
        spec: ModelSpec,
        wishes: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        seed: int = 0,
    ) -> None:
        if not wishes:
            raise ConstraintError("a campaign needs a wish, as in {'hardness': ('>', 500)}")
        for name, wish in wishes.items():
            if name not in spec.target_names and wish not in ("max", "min"):
                raise UnknownTargetError(
                    f"the spec has no target '{name}'.{nearest(name, spec.target_names)} "
                    f"Targets: {', '.join(spec.target_names)}"
                )
        self.data, self.spec, self.seed = data, spec, seed
        self.wishes, self.constraints = dict(wishes), tuple(constraints)
        self.round = 0
        self._recorded: AlloyDataset | None = None  # not yet trained on
        self._vae: DisentangledVAE | None = None
        columns = ["formula", "round", "status", "all_wishes", *spec.target_names]
        self._history = pd.DataFrame(columns=columns)

    def __repr__(self) -> str:
        counts = self._history["status"].value_counts()
        alloys = len(self.data) + (0 if self._recorded is None else len(self._recorded))
        states = ", ".join(f"{counts.get(s, 0)} {s}" for s in ("pending", "measured", "failed"))
        return f"Campaign(round {self.round}; {alloys} alloys; {states})"

    @property
    def history(self) -> pd.DataFrame:
        """One row per alloy that was suggested or recorded, in that order.

        Columns `formula`, `round`, `status` ("pending", "measured" or "failed"), `all_wishes` as
        predicted when it was suggested, and each target as measured; NaN where there is none.
        """
        return self._history.copy()

    @property
    def pending(self) -> tuple[str, ...]:
        """Formulas of the alloys that were suggested and not yet recorded."""
        return self._with_status("pending")

    @property
    def failed(self) -> tuple[str, ...]:
        """Formulas of the alloys that could not be made."""
        return self._with_status("failed")

    def _with_status(self, status: str) -> tuple[str, ...]:
        return tuple(self._history.loc[self._history["status"] == status, "formula"])

    def suggest(self, n: int, *, progress: bool = True) -> DesignResult:
        """The `n` alloys to make next: probable, different from each other, and informative.

        The model is trained first where it is not, and updated with what was recorded since. An
        alloy is as far from pending and failed ones as `Novel` asks of known alloys.

        Parameters
        ----------
        n : int
        progress : bool
            Show a progress bar of the training.

        Returns
        -------
        DesignResult

        Raises
        ------
        ConstraintError, DataError
            As of `DisentangledVAE.design`.

        Warns
        -----
        DesignWarning
            Where an alloy is less likely than not to meet the wishes.
        """
        if n < 1:
            raise DataError(f"n={n} is not allowed; ask for at least one alloy")
        ensemble = self._trained(progress).ensemble
        if tried := [*self.pending, *self.failed]:
            known = pd.concat([ensemble.known, ensemble.fractions(tried)])
            ensemble = replace(ensemble, known=known.rename_axis("formula"))
        designs = sample_designs(
            ensemble,
            self.wishes,
            self.constraints,
            n=_POOL * n,
            seed=self.seed + self.round,
            min_probability=0,
        )
        best = designs.pareto() if designs.attributes.get("objectives") else designs
        chosen = (best if len(best) >= n else designs).batch(min(n, len(designs)))
        likely_enough(chosen, None)
        self.round += 1
        rows = chosen.table[["all_wishes"]].assign(round=self.round, status="pending")
        self._append(rows.reset_index())
        return chosen

    def record(
        self, table: str | Path | pd.DataFrame | None = None, failed: Iterable[str] = ()
    ) -> None:
        """Record measurements, and alloys that could not be made.

        Parameters
        ----------
        table : path or DataFrame, optional
            A formula and a column per target, as `read_alloys` takes. Alloys that were not
            suggested are recorded as well.
        failed : iterable of str
            Formulas of pending alloys.

        Raises
        ------
        DataError
            For a failed alloy that is not pending, without any measurement, or as of
            `read_alloys`; nothing is recorded then.
        """
        history, failed = self._history.copy(), list(failed)
        for formula in failed:
            history.loc[self._pending_row(formula), "status"] = "failed"
        if table is None and not failed:
            raise DataError("there is nothing to record: give a table, or formulas as failed")
        if table is not None:
            measured = read_alloys(table, spec=self.spec)
            labels = measured.labels.dropna(how="all")
            if labels.empty:
                raise DataError("the table measures no target: every label is blank")
            measured = measured.take(measured.labels.notna().any(axis=1).to_numpy())
            earlier = self._recorded
            recorded = measured if earlier is None else earlier + measured
        self._history = history
        if table is not None:
            self._recorded = recorded
            self._enter(measured)

    def _pending_row(self, formula: str) -> int:
        rows = self._history.index[self._history["status"] == "pending"]
        keys = composition_keys(fraction_table([formula, *self._history.loc[rows, "formula"]]))
        if keys[0] not in keys[1:]:
            raise DataError(
                f"'{formula}' is not pending.{nearest(formula, self.pending)} Pending: "
                f"{', '.join(self.pending) or 'none'}"
            )
        return int(rows[keys[1:].index(keys[0])])

    def _enter(self, measured: AlloyDataset) -> None:
        """Put measurements into the rows of their alloys, or into new ones."""
        labels = measured.labels.reindex(columns=list(self.spec.target_names))
        before = len(self._history)
        keys = composition_keys(fraction_table([*self._history["formula"], *measured.formulas]))
        for formula, key, (_, row) in zip(
            measured.formulas, keys[before:], labels.iterrows(), strict=True
        ):
            if key in keys[:before]:
                at = keys[:before].index(key)
            else:
                self._append(pd.DataFrame({"formula": [formula], "round": [self.round]}))
                at = len(self._history) - 1
            self._history.loc[at, "status"] = "measured"
            for target, value in row.dropna().items():
                self._history.loc[at, str(target)] = value

    def _append(self, rows: pd.DataFrame) -> None:
        new = rows.reindex(columns=self._history.columns).astype(object)
        self._history = pd.concat([self._history.astype(object), new], ignore_index=True)

    def _trained(self, progress: bool) -> DisentangledVAE:
        """The model of everything that was recorded."""
        recorded = self._recorded
        joined = self.data if recorded is None else self.data + recorded
        if self._vae is None or (
            recorded is not None and set(_present(recorded)) - set(self._vae.ensemble.elements)
        ):
            self._vae = DisentangledVAE(self.spec).fit(joined, seed=self.seed, progress=progress)
        elif recorded is not None:
            self._vae.update(recorded, self.data, seed=self.seed + self.round, progress=progress)
        self.data, self._recorded = joined, None
        return self._vae

    # Files.

    def save(self, folder: str | Path) -> None:
        """Write the campaign into a folder: JSON, the saved model, and the history as CSV.

        What is there stays valid until the last file, `campaign.json`, is replaced.

        Raises
        ------
        DataError
            For an alloy whose name is no formula of its fractions.
        OutputError
            Where the folder cannot be written, or another process writes there.
        """
        settings = {
            "spec": self.spec.to_mapping(),
            "wishes": self.wishes,
            "constraints": constraints_to_list(self.constraints),
            "seed": self.seed,
            "round": self.round,
        }
        data = {"data": self.data, "recorded": self._recorded}
        save_model = None if self._vae is None else self._vae.save
        write_campaign(folder, settings, data, self._history, save_model)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Read a saved campaign; it gives the same answers as the one that was saved.

        Raises
        ------
        MissingFileError, CheckpointError
        """
        saved = read_campaign(folder)
        settings, where = saved.settings, f"{folder}/campaign.json"
        try:
            campaign = cls(
                saved.data["data"],
                ModelSpec.from_mapping(settings.spec, where),
                {n: tuple(w) if isinstance(w, list) else w for n, w in settings.wishes.items()},
                constraints_from_list(settings.constraints, where),
                seed=settings.seed,
            )
            for formula in saved.history["formula"]:
                parse_composition(formula)
        except (PyroHEAError, TypeError) as error:
            raise CheckpointError(f"'{where}' is no campaign: {error}") from None
        if list(saved.history) != list(campaign._history):
            raise CheckpointError(f"'{where}' is no campaign: its history is of other targets")
        campaign.round = settings.round
        campaign._history, campaign._recorded = saved.history, saved.data.get("recorded")
        if saved.model is not None:
            campaign._vae = DisentangledVAE.load(saved.model, device)
            if campaign._vae.spec != campaign.spec:
                raise CheckpointError(f"'{saved.model}' is a model of another spec than '{where}'")
        return campaign


def _present(data: AlloyDataset) -> list[str]:
    return [str(e) for e in data.fractions.columns[(data.fractions > 0).any()]]
