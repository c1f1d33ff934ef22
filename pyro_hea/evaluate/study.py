"""The main job: train on the embedded alloys, measure the test part, design, and report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pyro_hea.design import DesignResult, LargestFraction, MinElements
from pyro_hea.evaluate.judge import embedded_judge
from pyro_hea.evaluate.protocols import TARGET, PublishedRun, published_run
from pyro_hea.evaluate.report import write_report
from pyro_hea.files import replacing, writable, write_text
from pyro_hea.plots import (
    composition_bars,
    latent_map,
    predictions_forest,
    reconstruction,
    reliability,
    roc,
    training_curve,
)
from pyro_hea.posterior.idata import write_netcdf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyro_hea.spec import ModelSpec

DESIGNS = 50
CONSTRAINTS = (MinElements(4), LargestFraction(0.5))
"""Of the designs: high-entropy alloys in the usual sense."""

_DRAWS = 25
"""Posterior draws of each member that are written down."""


@dataclass(frozen=True)
class Study:
    """What the main job found.

    Attributes
    ----------
    run : PublishedRun
        The trained model and its test measures.
    designs : DesignResult
        New alloys for `single_phase = 1`.
    judged : DataFrame
        Share of the designs that the judge, which never met the model, calls single phase.
    """

    run: PublishedRun
    designs: DesignResult
    judged: pd.DataFrame


def run_study(
    out: str | Path,
    *,
    spec: ModelSpec | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Study:
    """Do the main job and write its folder.

    Writes `model/`, `metrics.json`, `predictions.csv`, `designs.csv`, `posterior.nc` and
    `report.html`; the same seed gives the same contents.

    Parameters
    ----------
    out : path
    spec : ModelSpec, optional
    seed : int
    device : str
    progress : bool

    Raises
    ------
    OutputError
        Where the folder cannot be made; before anything is trained.
    """
    folder = writable(out)
    run = published_run(spec, seed=seed, device=device, progress=progress)
    designs = run.vae.design({TARGET: 1}, CONSTRAINTS, n=DESIGNS, seed=seed, min_probability=0)
    judged = _judge(designs)
    study = Study(run, designs, judged)
    run.vae.save(folder / "model")
    metrics = {**run.metrics, "designs": _design_metrics(study)}
    text = json.dumps(metrics, indent=1, ensure_ascii=False) + "\n"
    write_text(folder / "metrics.json", text)
    with replacing(folder / "predictions.csv") as file:
        run.predictions.to_csv(file, index=False, float_format="%.6g")
    designs.to_csv(folder / "designs.csv")
    idata = run.vae.posterior(run.parts["test"], draws=_DRAWS, seed=seed)
    write_netcdf(idata, folder / "posterior.nc")
    write_report(
        folder / "report.html",
        title="pyro_hea: single-phase alloys, from data to designs",
        summary=_summary(study),
        tables=tables(study),
        figures=_figures(study),
        notes=_NOTES,
    )
    return study


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """The tables that the main job prints and reports."""
    metrics = study.run.metrics
    scores = pd.DataFrame(metrics["classification"]).T
    scores.index.name = "test alloys"
    rest = {
        "composition MAE (at.%)": metrics["composition"]["mae_at_pct"],
        "copying the nearest training alloy (at.%)": metrics["composition"][
            "nearest_alloy_mae_at_pct"
        ],
        "atoms misplaced (%)": metrics["composition"]["atoms_misplaced_pct"],
        "label read from z by 15-NN (AUC)": metrics["label_from_latent"]["knn_auc"],
        "label read from z by extra trees (AUC)": metrics["label_from_latent"]["trees_auc"],
    }
    shown = [f"{TARGET}{suffix}" for suffix in ("", "_sd", "_low", "_high")]
    return {
        "Single phase or not, test part": scores.reset_index(),
        "Reconstruction and disentanglement, test part": pd.DataFrame(
            [(name, f"{value:.3g}") for name, value in rest.items()],  # each in a unit of its own
            columns=["measure", "value"],
        ),
        "Designs, judged": study.judged.reset_index(),
        "Designs": study.designs.table[[*shown, "novelty", "known"]].reset_index(),
    }


_NOTES = {
    "Single phase or not, test part": "The alloys of two or three elements are mostly binaries "
    "and easy; read the rows of four and more elements for high-entropy alloys.",
    "Reconstruction and disentanglement, test part": "0.5 means that the latent says nothing of "
    "the label.",
    "Designs, judged": "The judge is an ensemble of trees fitted on every embedded report; the "
    "model never met it. Its word is no experiment.",
    "Reliability of the predictions": "Bars are intervals of the observed frequency: with this "
    "many alloys even a perfect predictor strays from the diagonal.",
}


def _judge(designs: DesignResult) -> pd.DataFrame:
    judge = embedded_judge()
    fractions = designs.table[[e for e in designs.table if e in judge.elements]]
    probability = judge.predict(fractions)
    predicted = designs.table[TARGET].to_numpy()
    rows = {"all designs": np.full(len(predicted), True), "predicted > 0.9": predicted > 0.9}
    return pd.DataFrame(
        {
            name: {
                "designs": int(chosen.sum()),
                "mean prediction": float(predicted[chosen].mean()) if chosen.any() else np.nan,
                "mean of the judge": float(probability[chosen].mean()) if chosen.any() else np.nan,
                "judged single phase (%)": float(100 * (probability[chosen] > 0.5).mean())
                if chosen.any()
                else np.nan,
            }
            for name, chosen in rows.items()
        }
    ).T.rename_axis(index="designs ")


def _design_metrics(study: Study) -> dict[str, Any]:
    attributes = dict(study.designs.attributes)
    judged = study.judged.astype(float).round(6).replace({np.nan: None}).to_dict("index")
    return {**attributes, "n": len(study.designs), "judge": judged}


def _summary(study: Study) -> dict[str, object]:
    alloys = study.run.metrics["alloys"]
    overall = study.run.metrics["classification"]["all"]
    return {
        "training alloys (labelled + unlabelled)": f"{alloys['labelled']} + {alloys['unlabelled']}",
        "validation and test alloys": f"{alloys['validation']} and {alloys['test']}",
        "members of the ensemble": study.run.vae.ensemble.members,
        "test AUC": round(overall["auc"], 3),
        "test log loss (nats)": round(overall["log_loss"], 3),
        "composition MAE, test (at.%)": round(study.run.metrics["composition"]["mae_at_pct"], 3),
        "designs": len(study.designs),
    }


def _figures(study: Study) -> dict[str, Figure]:
    run, vae = study.run, study.run.vae
    y, p = run.predictions[f"{TARGET}_label"], run.predictions[TARGET]
    known = y.notna()
    labelled, test = run.parts["labelled"], run.parts["test"]
    latent = vae.encode(labelled).assign(
        **{TARGET: labelled.labels[TARGET].to_numpy()},
        number_of_elements=labelled.number_of_elements.to_numpy(),
    )
    designs = study.designs.table
    elements = list(vae.ensemble.elements)
    probability = designs[[TARGET, f"{TARGET}_low", f"{TARGET}_high"]]
    drawn: dict[str, Axes] = {
        "Training": training_curve(vae.history)[0],
        "ROC": roc(y, p, run.predictions["number_of_elements"]),
        "Reliability of the predictions": reliability(y[known], p[known]),
        "Predictions of the test alloys": predictions_forest(
            run.predictions.set_index("formula"), TARGET
        ),
        "Latent space by phase": latent_map(latent, TARGET),
        "Latent space by number of elements": latent_map(latent, "number_of_elements"),
        "Reconstructed compositions": reconstruction(
            vae.ensemble.fractions(test), vae.reconstruct(test)
        ),
        "Designs": composition_bars(designs[elements], probability=probability),
    }
    return {name: cast("Figure", axes.figure) for name, axes in drawn.items()}
