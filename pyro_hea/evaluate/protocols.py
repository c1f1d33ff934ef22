"""Protocols: who is trained on, who is tested on, and what is measured, the same in every run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.evaluate.measures.classification import by_size
from pyro_hea.evaluate.measures.latent import label_from_latent
from pyro_hea.evaluate.measures.reconstruction import composition_metrics, nearest_alloy_mae_at_pct
from pyro_hea.evaluate.measures.reliability import calibrated_ece_band
from pyro_hea.materials.alloys.dataset import PARTS, AlloyDataset, load_alloys
from pyro_hea.posterior import encode_and_decode
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pathlib import Path

    from pyro_hea.spec import ModelSpec

TARGET = "single_phase"
"""What the published protocol is about."""


@dataclass(frozen=True)
class PublishedRun:
    """One run of the published protocol.

    Attributes
    ----------
    vae : DisentangledVAE
    parts : mapping of str to AlloyDataset
        Labelled, unlabelled, validation and test.
    metrics : dict
        Counts, classification, composition and latent measures of the test part.
    predictions : DataFrame
        One row per test alloy: formula, number of elements, label, prediction.
    """

    vae: DisentangledVAE
    parts: dict[str, AlloyDataset]
    metrics: dict[str, Any]
    predictions: pd.DataFrame


def published_run(
    spec: ModelSpec | None = None,
    *,
    seed: int,
    device: str = "auto",
    progress: bool = True,
    checkpoint: Path | None = None,
) -> PublishedRun:
    """Train on the published split, stop by its validation part, measure its test part once.

    Parameters
    ----------
    spec : ModelSpec, optional
    seed : int
    device : str
    progress : bool
    checkpoint : path, optional
        Folder of the training state.

    Returns
    -------
    PublishedRun
    """
    parts = load_alloys("zeng2024").split("published")
    vae = published_vae(spec, seed=seed, device=device, progress=progress, checkpoint=checkpoint)
    test = parts["test"]
    labels = test.labels.rename(columns={TARGET: f"{TARGET}_label"})
    predictions = labels.join([test.number_of_elements, vae.predict(test)]).reset_index()
    return PublishedRun(vae, parts, published_metrics(vae, seed), predictions)


def published_vae(
    spec: ModelSpec | None = None,
    *,
    seed: int,
    device: str = "auto",
    progress: bool = True,
    checkpoint: Path | None = None,
) -> DisentangledVAE:
    """Train on the labelled and unlabelled alloys, stopped by the validation part."""
    parts = load_alloys("zeng2024").split("published")
    return DisentangledVAE(spec).fit(
        parts["labelled"] + parts["unlabelled"],
        validation=parts["validation"],
        seed=seed,
        device=device,
        progress=progress,
        checkpoint=checkpoint,
    )


def published_metrics(vae: DisentangledVAE, seed: int) -> dict[str, Any]:
    """What is measured of a model of `published_vae`, with the alloys of each part counted."""
    alloys = load_alloys("zeng2024")
    parts = alloys.split("published")
    about = {"protocol": "published", "seed": seed, "alloys": _counts(alloys, parts)}
    return about | measure(vae, parts["test"])


def measure(vae: DisentangledVAE, test: AlloyDataset) -> dict[str, Any]:
    """Classification, composition and latent measures of alloys that were not trained on.

    Parameters
    ----------
    vae : DisentangledVAE
    test : AlloyDataset

    Returns
    -------
    dict
        `classification` by number of elements, with the 90 % band that a perfectly calibrated
        predictor's ECE would lie in; `composition` (errors in at.%, with that of what is decoded
        from the guide's own centre beside it) and `label_from_latent`, each taken member by
        member and averaged.
    """
    labels = test.labels[TARGET]
    known = labels.notna().to_numpy()
    y = labels[known].to_numpy()
    p = vae.predict(test)[TARGET].to_numpy()[known]
    scores = by_size(y, p, test.number_of_elements[known])
    ensemble = vae.ensemble
    true = ensemble.fractions(test)
    z, decoded = encode_and_decode(ensemble, test)
    compositions = [composition_metrics(true, made) for made in decoded]
    latents = [label_from_latent(of_member[known], y) for of_member in z]
    batch = ensemble.batch(test)
    by_guide = ensemble.decode(ensemble.guide_centre(batch), ensemble.most_probable(batch))
    guides = [composition_metrics(true, made)["mae_at_pct"] for made in by_guide.cpu().numpy()]
    return {
        "classification": scores.replace({np.nan: None}).to_dict("index"),
        "ece_band_of_a_calibrated_predictor": list(calibrated_ece_band(p)),
        "composition": {
            **_mean(compositions),
            "guide_mae_at_pct": float(np.mean(guides)),
            "nearest_alloy_mae_at_pct": nearest_alloy_mae_at_pct(true, ensemble.known),
        },
        "label_from_latent": _mean(latents),
    }


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """The measures that a run is compared by, on one level."""
    overall = metrics["classification"]["all"]
    complex_alloys = metrics["classification"]["≥ 4 elements"]
    return {
        "AUC": overall["auc"],
        "log loss": overall["log_loss"],
        "accuracy": overall["accuracy"],
        "Brier": overall["brier"],
        "ECE": overall["ece"],
        "AUC, ≥ 4 elements": complex_alloys["auc"],
        "log loss, ≥ 4 elements": complex_alloys["log_loss"],
        "accuracy, ≥ 4 elements": complex_alloys["accuracy"],
        "composition MAE (at.%)": metrics["composition"]["mae_at_pct"],
        "composition MAE, guide's centre (at.%)": metrics["composition"]["guide_mae_at_pct"],
        "atoms misplaced (%)": metrics["composition"]["atoms_misplaced_pct"],
        "label from z, AUC (worse of 15-NN and trees)": metrics["label_from_latent"]["worse_auc"],
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {str(k): float(v) for k, v in pd.DataFrame(rows).mean().items()}


def _counts(alloys: AlloyDataset, parts: dict[str, AlloyDataset]) -> dict[str, int]:
    """Alloys in each part, and those of training that were left out because they are elsewhere."""
    seen = alloys.reports.groupby("formula")["published_split"].agg(set)
    trained = seen.map(lambda names: bool(names & {"labelled", "unlabelled"}))
    held = alloys.parts.isin(["validation", "test"])
    return {
        **{part: len(parts[part]) for part in PARTS},
        "test with a label": int(parts["test"].labels[TARGET].notna().sum()),
        "left out of training": int((trained.reindex(alloys.formulas) & held).sum()),
    }
