"""What is measured of a model of crystals, on chemical systems that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

from pyro_hea.errors import StructureError
from pyro_hea.evaluate.measures.intervals import paired_difference
from pyro_hea.materials.crystals import CrystalDataset, WyckoffStructure, element_table
from pyro_hea.materials.crystals.checks import compare_to_known, is_neutral, shortest_distance
from pyro_hea.posterior.crystal_decoding import SHORTEST, decode_crystals, draw_crystals
from pyro_hea.posterior.crystal_ensemble import dataset_of_crystals
from pyro_hea.posterior.marginals import marginals
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.crystal_vae import CrystalVAE
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble

WISHES: Mapping[str, Mapping[str, Any]] = {
    "A": {"acoustic_debye_temperature": ("<", 60), "gap": (0.5, 1.5)},
    "B": {"acoustic_debye_temperature": (">", 300), "gap": (">", 4)},
    "C": {"acoustic_debye_temperature": (100, 130), "gap": (2, 3)},
}
"""The wishes of the protocol, in K and eV."""

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

SMACT = find_spec("smact") is not None
"""Whether neutrality can be checked, with the extra `crystals`."""

TREES = 100
_PENALTY = 0.01
"""Of the lasso, for standardised factors."""

_OFTEN = 4
"""Training crystals of a prototype that counts as a class."""


def features_of(data: CrystalDataset, structure: bool = True) -> NDArray[np.float64]:
    """What trees read: features of the composition, and of the structure and both."""
    names = ("composition", "structure", "both") if structure else ("composition",)
    return np.hstack([data.features[name].to_numpy(float) for name in names])


def unbounded(target: Continuous, values: Any) -> NDArray[np.float64]:
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
    for target in vae.spec.targets:
        if not isinstance(target, Continuous):
            continue
        name = target.name
        here, there = of_labels(vae, test, name), of_labels(vae, train, name)
        quantiles = answers[name].quantiles([low, 0.5, high]).double().numpy()[:, here]
        y = unbounded(target, test.targets[name][here])
        predicted = unbounded(target, quantiles.T)
        past = unbounded(target, train.targets[name][there])
        row: dict[str, Any] = {"n": int(here.sum()), **scores(y, predicted[:, 1])}
        row["coverage"] = float(((y >= predicted[:, 0]) & (y <= predicted[:, 2])).mean())
        for label, structure in (("trees", True), ("trees, composition", False)):
            trees = ExtraTreesRegressor(TREES, max_features=0.4, random_state=seed)
            trees.fit(features_of(train, structure)[there], past)
            theirs = trees.predict(features_of(test, structure)[here])
            row |= {f"{label} {key}": value for key, value in scores(y, theirs).items()}
            if structure:
                errors = np.abs(y - theirs), np.abs(y - predicted[:, 1])
                row["less than trees"] = paired_difference(*errors)
        found[name] = row
    return found


def scores(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """R² and mean absolute error."""
    left = float(np.square(y - predicted).mean() / y.var())
    return {"R2": 1 - left, "MAE": float(np.abs(y - predicted).mean())}


def with_known_prototype(
    ensemble: CrystalEnsemble, data: CrystalDataset, most: int, seed: int, often: int = 1
) -> CrystalDataset:
    """Some crystals whose prototype so many training crystals have."""
    members = {p.label: p.members for p in ensemble.vocabulary.prototypes}
    rows = np.flatnonzero([members.get(p, 0) >= often for p in data.info["prototype"]])
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return data.take(rows)


def matched(first: WyckoffStructure, second: WyckoffStructure) -> bool:
    """Whether two crystals are the same by pymatgen's matcher with its default tolerances."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if first.formula != second.formula:
        return False
    try:
        return bool(StructureMatcher().fit(first.structure(), second.structure()))
    except StructureError:
        return False


def reconstruction(vae: CrystalVAE, some: CrystalDataset) -> dict[str, float]:
    """Share of crystals whose prototype, formula and structure are decoded from their latents."""
    ensemble = vae.ensemble
    inputs = ensemble.inputs(some)
    decoded = decode_crystals(ensemble, *ensemble.encode(inputs), inputs)
    template = templates(ensemble, some)
    with_formula = _with_true_elements(ensemble, some)
    return {
        **shares(decoded, some.crystals),
        "match, elements given": _share(with_formula, some.crystals),
        "template match": _share(template, some.crystals),
    }


def _share(made: Sequence[WyckoffStructure], true: Sequence[WyckoffStructure]) -> float:
    return float(np.mean([matched(a, b) for a, b in zip(made, true, strict=True)]))


def _with_true_elements(ensemble: CrystalEnsemble, some: CrystalDataset) -> list[WyckoffStructure]:
    """Decoded from z_structure, with the true elements in place of those decoded."""
    inputs = ensemble.inputs(some)
    z_c, z_s = ensemble.encode(inputs)
    s, model = inputs.formula_type, ensemble.model
    with torch.no_grad():
        prototype = model.prototype_likelihood(z_s, s).probs.mean(0).argmax(-1)
        code = model.code(z_c, ensemble.most_probable(inputs), s)
        ways = model.assignment_likelihood(code, z_s, prototype).probs.mean(0).argmax(-1)
    return ensemble.crystals(inputs.elements, s, prototype, ways, z_s)


def templates(ensemble: CrystalEnsemble, some: CrystalDataset) -> list[WyckoffStructure]:
    """The training crystal of the same prototype with the nearest composition, its elements put in.

    Of its elements each gives way to that of the same role.
    """
    known, made = ensemble.known, []
    inputs, theirs = ensemble.inputs(some), ensemble.inputs(known)
    label = known.info["prototype"].to_numpy()
    features = known.features["composition"]
    centre, spread = features.mean(), features.std() + 1e-9
    space = ((features - centre) / spread).to_numpy()
    at = ((some.features["composition"] - centre) / spread).to_numpy()
    for row, crystal in enumerate(some.crystals):
        rows = np.flatnonzero(label == crystal.prototype)
        nearest = int(rows[np.abs(space[rows] - at[row]).sum(1).argmin()])
        prototype = ensemble.vocabulary.prototypes[int(theirs.prototype[nearest])]
        names = [ensemble.vocabulary.elements[e] for e in inputs.elements[row].tolist()]
        made.append(
            prototype.crystal(
                names[: len(prototype.kinds)],
                int(theirs.assignment[nearest]),
                float(theirs.log_volume[nearest]),
                theirs.shape[nearest].tolist(),
                theirs.coordinates[nearest, : prototype.free].tolist(),
            )
        )
    return made


def structure_of_composition(
    vae: CrystalVAE, train: CrystalDataset, some: CrystalDataset, seed: int, matching: int
) -> dict[str, float]:
    """Top 1 and top 5 of prototypes and of matches by the composition alone, beside trees."""
    ensemble = vae.ensemble
    inputs = ensemble.inputs_of_formulas([c.counts for c in some.crystals])
    options = list(ensemble.options(inputs, 12))
    ranked = [list(dict.fromkeys(o.prototype for o in several)) for several in options]
    true = some.info["prototype"].tolist()
    counts = train.info["prototype"].value_counts()
    rows = train.info["prototype"].map(counts).to_numpy() >= _OFTEN
    trees = ExtraTreesClassifier(100, min_samples_leaf=1, max_features=0.3, random_state=seed)
    trees.fit(features_of(train, False)[rows], train.info["prototype"].to_numpy()[rows])
    chance = trees.predict_proba(features_of(some, False))
    by_trees = trees.classes_[np.argsort(-chance, 1)[:, :5]]
    some_rows = range(min(matching, len(some)))
    hits = [[matched(o.crystal, some.crystals[i]) for o in options[i][:5]] for i in some_rows]
    return {
        "n": len(some),
        "top-1": float(np.mean([r[0] == t for r, t in zip(ranked, true, strict=True)])),
        "top-5": float(np.mean([t in r[:5] for r, t in zip(ranked, true, strict=True)])),
        "trees top-1": float(np.mean(by_trees[:, 0] == true)),
        "trees top-5": float(np.mean([t in r for r, t in zip(by_trees, true, strict=True)])),
        "matched": len(hits),
        "match top-1": float(np.mean([h[0] for h in hits])),
        "match top-5": float(np.mean([any(h) for h in hits])),
    }


def polymorph_pairs(
    ensemble: CrystalEnsemble, test: CrystalDataset, most: int, seed: int
) -> tuple[CrystalDataset, NDArray[np.intp]]:
    """Crystals with a polymorph, both of known prototypes, and the rows of each pair, (n, 2)."""
    known = ensemble.vocabulary.prototype_index
    prototype = test.info["prototype"]
    pairs = test.polymorphs
    fits = [
        prototype.iloc[a] in known and prototype.iloc[b] in known
        for a, b in zip(pairs["first"], pairs["second"], strict=True)
    ]
    pairs = pairs[np.array(fits, bool)]
    if len(pairs) > most:
        pairs = pairs.sample(most, random_state=seed)
    rows, place = np.unique(pairs[["first", "second"]].to_numpy(), return_inverse=True)
    return test.take(rows), place.reshape(-1, 2)


def swaps(vae: CrystalVAE, test: CrystalDataset, most: int, seed: int) -> dict[str, float]:
    """z_composition of a held-out crystal with z_structure of its polymorph, decoded."""
    ensemble = vae.ensemble
    some, pairs = polymorph_pairs(ensemble, test, most, seed)
    every = ensemble.inputs(some)
    first, second = (every.take(torch.tensor(pairs[:, k])) for k in (0, 1))
    made = decode_crystals(ensemble, ensemble.encode(first)[0], ensemble.encode(second)[1], first)
    return shares(made, [some.crystals[i] for i in pairs[:, 1]])


def shares(
    made: Sequence[WyckoffStructure], wanted: Sequence[WyckoffStructure]
) -> dict[str, float]:
    """Share of the crystals that have prototype and formula of those wanted, and that match."""
    pairs = list(zip(made, wanted, strict=True))
    return {
        "n": len(pairs),
        "prototype": float(np.mean([a.prototype == b.prototype for a, b in pairs])),
        "formula": float(np.mean([a.formula == b.formula for a, b in pairs])),
        "match": float(np.mean([matched(a, b) for a, b in pairs])),
    }


def leaks(
    vae: CrystalVAE, train: CrystalDataset, test: CrystalDataset, seed: int
) -> dict[str, float]:
    """What latents say of the targets, z_composition of the prototype, and each half of factors.

    Latents of one member, encoded without labels; trees are fitted on those of training crystals.
    """
    ensemble = vae.ensemble.of_member(0)

    def latents(data: CrystalDataset) -> list[NDArray[np.float64]]:
        z = ensemble.encode(ensemble.inputs(data, labels=False))
        return [one[0].double().numpy() for one in z]

    (c, s), (c_new, s_new) = latents(train), latents(test)
    found: dict[str, float] = {}
    for target in vae.spec.targets:
        if not isinstance(target, Continuous):
            continue
        here, there = of_labels(vae, test, target.name), of_labels(vae, train, target.name)
        y = unbounded(target, test.targets[target.name][here])
        past = unbounded(target, train.targets[target.name][there])
        for label, x, new in (
            ("z_composition", c, c_new),
            ("both latents", np.hstack([c, s]), np.hstack([c_new, s_new])),
        ):
            trees = ExtraTreesRegressor(
                TREES, min_samples_leaf=3, max_features=0.4, random_state=seed
            )
            trees.fit(x[there], past)
            found[f"R2 of {target.name} from {label}"] = scores(y, trees.predict(new[here]))["R2"]
    counts = train.info["prototype"].value_counts()
    often = counts[counts >= _OFTEN].index
    rows, asked = (data.info["prototype"].isin(often).to_numpy() for data in (train, test))
    past, true = train.info["prototype"].to_numpy()[rows], test.info["prototype"][asked]
    for name, x, new in (
        ("z_composition", c, c_new),
        ("composition features", features_of(train, False), features_of(test, False)),
    ):
        classes = ExtraTreesClassifier(TREES, max_features=0.3, random_state=seed)
        told = classes.fit(x[rows], past).predict(new[asked])
        found[f"prototype from {name}"] = float(np.mean(told == true))
    return found | _in_own_block((c, s), train, (c_new, s_new), test, seed)


def _in_own_block(
    latents: tuple[NDArray[np.float64], ...],
    train: CrystalDataset,
    new: tuple[NDArray[np.float64], ...],
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
                told = scores((y - centre) / spread, fitted.predict(x_new))["R2"]
                importance = getattr(fitted, "feature_importances_", None)
                importance = np.abs(fitted.coef_) if importance is None else importance
                share = np.split(importance, [latents[0].shape[1]])[block].sum() / importance.sum()
                found[f"own half, {factor}, {label}"] = float(share)
                found[f"R2 of {factor}, {label}"] = told
                weights.append(max(told, 0.0))
                shares.append(share)
        found[f"own half, {label}"] = float(np.average(shares, weights=weights))
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
    trees = ExtraTreesRegressor(TREES, max_features=0.4, random_state=seed)
    trees.fit(features_of(train)[there], np.log10(train.targets[name][there]))
    of_trees = pd.Series(trees.predict(features_of(test.take(rows))), rows)
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    larger = y.to_numpy()[first] > y.to_numpy()[second]
    return {
        "n": len(pairs),
        "share": float(
            np.mean((predicted[first].to_numpy() > predicted[second].to_numpy()) == larger)
        ),
        "trees": float(
            np.mean((of_trees[first].to_numpy() > of_trees[second].to_numpy()) == larger)
        ),
    }


def drawn(vae: CrystalVAE, n: int, seed: int) -> dict[str, float]:
    """What crystals drawn from the model are worth."""
    first = draw_crystals(vae.ensemble, n, seed, shortest=0.0)
    made = draw_crystals(vae.ensemble, n, seed)
    kept = []
    for crystal in made:
        try:
            again = WyckoffStructure.from_structure(crystal.structure())
            kept.append(again.number == crystal.number)
        except StructureError:
            kept.append(False)
    ratio = np.array([shortest_distance(crystal)[1] for crystal in made])
    compared = compare_to_known(made, vae.ensemble.known)
    return {
        "n": n,
        "space group kept": float(np.mean(kept)),
        "no short distance": float((ratio >= SHORTEST).mean()),
        "no short distance, nothing drawn anew": float(
            np.mean([shortest_distance(crystal)[1] >= SHORTEST for crystal in first])
        ),
        **({"neutral": float(np.mean([is_neutral(c.counts) for c in made]))} if SMACT else {}),
        "unique": len({(c.formula, c.prototype) for c in made}) / n,
        "new": float(compared["new"].mean()),
    }


def judge(data: CrystalDataset, vae: CrystalVAE, seed: int) -> dict[str, Any]:
    """Trees for each quantity of the wishes, fitted on crystals that the model never met."""
    fitted = {}
    for name in ("acoustic_debye_temperature", "gap"):
        here = of_labels(vae, data, name)
        trees = ExtraTreesRegressor(TREES, max_features=0.4, random_state=seed)
        fitted[name] = trees.fit(features_of(data)[here], data.targets[name][here])
    here = data.targets["metal"].notna().to_numpy()
    metal = ExtraTreesClassifier(TREES, max_features=0.4, random_state=seed)
    fitted["metal"] = metal.fit(features_of(data)[here], data.targets["metal"][here] > 0.5)
    return fitted


def judged(
    trees: Mapping[str, Any], crystals: Sequence[WyckoffStructure], wish: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Which crystals fulfil a wish, as trees predict them."""
    x = features_of(dataset_of_crystals(crystals))
    held = trees["metal"].predict_proba(x)[:, 1] < 0.5
    for name, bounds in wish.items():
        low, high = {"<": (-np.inf, bounds[1]), ">": (bounds[1], np.inf)}.get(bounds[0], bounds)
        value = trees[name].predict(x)
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
    vae: CrystalVAE, trees: Mapping[str, Any], train: CrystalDataset, n: int, seed: int
) -> dict[str, dict[str, float]]:
    """Designs of each wish as disjoint trees judge them, beside random substitutions."""
    random = substituted(train, 4 * n, seed)
    found = {}
    for label, wish in WISHES.items():
        made = vae.design(wish, n=n, seed=seed)
        held = judged(trees, made.crystals, wish)
        found[label] = {
            "n": len(made),
            "judged": float(held.mean()),
            "predicted": float(made.table["all_wishes"].mean()),
            "new": float(made.table["new"].mean()),
            "random substitution": float(judged(trees, random, wish).mean()),
        }
    return found


def agreement(
    vae: CrystalVAE, trees: Mapping[str, Any], n: int, seed: int
) -> dict[str, list[float]]:
    """What the model predicts of its designs for each wish, and what the judge says, one by one."""
    predicted: list[float] = []
    held: list[float] = []
    for wish in WISHES.values():
        made = vae.design(wish, n=n, seed=seed + 1)
        predicted += made.table["all_wishes"].tolist()
        held += judged(trees, made.crystals, wish).astype(float).tolist()
    return {"predicted": predicted, "judged": held}
