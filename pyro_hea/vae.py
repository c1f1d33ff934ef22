"""`DisentangledVAE`: the face of the library, thin over its rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from pyro_hea import checkpoint as files
from pyro_hea import posterior
from pyro_hea.composition import load_tables
from pyro_hea.dataset import AlloyBatch, AlloyDataset, quantile_edges
from pyro_hea.design import Constraint, DesignResult, sample_designs
from pyro_hea.errors import CheckpointError, DataError, NotFittedError
from pyro_hea.features import FeatureMap
from pyro_hea.inference import EpochRecord, Trainer
from pyro_hea.model import AlloyModel
from pyro_hea.posterior import Ensemble, feature_names
from pyro_hea.spec import ModelSpec

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.composition import Alloys

_MODEL, _TRAINING = "model", "training"
"""Names of the saved model and of the state from which training continues."""

_SAVE_EVERY = 25
"""Epochs between saves of the training state."""

_HELD_OUT = 0.1
"""Share of the labelled alloys that decides when to stop, where none are given for that."""

_ENOUGH_LABELS = 100
"""Fewer labelled alloys than these are all trained on, to the last epoch."""


_HISTORY = (
    "epoch",
    "member",
    "loss",
    "validation_elbo_loss",
    "validation_log_loss",
    "best",
)


class DisentangledVAE:
    """A disentangled variational autoencoder of alloys whose targets are explicit latent sites.

    Parameters
    ----------
    spec : ModelSpec, optional
        The default declares `single_phase` alone.

    Examples
    --------
    >>> from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
    >>> spec = ModelSpec(training={"members": 2, "epochs": 2})
    >>> vae = DisentangledVAE(spec).fit(load_alloys(), seed=0, progress=False)
    >>> vae.predict(["CoCrFeMnNi"]).columns.tolist()
    ['single_phase', 'single_phase_sd', 'single_phase_low', 'single_phase_high']
    """

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = spec or ModelSpec()
        self._ensemble: Ensemble | None = None
        self._records: list[EpochRecord] = []

    def __repr__(self) -> str:
        targets = ", ".join(self.spec.target_names)
        if self._ensemble is None:
            return f"DisentangledVAE({targets}; not fitted)"
        return (
            f"DisentangledVAE({targets}; {self.ensemble.members} members, "
            f"{len(self.ensemble.known)} alloys of {len(self.ensemble.elements)} elements)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p><pre>{self.spec!r}</pre>"

    @property
    def ensemble(self) -> Ensemble:
        """The trained members; an error before `fit` or `load`."""
        if self._ensemble is None:
            raise NotFittedError("this model is not trained yet: call fit(alloys) or load(folder)")
        return self._ensemble

    # Training.

    def fit(
        self,
        data: AlloyDataset,
        *,
        validation: AlloyDataset | None = None,
        seed: int = 0,
        device: str = "auto",
        progress: bool = True,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on labelled and unlabelled alloys together.

        Parameters
        ----------
        data : AlloyDataset
        validation : AlloyDataset, optional
            Labelled alloys that decide when to stop. Without them a tenth of the labelled alloys
            is held out for that, where there are at least a hundred. Alloys of `data` that are
            in it as well are left out of training.
        seed : int
        device : str
            "auto" takes CUDA where there is one; else a torch device.
        progress : bool
            Show a progress bar.
        checkpoint : path, optional
            Folder into which the state of the training is saved as it goes and when it is
            interrupted.
        resume : bool
            Continue from the state in `checkpoint`, to the same result as without interruption.

        Returns
        -------
        DisentangledVAE
            Itself. After an interrupt it holds the best weights so far.

        Raises
        ------
        DataError
            Without a labelled alloy of a target, or with labels of one class only.
        TrainingDivergedError
            Naming the site that is not finite; the best weights before it are kept.

        Warns
        -----
        LeakWarning
            Counting the training alloys that are validation alloys too.
        """
        _check_labels(data, self.spec)
        if validation is None:
            data, validation = _hold_out(data, self.spec, seed)
        else:
            data = data.without(validation)
            _check_labels(data, self.spec)
        ensemble = self._new_ensemble(data, seed, _device(device))
        trainer = Trainer(
            ensemble.model, ensemble.batch(data), _stopping_batch(ensemble, validation), seed
        )
        run = {"spec": self.spec.to_mapping(), "data": _fingerprint(trainer, seed)}
        records = _resume(trainer, run, checkpoint) if resume else []
        if checkpoint is not None:
            _save_training(trainer, run, records, checkpoint)
        self._ensemble, self._records = ensemble, records
        self._train(trainer, run, checkpoint, progress)
        return self

    def _new_ensemble(self, data: AlloyDataset, seed: int, device: torch.device) -> Ensemble:
        elements = tuple(e for e in data.elements if (data.fractions[e] > 0).any())
        names = feature_names(self.spec.features)
        feature_map = FeatureMap(names, load_tables(self.spec.features.tables), elements)
        fractions = data.fractions[list(elements)]
        edges = quantile_edges(
            feature_map(torch.tensor(fractions.to_numpy(float))), self.spec.features.bins
        )
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = AlloyModel(self.spec, len(elements), edges.float())
        return Ensemble(model.to(device), elements, fractions, seed)

    def _train(
        self, trainer: Trainer, run: dict[str, Any], folder: str | Path | None, progress: bool
    ) -> None:
        total = self.spec.training.epochs
        try:
            with tqdm(
                total=total,
                initial=trainer.epoch,
                disable=not progress,
                desc="training",
                unit="epoch",
            ) as bar:
                for record in trainer.epochs():
                    self._records.append(record)
                    bar.update()
                    if record.elbo_loss is not None and record.log_loss is not None:
                        bar.set_postfix_str(
                            f"validation: {np.mean(record.elbo_loss):.1f} nats/alloy, "
                            f"log loss {np.mean(record.log_loss):.3f}"
                        )
                    if folder is not None and record.epoch % _SAVE_EVERY == 0:
                        _save_training(trainer, run, self._records, folder)
        except KeyboardInterrupt:
            if folder is not None:
                _save_training(trainer, run, self._records, folder)
            raise
        finally:
            trainer.keep_best()

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch and member.

        Columns `epoch`, `member`, `loss` (training, mean over members, nats per alloy),
        `validation_elbo_loss` (nats per alloy), `validation_log_loss` (nats per label; both NaN
        where the epoch was not evaluated) and `best`, true at the epoch whose weights are kept.
        """
        members = range(self.spec.training.members)
        unknown = [np.nan] * len(members)
        epochs = [
            pd.DataFrame(
                {
                    "epoch": record.epoch,
                    "member": members,
                    "loss": record.loss,
                    "validation_elbo_loss": record.elbo_loss or unknown,
                    "validation_log_loss": record.log_loss or unknown,
                    "best": record.best or False,
                }
            )
            for record in self._records
        ]
        if not epochs:
            return pd.DataFrame(columns=pd.Index(_HISTORY))
        history = pd.concat(epochs, ignore_index=True)
        improved = history["epoch"].where(history["best"])
        kept = improved.groupby(history["member"]).transform("max")
        return history.assign(best=history["epoch"] == kept)

    # Answers.

    def predict(self, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
        """Predict each target of alloys, with its uncertainty.

        Parameters
        ----------
        alloys : formulas, mappings, pymatgen compositions, a fraction table or an AlloyDataset
            Of any elements of the packaged tables.

        Returns
        -------
        DataFrame
            By formula, for each binary target `t`: `t` (mean probability of 1), `t_sd` (its
            spread over the members), `t_low` and `t_high` (94 % interval).

        Warns
        -----
        UnseenElementWarning
            For elements that no training alloy holds.
        """
        return posterior.predict(self.ensemble, alloys)

    def posterior(
        self,
        alloys: AlloyDataset | Alloys,
        *,
        draws: int = 100,
        labels: Literal["use", "ignore"] = "use",
        method: Literal["guide", "importance", "nuts"] = "guide",
        member: int = 0,
        chains: int = 4,
        warmup: int = 150,
        seed: int = 0,
    ) -> az.InferenceData:
        """Draw targets, latents and compositions of alloys; ArviZ plots the result.

        Parameters
        ----------
        alloys : alloys of the training elements
        draws : int
            Of each chain. The dimension `chain` is the member, and R-hat says how far members
            differ; with "nuts" it is a Markov chain, and R-hat says whether it has converged.
        labels : {"use", "ignore"}
            Whether known labels are used or inferred too.
        method : {"guide", "importance", "nuts"}
            Draw from the guide (quick), from the model's own posterior by importance sampling
            (every member), or by NUTS (z alone, one member, targets fixed at the label or at the
            more probable class; a few alloys).
        member, chains, warmup : int
            Of "nuts".
        seed : int

        Returns
        -------
        InferenceData
        """
        if method not in ("guide", "importance", "nuts"):
            raise DataError(
                f"there is no method {method!r}; allowed: 'guide', 'importance', 'nuts'"
            )
        if method == "nuts":
            return posterior.nuts_posterior(
                self.ensemble,
                alloys,
                member=self._member(member),
                draws=draws,
                chains=chains,
                warmup=warmup,
                seed=seed,
            )
        draw = posterior.draw_posterior if method == "guide" else posterior.importance_posterior
        return draw(self.ensemble, alloys, draws=draws, labels=labels, seed=seed)

    def prior_predictive(self, n: int = 500, *, seed: int = 0) -> az.InferenceData:
        """Draw `n` alloys of each member from the model before it sees any."""
        return posterior.prior_predictive(self.ensemble, n, seed)

    def guide_table(
        self, alloys: AlloyDataset | Alloys, *, member: int = 0, draws: int = 1000, seed: int = 0
    ) -> pd.DataFrame:
        """PSIS k-hat, ELBO and IWAE of the guide for each alloy, beside the evidence (nats).

        Warns
        -----
        GuideWarning
            Counting the alloys with a k-hat above 0.7.
        """
        return posterior.guide_table(
            self.ensemble, alloys, member=self._member(member), draws=draws, seed=seed
        )

    def check_guide(
        self,
        alloys: AlloyDataset | Alloys,
        *,
        member: int = 0,
        draws: int = 500,
        chains: int = 4,
        warmup: int = 150,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Compare the guide's z with that of NUTS, alloy by alloy and coordinate by coordinate.

        Warns
        -----
        GuideWarning
            Counting the alloys with a k-hat above 0.7, and what has not mixed.
        """
        return posterior.check_guide(
            self.ensemble,
            alloys,
            member=self._member(member),
            draws=draws,
            chains=chains,
            warmup=warmup,
            seed=seed,
        )

    def label_evidence(self, alloys: AlloyDataset | Alloys, *, seed: int = 0) -> pd.DataFrame:
        """The model's own p(y | x) of each alloy beside the head's q(y | features)."""
        return posterior.label_evidence(self.ensemble, alloys, seed=seed)

    def encode(self, alloys: AlloyDataset | Alloys, member: int = 0) -> pd.DataFrame:
        """Latent of alloys of the training elements in one member, columns `z0`, `z1`, …."""
        return posterior.encode(self.ensemble, alloys, self._member(member))

    def decode(
        self,
        z: pd.DataFrame | np.ndarray,
        targets: Mapping[str, float],
        member: int = 0,
    ) -> pd.DataFrame:
        """Fractions that one member decodes at `z` (N, d) with the given targets."""
        missing = set(self.spec.target_names) - set(targets)
        for name in targets:
            self.ensemble.check_target(name)
        if missing:
            raise DataError(f"decoding needs a value of each target; missing: {sorted(missing)}")
        values = np.atleast_2d(np.asarray(z, float))
        if values.shape[1] != self.spec.latent.dim:
            raise DataError(
                f"z has {values.shape[1]} coordinates; this model has {self.spec.latent.dim}"
            )
        weights = self.ensemble.device
        tensor = torch.tensor(values, dtype=torch.float32, device=weights)
        every = tensor.expand(self.ensemble.members, *tensor.shape)
        decoded = self.ensemble.decode(every, targets)[self._member(member)]
        return pd.DataFrame(decoded.cpu().numpy(), columns=list(self.ensemble.elements))

    def reconstruct(self, alloys: AlloyDataset | Alloys, member: int = 0) -> pd.DataFrame:
        """Fractions that one member decodes from its own latents of the alloys."""
        return posterior.reconstruct(self.ensemble, alloys, self._member(member))

    def design(
        self,
        targets: Mapping[str, float],
        constraints: Sequence[Constraint] = (),
        *,
        n: int = 100,
        method: Literal["importance"] = "importance",
        seed: int = 0,
        **settings: Any,
    ) -> DesignResult:
        """Draw new alloys that are predicted to have the wished-for targets.

        Parameters
        ----------
        targets : mapping of target to 0 or 1
        constraints : sequence of Constraint
            Each holds exactly on every alloy returned.
        n : int
        method : {"importance"}
            How the design posterior is sampled.
        seed : int
        **settings
            `step`, `minimum` and `agreement` of `pyro_hea.design.sample_designs`.

        Returns
        -------
        DesignResult
        """
        if method != "importance":
            raise DataError(f"there is no method {method!r}; allowed: 'importance'")
        return sample_designs(self.ensemble, targets, constraints, n=n, seed=seed, **settings)

    def _member(self, member: int) -> int:
        if not 0 <= member < self.ensemble.members:
            raise DataError(
                f"there is no member {member}; this model has 0 to {self.ensemble.members - 1}"
            )
        return member

    # Files.

    def save(self, directory: str | Path) -> None:
        """Write weights (safetensors) and manifest (JSON) into a folder.

        Raises
        ------
        OutputError
            Where the folder cannot be written.
        """
        ensemble = self.ensemble
        tensors = {f"weights.{n}": value for n, value in ensemble.model.state_dict().items()}
        tensors["known"] = torch.tensor(ensemble.known.to_numpy(float))
        files.write(
            directory,
            _MODEL,
            tensors,
            {
                "spec": self.spec.to_mapping(),
                "elements": list(ensemble.elements),
                "features": list(ensemble.feature_map.names),
                "classes": {name: [0, 1] for name in self.spec.target_names},
                "tables_sha256": files.hash_of_tables(ensemble.tables),
                "seed": ensemble.seed,
                "epochs": len(self._records),
                "versions": {p: version(p) for p in ("pyro-hea", "pyro-ppl", "torch")},
                "known": list(ensemble.known.index),
            },
        )

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> Self:
        """Read a saved model, after checking that it is whole and fits this release.

        Raises
        ------
        MissingFileError, CheckpointError
        """
        tensors, manifest = files.read(directory, _MODEL)
        try:
            spec = ModelSpec.from_mapping(manifest["spec"], f"{directory}/{_MODEL}.json")
            elements = tuple(manifest["elements"])
            known = pd.DataFrame(
                tensors.pop("known").numpy(),
                pd.Index(manifest["known"], name="formula"),
                list(elements),
            )
            model = AlloyModel(spec, len(elements), tensors["weights.embedding.edges"])
            weights = {n.removeprefix("weights."): t for n, t in tensors.items()}
            model.load_state_dict(weights)
            expected, seed = manifest["tables_sha256"], manifest["seed"]
            features = manifest["features"]
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"'{directory}' does not fit its manifest: {error}") from None
        vae = cls(spec)
        ensemble = Ensemble(model.to(_device(device)).eval(), elements, known, seed)
        if files.hash_of_tables(ensemble.tables) != expected or features != list(
            ensemble.feature_map.names
        ):
            raise CheckpointError(
                f"the model in '{directory}' was trained with other element or pair tables, or "
                "features, than this release has; install the one that wrote it, or train again"
            )
        vae._ensemble = ensemble
        return vae


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"device '{name}' cannot be used: {error}. Use 'auto' or 'cpu'") from None


def _stopping_batch(ensemble: Ensemble, validation: AlloyDataset | None) -> AlloyBatch | None:
    """Validation alloys of the training elements; the others say nothing of the ELBO."""
    if validation is None:
        return None
    known = list(ensemble.elements)
    outside = validation.fractions.drop(columns=known, errors="ignore").sum(axis=1) > 0
    inside = validation.take(~outside.to_numpy())
    return ensemble.batch(inside) if len(inside) else None


def _fingerprint(trainer: Trainer, seed: int) -> dict[str, Any]:
    """What tells one training from another, beside its spec."""
    batches = {"training": trainer.data, "validation": trainer.validation}
    return {"seed": seed} | {
        name: None if batch is None else files.hash_of_tensors(batch.tensors())
        for name, batch in batches.items()
    }


def _save_training(
    trainer: Trainer, run: dict[str, Any], records: list[EpochRecord], folder: str | Path
) -> None:
    epochs = [record._asdict() for record in records]
    files.write(folder, _TRAINING, trainer.state(), {**run, "records": epochs})


def _resume(trainer: Trainer, run: dict[str, Any], folder: str | Path | None) -> list[EpochRecord]:
    if folder is None:
        raise DataError("resume needs the folder of the training: pass checkpoint=...")
    tensors, manifest = files.read(folder, _TRAINING)
    for key, now in run.items():
        if manifest.get(key) != now:
            raise CheckpointError(
                f"the training in '{folder}' was started with another {key}: continue with the "
                "same, or start anew without resume"
            )
    trainer.restore(tensors)
    return [EpochRecord(**record) for record in manifest["records"]]


def _check_labels(data: AlloyDataset, spec: ModelSpec) -> None:
    for name in spec.target_names:
        labels = data.labels[name].dropna() if name in data.labels else pd.Series(dtype=float)
        if labels.empty:
            raise DataError(
                f"no alloy is labelled with '{name}'. Targets in the data: "
                f"{', '.join(data.targets) or 'none'}; give labels, or take the target out of the "
                "spec"
            )
        if labels.nunique() == 1:
            raise DataError(
                f"every label of '{name}' is {labels.iloc[0]:g}: one class only cannot be learnt "
                "from. Add alloys of the other class"
            )


def _hold_out(
    data: AlloyDataset, spec: ModelSpec, seed: int
) -> tuple[AlloyDataset, AlloyDataset | None]:
    """Split off labelled alloys that decide when to stop, where there are enough."""
    labelled = np.flatnonzero(data.labels[list(spec.target_names)].notna().any(axis=1))
    if len(labelled) < _ENOUGH_LABELS:
        return data, None
    rng = np.random.default_rng(seed)
    held = np.zeros(len(data), bool)
    held[rng.choice(labelled, int(_HELD_OUT * len(labelled)), replace=False)] = True
    return data.take(~held), data.take(held)
