"""Numbers that a model of crystals predicts, and what its latents say, beside trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

from pyro_hea.evaluate.measures.intervals import paired_difference
from pyro_hea.posterior.marginals import marginals
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pyro_hea.crystal_vae import CrystalVAE
    from pyro_hea.materials.crystals import CrystalDataset

    Floats = NDArray[np.float64]

FACTORS: Mapping[str, tuple[str, ...]] = {
    "composition": (
        "electronegativity_mean",
        "covalent_radius_mean",
        "atomic_mass_mean",
        "electronegativity_range",
    ),
    "structure": ("point_group_order", "log_c_over_a", "coordination_mean", "atoms"),
}
"""Factors that belong to z_composition and to z_structure, by the features that tell them."""

LEVEL = 0.94

TREES = 100
_PENALTY = 0.01
"""Of the lasso, for standardised factors."""

OFTEN = 4
"""Training crystals of a prototype that counts as a class."""


def features_of(data: CrystalDataset, structure: bool = True) -> Floats:
    """What trees read: features of the composition, and of the structure and both."""
    names = ("composition", "structure", "both") if structure else ("composition",)
    return np.hstack([data.features[name].to_numpy(float) for name in names])


def unbounded(target: Continuous, values: Any) -> Floats:
    """Values of a number on the scale of its errors: log10 where its scale is logarithmic."""
    values = np.asarray(values, float)
    return np.log10(values) if target.transform == "log" else values


def of_labels(vae: CrystalVAE, data: CrystalDataset, name: str) -> NDArray[np.bool_]:
    """Rows with a label that means something; see `CrystalSpec.undefined_if`."""
    known = data.targets[name].notna()
    other = vae.spec.undefined_if.get(name)
    if other is not None:
        known &= ~(data.targets[other] > 0.5)
    return known.to_numpy()


def trees(x: ArrayLike, y: ArrayLike, seed: int, **settings: Any) -> ExtraTreesRegressor:
    """Trees fitted on a number."""
    fitted = ExtraTreesRegressor(TREES, max_features=0.4, random_state=seed, **settings)
    return fitted.fit(x, y)


class Number(NamedTuple):
    """Labels of one number: rows of the training crystals and their values, the same of others."""

    target: Continuous
    rows: NDArray[np.bool_]
    values: Floats
    held_out_rows: NDArray[np.bool_]
    held_out_values: Floats


def numbers(vae: CrystalVAE, train: CrystalDataset, test: CrystalDataset) -> Iterator[Number]:
    """Each number that a model predicts, on the scale of its errors."""
    for target in vae.spec.targets:
        if isinstance(target, Continuous):
            parts: list[Any] = []
            for data in (train, test):
                rows = of_labels(vae, data, target.name)
                parts += [rows, unbounded(target, data.targets[target.name][rows])]
            yield Number(target, *parts)


def scores(y: Floats, predicted: Floats) -> dict[str, float]:
    """R² and mean absolute error."""
    left = float(np.square(y - predicted).mean() / y.var())
    return {"R2": 1 - left, "MAE": float(np.abs(y - predicted).mean())}


def predictions(
    vae: CrystalVAE, train: CrystalDataset, test: CrystalDataset, seed: int
) -> dict[str, dict[str, Any]]:
    """R², MAE (log10 where the target's scale is logarithmic) and coverage, beside trees.

    `less than trees` is by how much the MAE is less, with a 95 % interval of a bootstrap over the
    held-out crystals.
    """
    ensemble = vae.ensemble
    inputs = ensemble.inputs(test, labels=False)
    answers = marginals(ensemble.model, inputs)
    low, high = (1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2
    found: dict[str, dict[str, Any]] = {}
    for target, there, past, here, y in numbers(vae, train, test):
        quantiles = answers[target.name].quantiles([low, 0.5, high]).double().numpy()[:, here]
        predicted = unbounded(target, quantiles.T)
        row: dict[str, Any] = {"n": int(here.sum()), **scores(y, predicted[:, 1])}
        row["coverage"] = float(((y >= predicted[:, 0]) & (y <= predicted[:, 2])).mean())
        for label, structure in (("trees", True), ("trees, composition", False)):
            fitted = trees(features_of(train, structure)[there], past, seed)
            theirs = fitted.predict(features_of(test, structure)[here])
            row |= {f"{label} {key}": value for key, value in scores(y, theirs).items()}
            if structure:
                errors = np.abs(y - theirs), np.abs(y - predicted[:, 1])
                row["less than trees"] = paired_difference(*errors)
        found[target.name] = row
    return found


def polymorph_ranking(
    vae: CrystalVAE, train: CrystalDataset, test: CrystalDataset, name: str, most: int, seed: int
) -> dict[str, float]:
    """How often the polymorph with the larger value is predicted to have it."""
    y = test.targets[name]
    pairs = test.polymorphs
    known = y.notna().to_numpy()[pairs["first"]] & y.notna().to_numpy()[pairs["second"]]
    pairs = pairs[known].drop_duplicates("formula")
    if len(pairs) > most:
        pairs = pairs.sample(most, random_state=seed)
    rows = np.unique(pairs[["first", "second"]].to_numpy())
    predicted = pd.Series(vae.predict(test.take(rows))[name].to_numpy(), rows)
    there = train.targets[name].notna().to_numpy()
    fitted = trees(features_of(train)[there], np.log10(train.targets[name][there]), seed)
    of_trees = pd.Series(fitted.predict(features_of(test.take(rows))), rows)
    first, second = pairs["first"], pairs["second"]
    larger = y.to_numpy()[first] > y.to_numpy()[second]

    def agreement(values: pd.Series[float]) -> float:
        return float(np.mean((values[first].to_numpy() > values[second].to_numpy()) == larger))

    return {
        "n": len(pairs),
        "share": agreement(predicted),
        "trees": agreement(of_trees),
    }


def leaks(
    vae: CrystalVAE, train: CrystalDataset, test: CrystalDataset, seed: int
) -> dict[str, float]:
    """What latents say of the targets, z_composition of the prototype, and each half of factors.

    Latents of one member, encoded without labels; trees are fitted on those of training crystals.
    """
    ensemble = vae.ensemble.of_member(0)

    def latents(data: CrystalDataset) -> list[Floats]:
        z = ensemble.encode(ensemble.inputs(data, labels=False))
        return [one[0].double().numpy() for one in z]

    (c, s), (c_new, s_new) = latents(train), latents(test)
    found: dict[str, float] = {}
    for target, there, past, here, y in numbers(vae, train, test):
        for label, x, new in (
            ("z_composition", c, c_new),
            ("both latents", np.hstack([c, s]), np.hstack([c_new, s_new])),
        ):
            predicted = trees(x[there], past, seed, min_samples_leaf=3).predict(new[here])
            found[f"R2 of {target.name} from {label}"] = scores(y, predicted)["R2"]
    counts = train.info["prototype"].value_counts()
    often = counts[counts >= OFTEN].index
    rows, asked = (data.info["prototype"].isin(often).to_numpy() for data in (train, test))
    of_train, true = train.info["prototype"].to_numpy()[rows], test.info["prototype"][asked]
    for name, x, new in (
        ("z_composition", c, c_new),
        ("composition features", features_of(train, False), features_of(test, False)),
    ):
        classes = ExtraTreesClassifier(TREES, max_features=0.3, random_state=seed)
        fitted = classes.fit(x[rows], of_train)
        found[f"prototype from {name}"] = float(np.mean(fitted.predict(new[asked]) == true))
    return found | _in_own_block((c, s), train, (c_new, s_new), test, seed)


def _in_own_block(
    latents: tuple[Floats, ...],
    train: CrystalDataset,
    new: tuple[Floats, ...],
    test: CrystalDataset,
    seed: int,
) -> dict[str, float]:
    """Share of the importance of latents for each factor that is in the half that it belongs to.

    Importances of trees and of a lasso from both latents, as in Eastwood and Williams (DCI, 2018),
    summed over the coordinates of each; their mean over factors is weighted with how well these are
    told (R²).
    """
    scaler = StandardScaler().fit(np.hstack(latents))
    x, x_new = (scaler.transform(np.hstack(z)) for z in (latents, new))
    found: dict[str, float] = {}
    for label, regressor in (
        ("trees", ExtraTreesRegressor(TREES, min_samples_leaf=3, max_features=0.4)),
        ("lasso", Lasso(_PENALTY)),
    ):
        weights, shares = [], []
        for block, (table, factors) in enumerate(FACTORS.items()):
            for factor in factors:
                past, y = (d.features[table][factor].to_numpy(float) for d in (train, test))
                centre, spread = past.mean(), past.std()
                fitted = regressor.set_params(random_state=seed).fit(x, (past - centre) / spread)
                r2 = scores((y - centre) / spread, fitted.predict(x_new))["R2"]
                importance = getattr(fitted, "feature_importances_", None)
                importance = np.abs(fitted.coef_) if importance is None else importance
                share = np.split(importance, [latents[0].shape[1]])[block].sum() / importance.sum()
                found[f"own half, {factor}, {label}"] = float(share)
                found[f"R2 of {factor}, {label}"] = r2
                weights.append(max(r2, 0.0))
                shares.append(share)
        found[f"own half, {label}"] = float(np.average(shares, weights=weights))
    return found
