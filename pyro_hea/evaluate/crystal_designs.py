"""Crystals designed for wishes, as trees that the model never met judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from pyro_hea.evaluate.crystal_targets import TREES, features_of, of_labels, trees
from pyro_hea.materials.crystals import CrystalDataset, WyckoffStructure, element_table
from pyro_hea.posterior import Event, joint_probability
from pyro_hea.posterior.crystal_ensemble import dataset_of_crystals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.crystal_vae import CrystalVAE

WISHES: Mapping[str, Mapping[str, Any]] = {
    "A": {"acoustic_debye_temperature": ("<", 60), "gap": (0.5, 1.5)},
    "B": {"acoustic_debye_temperature": (">", 300), "gap": (">", 4)},
    "C": {"acoustic_debye_temperature": (100, 130), "gap": (2, 3)},
}
"""The wishes of the protocol, in K and eV."""


def limits(bounds: tuple[Any, Any]) -> tuple[float, float]:
    """The least and the largest value that a wish allows."""
    return {"<": (-np.inf, bounds[1]), ">": (bounds[1], np.inf)}.get(bounds[0], bounds)


def fulfilled(data: CrystalDataset, wish: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which crystals fulfil a wish by their labels."""
    held = np.ones(len(data), bool)
    for name, bounds in wish.items():
        held &= data.targets[name].between(*limits(bounds)).to_numpy()
    return held


def judge(data: CrystalDataset, vae: CrystalVAE, seed: int) -> dict[str, Any]:
    """Trees for each quantity of the wishes, fitted on crystals that the model never met."""
    fitted: dict[str, Any] = {}
    for name in ("acoustic_debye_temperature", "gap"):
        here = of_labels(vae, data, name)
        fitted[name] = trees(features_of(data)[here], data.targets[name][here], seed)
    here = data.targets["metal"].notna().to_numpy()
    metal = ExtraTreesClassifier(TREES, max_features=0.4, random_state=seed)
    fitted["metal"] = metal.fit(features_of(data)[here], data.targets["metal"][here] > 0.5)
    return fitted


def judged(
    by: Mapping[str, Any], crystals: Sequence[WyckoffStructure], wish: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Which crystals fulfil a wish, as trees predict them."""
    x = features_of(dataset_of_crystals(crystals))
    held = by["metal"].predict_proba(x)[:, 1] < 0.5
    for name, bounds in wish.items():
        low, high = limits(bounds)
        value = by[name].predict(x)
        held &= (value >= low) & (value <= high)
    return np.asarray(held)


def substituted(data: CrystalDataset, n: int, seed: int) -> list[WyckoffStructure]:
    """Crystals with one element exchanged at random for another of the same group."""
    from pymatgen.core import Element

    rng = np.random.default_rng(seed)
    group = {e: Element(e).group for e in element_table().index}
    made: list[WyckoffStructure] = []
    while len(made) < n:
        crystal = data.crystals[int(rng.integers(len(data)))]
        old = str(rng.choice(list(crystal.counts)))
        others = [e for e in group if group[e] == group[old] and e not in crystal.counts]
        if not others:
            continue
        new = str(rng.choice(others))
        text = ";".join(
            f"{new if o.element == old else o.element}:{o.letter}:{','.join(map(str, o.point))}"
            for o in crystal.orbits
        )
        number, lattice, _ = crystal.text.split(" | ")
        made.append(WyckoffStructure.from_text(f"{number} | {lattice} | {text}"))
    return made


def designs(
    vae: CrystalVAE, by: Mapping[str, Any], train: CrystalDataset, n: int, seed: int
) -> dict[str, dict[str, float]]:
    """Designs of each wish as disjoint trees judge them.

    Beside them random substitutions, and training crystals that fulfil the wish by their labels: of
    these, too, the trees say so of a part alone.
    """
    random = substituted(train, 4 * n, seed)
    found = {}
    for label, wish in WISHES.items():
        made = vae.design(wish, n=n, seed=seed)
        held = judged(by, made.crystals, wish)
        known = train.take(fulfilled(train, wish))
        found[label] = {
            "n": len(made),
            "judged": float(held.mean()),
            "predicted": float(made.table["all_wishes"].mean()),
            "new": float(made.table["new"].mean()),
            "random substitution": float(judged(by, random, wish).mean()),
            "known to fulfil it": float(judged(by, known.crystals, wish).mean()),
        }
    return found


def wishes_of_known(vae: CrystalVAE, data: CrystalDataset) -> dict[str, float]:
    """How probable the model says that known crystals fulfil the wishes, and how many of them do.

    Of all wishes together; `likely` are pairs of a crystal and a wish with a probability above one
    half.
    """
    predicted, held = [], []
    for wish in WISHES.values():
        events: dict[str, Event] = {"metal": (0.0,)}
        events |= {name: limits(bounds) for name, bounds in wish.items()}
        some = data.take(data.targets[list(events)].notna().all(axis=1).to_numpy())
        ensemble = vae.ensemble
        joint = joint_probability(ensemble.model, ensemble.inputs(some, labels=False), events)
        predicted += joint.mean(0).tolist()
        held += fulfilled(some, wish).tolist()
    p, y = np.array(predicted), np.array(held)
    likely = p > 0.5
    return {
        "n": len(y),
        "mean probability": float(p.mean()),
        "fulfilled": float(y.mean()),
        "AUC": float(roc_auc_score(y, p)),
        "likely": int(likely.sum()),
        "mean probability of likely ones": float(p[likely].mean()),
        "fulfilled by likely ones": float(y[likely].mean()),
    }


def agreement(vae: CrystalVAE, by: Mapping[str, Any], n: int, seed: int) -> dict[str, list[float]]:
    """What the model predicts of its designs for each wish, and what the judge says, one by one."""
    predicted: list[float] = []
    held: list[float] = []
    for wish in WISHES.values():
        made = vae.design(wish, n=n, seed=seed + 1)
        predicted += made.table["all_wishes"].tolist()
        held += judged(by, made.crystals, wish).astype(float).tolist()
    return {"predicted": predicted, "judged": held}
