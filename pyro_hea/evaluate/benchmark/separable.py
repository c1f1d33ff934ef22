"""Latents in which clusters lie apart: scores, draws, interpolations and edits, held out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.evaluate.published import cached_vae
from pyro_hea.evaluate.separable import measure_separable
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner
    from pyro_hea.vae import DisentangledVAE

_LATENTS = ("before", "supervised", "unsupervised", "published")


def separable(runner: Runner, seeds: int) -> ProtocolResult:
    """Train T on models of the published split, measure it on the test part."""
    tasks = {
        f"separable-seed{seed}": partial(
            _run, partial(cached_vae, seed, runner.spec, runner.device, runner.folder), seed
        )
        for seed in range(seeds)
    }
    done = runner.run(tasks)
    runs = [done[name] for name in tasks]
    scores = pd.concat(
        [
            pd.DataFrame(of["scores"]).assign(clusters=rule, seed=seed)
            for seed, run in enumerate(runs)
            for rule, of in run["clusters"].items()
        ],
        ignore_index=True,
    )
    tables = {
        "Macro F1, clusters that T and the classifiers were shown": _scores(scores, "seen"),
        "Macro F1, held-out alloys": _scores(scores, "held_out"),
        "Macro F1, held-out alloys, clusters shuffled in training": _scores(scores, "shuffled"),
        "Held-out macro F1 of the supervised T beyond that of another latent": _gains(scores),
        "Draws, interpolations and new alloys": _moves_of_clusters(runs),
        "Edits of held-out alloys": _edits(runs),
        "Exactness and time": pd.DataFrame(
            [{"seed": i, **r["exact"], "CPU seconds": r["seconds"]} for i, r in enumerate(runs)]
        ),
    }
    content = {"protocol": "separable", "seeds": seeds, "runs": runs}
    return ProtocolResult("separable", content, tables, _figure(scores))


def _run(model: partial[DisentangledVAE], seed: int) -> dict[str, Any]:
    parts = load_alloys("zeng2024").split("published")
    train = parts["labelled"] + parts["unlabelled"]
    return measure_separable(model(), train, parts["test"], seed=seed)


def _f1(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    rows = scores[scores["measure"] == "macro F1"].dropna(subset=[column])
    return rows.pivot_table(
        index=["clusters", "latent", "seed"], columns="classifier", values=column, sort=False
    )


def _scores(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over the seeds, with its interval over them."""
    f1, rows = _f1(scores, column), []
    for rule, latent in dict.fromkeys(f1.index.droplevel("seed")):
        of = f1.loc[(rule, latent)]
        shown = {c: format_interval(bootstrap_interval(of[c].to_numpy())) for c in f1.columns}
        rows.append({"clusters": rule, "latent": latent, **shown})
    return pd.DataFrame(rows)


def _gains(scores: pd.DataFrame) -> pd.DataFrame:
    f1, rows = _f1(scores, "held_out"), []
    for rule in dict.fromkeys(scores["clusters"]):
        best = f1.loc[(rule, "supervised")]
        for other in ("before", "unsupervised", "published"):
            than = f1.loc[(rule, other)]
            gain = {
                c: format_interval(paired_difference(best[c].to_numpy(), than[c].to_numpy()))
                for c in f1.columns
            }
            rows.append({"clusters": rule, "beyond": other, **gain})
    return pd.DataFrame(rows)


def _moves_of_clusters(runs: list[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for seed, run in enumerate(runs):
        for rule, of in run["clusters"].items():
            ways, worst = of["interpolation"], min(of["draws keep"], key=of["draws keep"].get)
            rows.append(
                {
                    "seed": seed,
                    "clusters": rule,
                    "decoding keeps": of["decoding keeps"]["all"],
                    "draws keep, worst cluster": f"{of['draws keep'][worst]:.3f} ({worst})",
                    "interpolation keeps": ways["keeps"],
                    "smoothness": ways["smoothness"]["mean"],
                    "plain latent": ways["smoothness, plain latent"]["mean"],
                    "difference": format_interval(ways["difference of smoothness"]),
                    "new alloys in their cluster": of["augmented"]["in their cluster"],
                    "smallest novelty": of["augmented"]["smallest novelty"],
                }
            )
    return pd.DataFrame(rows)


def _edits(runs: list[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for toward in runs[0]["moves"]:
        for how in ("as decoded", "trimmed"):
            table = pd.DataFrame([run["moves"][toward][how] for run in runs])
            for name in table.columns:
                values = table[name].to_numpy(float)
                shown = np.mean(values) if name == "alloys" else bootstrap_interval(values)
                text = f"{shown:g}" if name == "alloys" else format_interval(cast("Any", shown), 2)
                rows.append({"edit": toward, "how": how, "measure": name, "mean": text})
    return pd.DataFrame(rows)


def _figure(scores: pd.DataFrame) -> Figure:
    f1, rows = _f1(scores, "held_out"), []
    for rule in dict.fromkeys(scores["clusters"]):
        for latent in _LATENTS:
            for classifier in f1.columns:
                found = bootstrap_interval(f1.loc[(rule, latent)][classifier].to_numpy())
                rows.append({"measure": rule, "name": classifier, "group": latent, **found})
    table = pd.DataFrame(rows)
    table["measure"] += ": macro F1, held out"
    return interval_panels(table).figure
