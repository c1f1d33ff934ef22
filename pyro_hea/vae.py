"""`DisentangledVAE`: training, predictions, posteriors and designs in one class."""

from __future__ import annotations

import sys
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
import torch
from tqdm.auto import tqdm

from pyro_hea import design as designing
from pyro_hea import posterior as answers
from pyro_hea.cache import VARIABLE, cache_folder, model_key, write_folder
from pyro_hea.devices import check_torch_settings, choose_device
from pyro_hea.errors import CacheWarning, CheckpointError, DataError, warn
from pyro_hea.fitting import TrainingRun
from pyro_hea.materials.alloys.dataset import AlloyDataset, load_alloys, read_alloys
from pyro_hea.model_card import model_card, read_facts, training_facts, write_card
from pyro_hea.posterior import Ensemble, untrained_ensemble
from pyro_hea.posterior.archive import load_ensemble, save_ensemble
from pyro_hea.posterior.prior_table import prior_table
from pyro_hea.spec import ModelSpec
from pyro_hea.spec.inferred import warn_of_few_labels
from pyro_hea.trained import TrainedModel, asks

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.explain.explorer import Explorer
    from pyro_hea.materials.alloys.amounts import Alloys


class DisentangledVAE(TrainedModel[ModelSpec, Ensemble]):
    """A disentangled variational autoencoder of alloys whose targets are explicit latent sites.

    Parameters
    ----------
    spec : ModelSpec, optional
        The default declares `single_phase` alone.

    Examples
    --------
    >>> from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
    >>> spec = ModelSpec(training={"members": 2, "epochs": 2, "distillation": None})
    >>> vae = DisentangledVAE(spec).fit(load_alloys("zeng2024"), seed=0, progress=False)
    >>> vae.predict(["CoCrFeMnNi"]).columns.tolist()
    ['single_phase', 'single_phase_sd', 'single_phase_low', 'single_phase_high',
     'single_phase_epistemic', 'single_phase_aleatoric']
    """

    def __init__(self, spec: ModelSpec | None = None) -> None:
        super().__init__(spec or ModelSpec())
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
            self._facts = training_facts(self.spec, data, run.trainer, self._records)
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

        The default declares `single_phase` alone. For other properties of the embedded alloys:

        >>> from pyro_hea import ModelSpec, load_alloys
        >>> spec = ModelSpec.for_data(load_alloys(), ["hardness"])  # doctest: +SKIP
        >>> DisentangledVAE.default(spec).predict(["CoCrFeMnNi"])  # doctest: +SKIP
        """
        spec = spec or ModelSpec()
        try:
            folder = cache_folder() / model_key(spec)
            if folder.is_dir():
                return cls.load(folder, device)
        except (CheckpointError, OSError) as error:
            warn(f"the default model is trained anew: {error}", CacheWarning)
        if progress:
            tqdm.write("The default model is trained once; this takes some minutes.", sys.stderr)
        vae = cls(spec).fit(load_alloys(), device=device, progress=progress)
        try:
            folder = cache_folder() / model_key(spec)
            write_folder(folder, vae.save)
        except OSError as error:
            warn(
                f"the default model is not kept, and is trained again next time: {error}. Set "
                f"{VARIABLE} to a folder that can be written",
                CacheWarning,
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
        self._facts = training_facts(self.spec, joined, run.trainer, run.records)
        return self

    # Answers.

    predict = asks(answers.predict)

    posterior = asks(answers.sample_posterior)

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
        return answers.prior_predictive(self._prior_ensemble(alloys, seed), n, seed)

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

    guide_table = asks(answers.guide_table)
    check_guide = asks(answers.check_guide)

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
        return answers.check_predictive(self.ensemble, idata)

    label_evidence = asks(answers.label_evidence)
    reliability = asks(answers.reliability)
    doubted_reports = asks(answers.doubted_reports)
    encode = asks(answers.encode)
    decode = asks(answers.decode)
    reconstruct = asks(answers.reconstruct)

    # Inverse design.

    design = asks(designing.sample_designs)
    screen = asks(designing.screen)
    scan = asks(designing.scan)
    invert = asks(designing.invert)
    nearest = asks(designing.nearest_alloy)

    @torch.inference_mode(False)
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

        return Explorer(self.ensemble, data, self.ensemble.check_member(member))

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
    @torch.inference_mode(False)
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
