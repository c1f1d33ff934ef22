"""What is measured of a separable latent, on alloys that neither model nor T was trained on."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch

from pyro_hea.errors import ConstraintError, DataError, DesignWarning
from pyro_hea.evaluate.judge import embedded_judge
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.explain.separable import SeparableLatent, separate
from pyro_hea.spec import Separation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyro_hea.design import DesignResult
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

UNSUPERVISED = Separation(prior=None, discrimination=0.0, bending=0.0, straightening=0.0)
"""T trained to a standard normal, without clusters, on the same alloys and draws."""

_PAIRS = 200
_DRAWS = 300
_AUGMENTED = 50
_STEPS = 11


def measure_separable(
    vae: DisentangledVAE,
    train: AlloyDataset,
    held: AlloyDataset,
    *,
    rules: Sequence[str] = ("family", "holds Al"),
    edits: int = 40,
    member: int = 0,
    seed: int = 0,
    spec: Separation | None = None,
) -> dict[str, Any]:
    """Scores, draws, interpolations, edits and new alloys.

    Parameters
    ----------
    vae : DisentangledVAE
        Trained on `train`.
    train, held : AlloyDataset
        Without an alloy in common.
    rules : sequence of str
        Clusters that a composition determines; the last is that of the moves.
    edits : int
        Held-out alloys that are moved.
    member, seed : int
    spec : Separation, optional

    Returns
    -------
    dict
        By rule `clusters` (scores of the latent before T, after it, after T without clusters and
        after T as published; draws, interpolation, new alloys), and `moves`.
    """
    started = time.process_time()
    first = separate(vae, rules[0], member, alloys=train, spec=spec, seed=seed)
    seconds = time.process_time() - started
    plain = {
        "unsupervised": first.by(rules[0], spec=UNSUPERVISED),
        "published": first.by(rules[0], spec=Separation.published()),
    }
    found: dict[str, Any] = {"seconds": seconds, "exact": exactness(first), "clusters": {}}
    for rule in rules:
        s = first if rule == rules[0] else first.by(rule, spec=spec)
        rows = s.scores(held, shuffled=True, seed=seed)
        scores = {
            name: cast("pd.DataFrame", rows.loc[which])
            for name, which in (("before", "before"), ("supervised", "after"))
        }
        scores["unsupervised"] = _scores_of(plain["unsupervised"], s, held, seed)
        published = (
            plain["published"] if rule == rules[0] else s.by(rule, spec=Separation.published())
        )
        scores["published"] = _scores_of(published, s, held, seed)
        found["clusters"][rule] = {
            "scores": _records(scores),
            "decoding keeps": s.invertibility(held).to_dict(),
            "draws keep": {n: _draws_keep(s, n, seed) for n in s.names},
            "interpolation": interpolations(s, held, seed),
            "augmented": augmented(s, seed),
        }
    found["moves"] = {
        f"toward {s.names[-1]}": moves_by_rule(s, held, edits),
        "toward the other single_phase": moves_by_target(
            first.by("single_phase", spec=spec), held, edits
        ),
    }
    return found


def exactness(s: SeparableLatent) -> dict[str, float]:
    """Largest error of the round trip, and of the log determinant beside autograd's."""
    w = s.trained.w
    back = s.w(s.u(w))
    some = w[:20].clone()
    flow = s.model.flow(some[None, :, :0])
    said = flow.log_abs_det_jacobian(some[None], flow(some[None]))[0]
    jacobian = torch.autograd.functional.jacobian(s.model.encode, some)
    rows = torch.arange(len(some))
    true = torch.linalg.slogdet(jacobian[rows, :, rows]).logabsdet
    return {
        "round trip": float((back - w).abs().max()),
        "log determinant": float((said - true).abs().max()),
    }


def _scores_of(
    other: SeparableLatent, s: SeparableLatent, held: AlloyDataset, seed: int
) -> pd.DataFrame:
    """Scores of the clusters of one after the T of another."""
    mixed = replace(other, clusters=s.clusters, codes=s.codes)
    scores = mixed.scores(held, shuffled=False, seed=seed)
    return cast("pd.DataFrame", scores.loc["after"])


def _records(scores: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    table = pd.concat(scores, names=["latent"]).reset_index()
    return [
        {str(k): (float(v) if isinstance(v, float) else v) for k, v in row.items() if v == v}
        for row in table.to_dict("records")
    ]


def _draws_keep(s: SeparableLatent, name: str, seed: int) -> float:
    made = s.draw(name, _DRAWS, seed=seed)
    return float((s.clusters_of(made.to_numpy(float)) == s.clusters.position(name)).mean())


def interpolations(s: SeparableLatent, held: AlloyDataset, seed: int) -> dict[str, Any]:
    """Of pairs of held-out alloys: what is kept, and the smoothness beside the plain latent's."""
    alloys, _ = s.held_out(held)
    pairs = np.random.default_rng(seed).integers(len(alloys), size=(_PAIRS, 2))
    ends = alloys.take(pairs[:, 0]), alloys.take(pairs[:, 1])
    after, before = s.walk(*ends, _STEPS), s.walk(*ends, _STEPS, plain=True)
    return {
        "keeps": float(np.nanmean(after.keeps)),
        "keeps, plain latent": float(np.nanmean(before.keeps)),
        "smoothness": bootstrap_interval(after.smoothness),
        "smoothness, plain latent": bootstrap_interval(before.smoothness),
        "difference of smoothness": paired_difference(after.smoothness, before.smoothness),
    }


def augmented(s: SeparableLatent, seed: int) -> dict[str, float]:
    """New alloys of each cluster: in it before any is left out, and how far from known alloys.

    A cluster of which none is made counts as 0.
    """
    kept, novelty, number = [], [], 0
    for name in s.names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            try:
                made = s.augment(name, _AUGMENTED, seed=seed)
            except ConstraintError:
                kept.append(0.0)
                continue
        kept.append(made.attributes["kept_cluster"])
        novelty.append(float(made.table["novelty"].min()))
        number += len(made)
    return {
        "in their cluster": float(min(kept)),
        "smallest novelty": float(min(novelty, default=np.nan)),
        "alloys": number,
    }


def _moved(s: SeparableLatent, formula: str, toward: str) -> DesignResult | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        try:
            return s.move(formula, toward)
        except (ConstraintError, DataError):
            return None


def _ends(result: DesignResult) -> dict[str, pd.Series]:
    """The start of a move, the alloy as it was decoded, and that from which parts were undone."""
    alloys = result.trail[[str(e) for e in result.fractions.columns]]
    decoded = alloys[~result.trail["trimmed"]].iloc[-1]
    return {"start": alloys.iloc[0], "as decoded": decoded, "trimmed": alloys.iloc[-1]}


_HOW = ("as decoded", "trimmed")


def moves_by_rule(s: SeparableLatent, held: AlloyDataset, edits: int) -> dict[str, Any]:
    """Alloys without an element moved to where it is held, and what else moves (at.%)."""
    toward = s.names[1]
    element = toward.removeprefix("holds ")
    without = held.fractions.index[s.clusters.of(held) == 0][:edits]
    results = [_moved(s, formula, toward) for formula in without]
    ways = [None if result is None else _ends(result) for result in results]
    found: dict[str, Any] = {}
    for how in _HOW:
        each = [(0.0, np.nan, np.nan) if w is None else _moves(w, how, element) for w in ways]
        added, moved, others = np.array(each).T
        found[how] = {
            "alloys": len(without),
            "adds it": float(np.mean(added > 0)),
            "moves less than 10 at.% of anything else": float(np.mean(others < 10)),
            "both": float(np.mean((added > 0) & (others < 10))),
            "added, median (at.%)": float(np.median(added)),
            "moved, median (at.%)": float(np.nanmedian(moved)),
            "others moved, median (at.%)": float(np.nanmedian(others)),
        }
    return found


def _moves(way: Mapping[str, pd.Series], how: str, element: str) -> tuple[float, float, float]:
    """At.% of an element that are added, of all that move, and of the others among themselves."""
    change = 100 * (way[how] - way["start"])
    rest = [alloy.drop(element) for alloy in (way["start"], way[how])]
    first, last = (alloy / alloy.sum() for alloy in rest)
    return (
        float(change[element]),
        float(change.abs().sum() / 2),
        float(50 * (last - first).abs().sum()),
    )


def moves_by_target(s: SeparableLatent, held: AlloyDataset, edits: int) -> dict[str, Any]:
    """Alloys moved to the other class of `single_phase`, as the judge sees them."""
    judge = embedded_judge()
    table = held.fractions.iloc[:edits]
    before = judge.predict(table) > 0.5
    predicted = s.clusters_of(s.ensemble.fractions(table).to_numpy(float))
    results = [
        _moved(s, formula, s.names[1 - code])
        for formula, code in zip(table.index, predicted, strict=True)
    ]
    made = [i for i, result in enumerate(results) if result is not None]
    ways = [_ends(result) for result in results if result is not None]
    met = [result.attributes["met"] for result in results if result is not None]
    found: dict[str, Any] = {}
    for how in _HOW:
        after = pd.DataFrame([way[how] for way in ways]).reset_index(drop=True)
        changed = (judge.predict(after) > 0.5) != before[made]
        moved = [50 * float((way[how] - way["start"]).abs().sum()) for way in ways]
        found[how] = {
            "alloys": len(table),
            "reached by the model": sum(met) / len(table),
            "changes the judge's answer": float(changed.sum() / len(table)),
            "moved, median (at.%)": float(np.median(moved)),
        }
    return found
