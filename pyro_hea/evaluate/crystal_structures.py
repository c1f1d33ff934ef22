"""Structures that a model of crystals decodes and draws, beside templates and trees."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier

from pyro_hea.errors import StructureError
from pyro_hea.evaluate.crystal_targets import OFTEN, features_of
from pyro_hea.materials.crystals import CrystalDataset, WyckoffStructure
from pyro_hea.materials.crystals.checks import compare_to_known, is_neutral, shortest_distance
from pyro_hea.posterior.crystal_decoding import decode_crystals, draw_crystals
from pyro_hea.posterior.new_prototypes import SHORTEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.crystal_vae import CrystalVAE
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble

SMACT = find_spec("smact") is not None
"""Whether neutrality can be checked, with the extra `crystals`."""


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
    rows = train.info["prototype"].map(counts).to_numpy() >= OFTEN
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
