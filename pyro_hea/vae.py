"""`DisentangledVAE`: training, predictions, posteriors and designs in one class."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from pyro_hea import design as designing
from pyro_hea import posterior
from pyro_hea.alloys.dataset import AlloyDataset, load_alloys, read_alloys
from pyro_hea.cache import VARIABLE, cache_folder, model_key, write_folder
from pyro_hea.design import Constraint, DesignResult, Wish, sample_designs
from pyro_hea.design.counterfactual import CONFIDENCE
from pyro_hea.design.problem import AGREEMENT, MINIMUM, STEP
from pyro_hea.design.sampling import CHAINS, DRAWS, WARMUP
from pyro_hea.design.screening import LARGEST as LARGEST_GRID
from pyro_hea.devices import check_torch_settings, choose_device
from pyro_hea.errors import CacheWarning, CheckpointError, DataError, NotFittedError
from pyro_hea.fitting import TrainingRun, history_table
from pyro_hea.inference import EpochRecord
from pyro_hea.model_card import model_card, read_facts, training_facts, write_card
from pyro_hea.posterior import Ensemble, untrained_ensemble
from pyro_hea.posterior.archive import load_ensemble, save_ensemble
from pyro_hea.posterior.prior_table import prior_table
from pyro_hea.spec import Continuous, ModelSpec
from pyro_hea.spec.inferred import warn_of_few_labels

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.alloys.amounts import Alloy, Alloys
    from pyro_hea.explain.explorer import Explorer
    from pyro_hea.posterior.conditions import Conditions


_gradients = torch.inference_mode(False)
"""Of methods that climb to a mode, which they do within `torch.inference_mode` too."""


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
    >>> vae = DisentangledVAE(spec).fit(load_alloys("zeng2024"), seed=0, progress=False)
    >>> vae.predict(["CoCrFeMnNi"]).columns.tolist()
    ['single_phase', 'single_phase_sd', 'single_phase_low', 'single_phase_high',
     'single_phase_epistemic', 'single_phase_aleatoric']
    """

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = spec or ModelSpec()
        self._ensemble: Ensemble | None = None
        self._records: list[EpochRecord] = []
        self._data: AlloyDataset | None = None
        self._facts: dict[str, Any] | None = None

    def __repr__(self) -> str:
        targets = ", ".join(self.spec.target_names)
        if self._ensemble is None:
            return f"DisentangledVAE({targets}; not fitted)"
        return (
            f"DisentangledVAE({targets}; {self.ensemble.members} members, "
            f"{len(self.ensemble.known)} alloys of {len(self.ensemble.elements)} elements)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.spec._repr_html_()}"

    @property
    def ensemble(self) -> Ensemble:
        """The trained members; an error before `fit` or `load`."""
        if self._ensemble is None:
            raise NotFittedError("this model is not trained yet: call fit(alloys) or load(folder)")
        check_torch_settings()
        return self._ensemble

    # Training.

    def fit(
        self,
        data: AlloyDataset | pd.DataFrame,
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
        data : AlloyDataset or DataFrame
            A DataFrame is read by `read_alloys` with this model's spec.
        validation : AlloyDataset, optional
            Labelled alloys for early stopping. By default a tenth of the labelled alloys is held
            out, where there are at least a hundred. Alloys of `data` that are in it as well are
            left out of training. A continuous target with ten labels or more is cross-validated:
            each member leaves out one tenth of the labels, for early stopping and calibration.
        seed : int
        device : str
            "auto" takes CUDA where there is one; else a torch device.
        progress : bool
            Show a progress bar.
        checkpoint : path, optional
            Folder into which the state of the training is saved as it goes and when it is
            interrupted.
        resume : bool
            Continue from the state in `checkpoint`, to the same result as without interruption,
            also on another kind of device (then not to the same bits). Where nothing was saved
            there yet, start anew with a `ResumeWarning`.

        Returns
        -------
        DisentangledVAE
            Itself. After an interrupt (Ctrl-C) a message says what it holds and whether the
            training can be resumed: the best weights so far, or, during distillation, what it
            held before.

        Raises
        ------
        DataError
            Without a labelled alloy of a target, with labels of one class only, or for a seed
            below 0.
        TrainingDivergedError
            Naming the site that is not finite; the best weights before it are kept.

        Warns
        -----
        LeakWarning
            Counting the training alloys that are validation alloys too.
        """
        _check_at_least("seed", seed, 0)
        if isinstance(data, pd.DataFrame):
            data = read_alloys(data, spec=self.spec)
        warn_of_few_labels(self.spec.targets, data)
        try:
            run = TrainingRun.prepare(
                self.spec,
                data,
                validation,
                seed=seed,
                device=choose_device(device),
                folder=checkpoint,
                resume=resume,
                progress=progress,
            )
        except KeyboardInterrupt as interrupt:
            interrupt.add_note("Interrupted before the first epoch: the model is as it was before")
            raise
        self._ensemble, self._records, self._data = run.ensemble, run.records, data
        self.spec = run.ensemble.spec
        try:
            run.train(progress)
        except KeyboardInterrupt as interrupt:
            again = (
                f"continue with fit(..., checkpoint='{checkpoint}', resume=True)"
                if checkpoint
                else "it cannot be resumed, since fit was given no checkpoint folder"
            )
            interrupt.add_note(
                f"Interrupted after epoch {run.trainer.epoch} of {run.trainer.settings.epochs}: "
                f"the model holds its best weights so far; {again}"
            )
            raise
        finally:
            self._facts = training_facts(self.spec, data, validation, self._records)
        return self

    @classmethod
    def default(
        cls, spec: ModelSpec | None = None, *, device: str = "auto", progress: bool = True
    ) -> Self:
        """The model of all embedded alloys that the library trusts, trained on first use.

        It is kept in the user's cache folder, under the hash of spec, embedded tables and version,
        and loaded from there afterwards. `PYRO_HEA_CACHE` names another folder.

        Parameters
        ----------
        spec : ModelSpec, optional
            Of the default model by default; each other spec is trained and kept likewise.
        device : str
        progress : bool
            Show a progress bar of the training, and where the model is kept.

        Returns
        -------
        DisentangledVAE

        Warns
        -----
        CacheWarning
            Where the cache cannot be read or written; the model is then trained in memory.

        Examples
        --------
        >>> from pyro_hea import DisentangledVAE
        >>> DisentangledVAE.default().predict(["CoCrFeMnNi"])  # doctest: +SKIP
        """
        spec = spec or ModelSpec()
        try:
            folder = cache_folder() / model_key(spec)
            if folder.is_dir():
                return cls.load(folder, device)
        except (CheckpointError, OSError) as error:
            warnings.warn(f"the default model is trained anew: {error}", CacheWarning, stacklevel=2)
        if progress:
            tqdm.write("The default model is trained once; this takes some minutes.", sys.stderr)
        vae = cls(spec).fit(load_alloys(), device=device, progress=progress)
        try:
            folder = cache_folder() / model_key(spec)
            write_folder(folder, vae.save)
        except OSError as error:
            warnings.warn(
                f"the default model is not kept, and is trained again next time: {error}. Set "
                f"{VARIABLE} to a folder that can be written",
                CacheWarning,
                stacklevel=2,
            )
        else:
            if progress:
                tqdm.write(f"Kept in {folder}", sys.stderr)
        return vae

    def update(
        self,
        measurements: AlloyDataset,
        data: AlloyDataset | None = None,
        *,
        epochs: int = 60,
        seed: int = 0,
        progress: bool = True,
    ) -> Self:
        """Continue training with new labels, which takes a fraction of the time of training anew.

        Parameters
        ----------
        measurements : AlloyDataset
            New reports, of alloys of the training elements, known or new.
        data : AlloyDataset, optional
            The earlier training data; needed for a loaded model, which does not hold it.
        epochs : int
            Over old and new alloys together, at a fifth of the learning rate.
        seed : int
        progress : bool

        Returns
        -------
        DisentangledVAE
            Itself; the members change only when the training has ended.

        Raises
        ------
        DataError
            Without the old data, for an element that the members do not know, or for no epochs.
        """
        _check_at_least("epochs", epochs, 1)
        _check_at_least("seed", seed, 0)
        old = data if data is not None else self._data
        if old is None:
            raise DataError("a loaded model does not hold its data: pass update(new, data=old)")
        joined = old + measurements
        run = TrainingRun.continued(
            self.ensemble, joined, epochs=epochs, seed=seed, progress=progress
        )
        run.train(progress)
        self._ensemble, self._records, self._data = run.ensemble, run.records, joined
        self._facts = training_facts(self.spec, joined, None, run.records)
        return self

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch and member.

        Columns `epoch`, `member`, `loss` (training, mean over members, nats per alloy),
        `validation_elbo_loss` (nats per alloy), `validation_log_loss` (nats per label; both NaN
        where the epoch was not evaluated) and `best`, true at the epoch whose weights are kept.
        """
        return history_table(self._records, self.spec.training.members)

    # Answers.

    def predict(
        self, alloys: AlloyDataset | Alloys, *, conditions: Conditions | None = None
    ) -> pd.DataFrame:
        """Predict each target of alloys, with its uncertainty.

        Parameters
        ----------
        alloys : formulas, mappings, pymatgen compositions, a fraction table or an AlloyDataset
            Of any elements of the packaged tables.
        conditions : mapping of name to number or numbers, optional
            At which numbers are predicted, such as `{"test_temperature_C": [20, 800]}`; those that
            the spec declares by default. There is a row for each alloy and combination, and a
            column for each condition.

        Returns
        -------
        DataFrame
            By formula, for each binary target `t`: `t` (mean probability of 1), `t_sd` (its
            spread over the members), `t_low` and `t_high` (94 % interval).

        Warns
        -----
        UnseenElementWarning
            For elements that no training alloy holds.
        ExtrapolationWarning
            For a condition outside the range in which a target was measured.
        """
        return posterior.predict(self.ensemble, alloys, conditions=conditions)

    @_gradients
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
        groups: Sequence[str] = posterior.GROUPS,
        seed: int = 0,
        progress: bool = True,
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
        groups : sequence of str
            What "guide" draws; compositions take most of the time and of the memory.
        seed : int
        progress : bool
            Show a progress bar of "importance" and "nuts" after two seconds.

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
                progress=progress,
            )
        if method == "importance":
            return posterior.importance_posterior(
                self.ensemble, alloys, draws=draws, labels=labels, seed=seed, progress=progress
            )
        return posterior.draw_posterior(
            self.ensemble, alloys, draws=draws, labels=labels, seed=seed, groups=groups
        )

    def prior_predictive(
        self, n: int = 500, alloys: AlloyDataset | Alloys | None = None, *, seed: int = 0
    ) -> az.InferenceData:
        """Draw targets, latents and compositions from the model, given no alloy.

        Before `fit` the network weights are random initial ones: draws of targets and latents
        follow the priors, those of compositions mean little.

        Parameters
        ----------
        n : int
            Draws of each member.
        alloys : alloys, optional
            Whose features are used by priors that depend on features; labels are not used. By
            default the training alloys, before `fit` the embedded ones.
        seed : int
            Of the draws and, before `fit`, of the initial weights.

        Returns
        -------
        InferenceData
            Groups `prior` (targets, z) and `prior_predictive` (composition); the dimension
            `chain` is the member.

        Examples
        --------
        >>> from pyro_hea import DisentangledVAE
        >>> idata = DisentangledVAE().prior_predictive(100)
        >>> dict(idata["prior"]["z"].sizes)
        {'chain': 8, 'draw': 100, 'latent': 8}
        """
        return posterior.prior_predictive(self._prior_ensemble(alloys, seed), n, seed)

    def prior_table(
        self, alloys: AlloyDataset | Alloys | None = None, *, seed: int = 0
    ) -> pd.DataFrame:
        """Density of each declared prior, for `pyro_hea.plots.prior_panels`.

        See `pyro_hea.posterior.prior_table`; parameters as of `prior_predictive`.
        """
        return prior_table(self._prior_ensemble(alloys, seed), seed)

    def _prior_ensemble(self, alloys: AlloyDataset | Alloys | None, seed: int) -> Ensemble:
        """The members, trained or not, with the alloys whose features the priors use."""
        check_torch_settings()
        if self._ensemble is None:
            return untrained_ensemble(
                self.spec, load_alloys("zeng2024") if alloys is None else alloys, seed
            )
        if alloys is None:
            return self._ensemble
        return replace(self._ensemble, known=self._ensemble.fractions(alloys))

    @_gradients
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

    @_gradients
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

    def check_predictive(
        self, alloys: AlloyDataset | Alloys, *, draws: int = 50, seed: int = 0
    ) -> tuple[pd.DataFrame, az.InferenceData]:
        """Compare sets of alloys drawn from the posterior predictive with the real set.

        Returns
        -------
        table : DataFrame
            By statistic: what it is in the real set, its mean and sd over the draws, its p-value.
        checks : InferenceData
            Number of elements and features of drawn and real alloys, for `az.plot_ppc`.
        """
        groups = ("posterior_predictive",)
        idata = self.posterior(alloys, draws=draws, groups=groups, seed=seed)
        return posterior.check_predictive(self.ensemble, idata)

    @_gradients
    def label_evidence(self, alloys: AlloyDataset | Alloys, *, seed: int = 0) -> pd.DataFrame:
        """The model's own p(y | x) of each alloy beside the head's q(y | features)."""
        return posterior.label_evidence(self.ensemble, alloys, seed=seed)

    def reliability(self, *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
        """How often each source of reports is right; see `pyro_hea.posterior.reliability`.

        Raises
        ------
        SpecError
            Where no target declares `reports`.
        """
        return posterior.reliability(self.ensemble, draws=draws, seed=seed)

    def doubted_reports(
        self, alloys: AlloyDataset, *, below: float = 0.5, draws: int = 200, seed: int = 0
    ) -> pd.DataFrame:
        """Reports that are probably wrong; see `pyro_hea.posterior.doubted_reports`.

        Raises
        ------
        SpecError
            Where no target declares `reports`.
        """
        return posterior.doubted_reports(self.ensemble, alloys, below=below, draws=draws, seed=seed)

    @_gradients
    def encode(self, alloys: AlloyDataset | Alloys, member: int = 0) -> pd.DataFrame:
        """Latent of alloys of the training elements in one member, columns `z0`, `z1`, ….

        The mode of the member's posterior, with known labels where there are some.
        """
        return posterior.encode(self.ensemble, alloys, self._member(member))

    def decode(
        self,
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
        missing = set(self.spec.target_names) - set(targets)
        for name, value in targets.items():
            self._check_value(name, value)
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

    @_gradients
    def reconstruct(self, alloys: AlloyDataset | Alloys, member: int = 0) -> pd.DataFrame:
        """Fractions that one member decodes from its latents of the alloys."""
        return posterior.reconstruct(self.ensemble, alloys, self._member(member))

    @_gradients
    def design(
        self,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        n: int = 100,
        method: Literal["importance", "nuts", "svi"] = "importance",
        seed: int = 0,
        conditions: Mapping[str, float] | None = None,
        min_probability: float | None = None,
        min_elements: int | None = None,
        tolerance: float | None = None,
        step: float = STEP,
        minimum: float = MINIMUM,
        agreement: float = AGREEMENT,
        draws: int = DRAWS,
        warmup: int = WARMUP,
        chains: int = CHAINS,
    ) -> DesignResult:
        """Draw new alloys that are predicted to have the wished-for targets.

        Parameters
        ----------
        targets : mapping of target to wish
            0 or 1 of a binary target, the name of a class or level, an inequality `(">", 500)` or
            a range `(900, 1200)` of a number. "max" or "min" is an objective: of a number, a
            probability, a feature, an indicator of the elements, or "density".
        constraints : sequence of Constraint
            Each holds exactly on every alloy returned.
        n : int
        method : {"importance", "nuts", "svi"}
            How the design posterior is sampled. Chains take longer, and are checked for mixing.
        seed : int
        conditions : mapping of name to number, optional
            At which the wishes are to hold, such as `{"test_temperature_C": 800}`.
        min_probability : float, optional
            Leave out designs whose wishes hold with a lower probability. By default some that are
            less likely than not give a warning; 0 gives none.
        min_elements : int, optional
            By default three, unless constraints say how many elements or allow fewer.
        tolerance : float, optional
            Largest error of a fraction in weighing, as 0.005, for one more column.
        step, minimum, agreement, draws, warmup, chains
            As of `pyro_hea.design.sample_designs`; the last three are of NUTS.

        Returns
        -------
        DesignResult

        Warns
        -----
        DesignWarning
            Where designs are fewer, less likely or less trustworthy than was asked.
        """
        return sample_designs(
            self.ensemble,
            targets,
            constraints,
            n=n,
            seed=seed,
            method=method,
            conditions=conditions,
            min_probability=min_probability,
            min_elements=min_elements,
            tolerance=tolerance,
            step=step,
            minimum=minimum,
            agreement=agreement,
            draws=draws,
            warmup=warmup,
            chains=chains,
        )

    @_gradients
    def explore(self, data: AlloyDataset, member: int = 0) -> Explorer:
        """Walk through one member's latent space in a notebook.

        Parameters
        ----------
        data : AlloyDataset
            Alloys of the training elements to show on the map.
        member : int

        Returns
        -------
        Explorer
            Displays itself as widgets, or as a plain figure where there are none; its `picked` is a
            DataFrame of the alloys that were kept.

        Raises
        ------
        MissingExtraError
            Without plotly.
        """
        from pyro_hea.explain.explorer import Explorer  # plotly is needed for nothing else

        return Explorer(self.ensemble, data, self._member(member))

    def screen(
        self,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        candidates: Iterable[Alloy] | None = None,
        step: float = 0.05,
        minimum: float = MINIMUM,
        n: int = 100,
        limit: int = LARGEST_GRID,
        exhaustive: bool = False,
        conditions: Mapping[str, float] | None = None,
        min_probability: float | None = None,
        min_elements: int | None = None,
        tolerance: float | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> DesignResult:
        """Rank a grid of compositions, or a stream of them; see `pyro_hea.design.screen`."""
        return designing.screen(
            self.ensemble,
            targets,
            constraints,
            candidates=candidates,
            step=step,
            minimum=minimum,
            n=n,
            limit=limit,
            exhaustive=exhaustive,
            conditions=conditions,
            min_probability=min_probability,
            min_elements=min_elements,
            tolerance=tolerance,
            seed=seed,
            progress=progress,
        )

    @_gradients
    def scan(
        self,
        alloys: Alloys | None,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        points: int | None = None,
        member: int = 0,
        axes: tuple[int, int] = (0, 1),
        extent: float = 2.5,
        centre: Alloys | None = None,
        step: float = STEP,
        minimum: float = MINIMUM,
    ) -> DesignResult:
        """Decode the path between two alloys, or without them a grid of a plane of z.

        `axes`, `extent` and `centre` are of a grid. There are 21 `points` along a path and 11
        along each side of a grid by default. See `pyro_hea.design.scan_path` and `scan_grid`.
        """
        if alloys is None:
            return designing.scan_grid(
                self.ensemble,
                targets,
                constraints,
                axes=axes,
                extent=extent,
                points=11 if points is None else points,
                centre=centre,
                member=member,
                step=step,
                minimum=minimum,
            )
        return designing.scan_path(
            self.ensemble,
            alloys,
            targets,
            constraints,
            points=21 if points is None else points,
            member=member,
            step=step,
            minimum=minimum,
        )

    @_gradients
    def invert(
        self,
        alloy: Alloys,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        confidence: float = CONFIDENCE,
        seed: int = 0,
        step: float = STEP,
        minimum: float = MINIMUM,
    ) -> DesignResult:
        """Change an alloy's targets and walk in latent space; see `pyro_hea.design.invert`."""
        how = {"confidence": confidence, "step": step, "minimum": minimum}
        return designing.invert(self.ensemble, alloy, targets, constraints, seed=seed, **how)

    @_gradients
    def nearest(
        self,
        alloy: Alloys,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        confidence: float = CONFIDENCE,
        step: float = STEP,
        minimum: float = MINIMUM,
    ) -> DesignResult:
        """Find the smallest change that fulfils the wishes; see `pyro_hea.design.nearest_alloy`."""
        how = {"confidence": confidence, "step": step, "minimum": minimum}
        return designing.nearest_alloy(self.ensemble, alloy, targets, constraints, **how)

    def _check_value(self, name: str, value: str | float) -> None:
        """Refuse a target that there is not, or a position that is of no class of it."""
        self.ensemble.check_target(name)
        target = self.spec.target(name)
        if isinstance(target, Continuous) or isinstance(value, str):
            return
        if value not in range(len(target.classes)):
            classes = ", ".join(f"{i} ({c})" for i, c in enumerate(target.classes))
            raise DataError(f"'{name}' has no class {value:g}; allowed: {classes}")

    def _member(self, member: int) -> int:
        return self.ensemble.check_member(member)

    # Files.

    def save(self, directory: str | Path) -> None:
        """Write weights (safetensors), manifest (JSON) and model card (Markdown) into a folder.

        Raises
        ------
        OutputError
            Where the folder cannot be written.
        """
        save_ensemble(self.ensemble, directory)
        write_card(directory, self.ensemble, self._facts)

    def card(self) -> str:
        """The model card in Markdown: data, spec, training, calibration and limits."""
        return model_card(self.ensemble, self._facts)

    @classmethod
    @_gradients
    def load(cls, directory: str | Path, device: str = "cpu") -> Self:
        """Read a saved model, after checking that it is whole and fits this release.

        Raises
        ------
        MissingFileError, CheckpointError
        """
        ensemble = load_ensemble(directory, choose_device(device))
        vae = cls(ensemble.spec)
        vae._ensemble, vae._facts = ensemble, read_facts(directory)
        return vae


def _check_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise DataError(f"{name}={value} is not allowed; it is at least {least}")
