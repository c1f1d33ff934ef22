"""The decoder of Wyckoff positions beside the table of prototypes, on held-out crystals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.evaluate.crystal_structures import SMACT, matched, with_known_prototype
from pyro_hea.inference.wyckoff_training import train_wyckoff
from pyro_hea.materials.crystals import (
    CrystalDataset,
    WyckoffStructure,
    is_neutral,
    shortest_distance,
)
from pyro_hea.materials.crystals.sequences import (
    Choices,
    prototype_of_sequence,
    sequence_of,
)
from pyro_hea.posterior.crystal_decoding import draw_crystals
from pyro_hea.posterior.new_prototypes import SHORTEST, crystals_of_sequences, is_prototype
from pyro_hea.program.crystals import CrystalModel

if TYPE_CHECKING:
    from pyro_hea.crystal_vae import CrystalVAE
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
    from pyro_hea.program.crystal_batch import CrystalInputs

_BEST = 5
"""Prototypes among which that of a crystal is looked for."""

_SEARCHED = 24
"""Sequences by which these are named; several may be of one prototype."""


def with_positions(vae: CrystalVAE, seed: int) -> CrystalEnsemble:
    """The same members with the decoder of Wyckoff positions, trained if there is none yet."""
    ensemble, old = vae.ensemble, vae.ensemble.model
    if old.wyckoff is not None:
        return ensemble
    spec = vae.spec.with_(structure__decoder={"kind": "wyckoff"})
    with seeded(seed):
        model = CrystalModel(spec, old.tables, old.statistics, old.members)
    model.load_state_dict(model.state_dict() | old.state_dict())
    model.population = old.population
    known = ensemble.inputs(ensemble.known)
    train_wyckoff(model, known, ensemble.vocabulary.prototypes, seed=seed)
    return replace(ensemble, model=model)


def wyckoff_positions(
    vae: CrystalVAE, test: CrystalDataset, most: int, seed: int
) -> dict[str, float]:
    """Prototypes of held-out crystals by their z_structure, and crystals that are drawn.

    Returns
    -------
    dict of str to float
        `known`: of crystals whose prototype a training crystal has; `new`: of others. Nats are
        those of the canonical sequence, an upper bound for the prototype.
    """
    ensemble = with_positions(vae, seed)
    known = with_known_prototype(ensemble, test, most, seed)
    table = ensemble.vocabulary.prototype_index
    rows = np.flatnonzero([label not in table for label in test.info["prototype"]])
    new = test.take(rows)
    new = new.take(~ensemble.foreign(new) & (new.info["atoms"] <= ensemble.vocabulary.largest))
    if len(new) > most:
        new = new.take(np.sort(np.random.default_rng(seed).choice(len(new), most, replace=False)))
    return {
        **_of_known(ensemble, known),
        **_of_new(ensemble, new, most // 8, seed),
        **_drawn(ensemble, 5 * most // 4, seed),
    }


@torch.no_grad()
def _of_known(ensemble: CrystalEnsemble, some: CrystalDataset) -> dict[str, float]:
    model, inputs = ensemble.model, ensemble.inputs(some)
    z_s, s = model.structure_posterior(inputs).mean, inputs.formula_type
    chance = model.prototype_likelihood(z_s, s).probs.mean(0)
    prototypes = [ensemble.vocabulary.prototypes[k] for k in inputs.prototype.tolist()]
    nats = _nats(ensemble, z_s, s, [sequence_of(p) for p in prototypes])
    first = [next(iter(options)) for options in _named(ensemble, z_s, inputs)]
    true = np.array([p.label for p in prototypes])
    own = chance.gather(-1, inputs.prototype[:, None])[:, 0]
    return {
        "known, n": len(some),
        "known, nats by the table": float(-own.log().mean()),
        "known, nats by positions": float(nats.mean()),
        "known, first by the table": float((chance.argmax(-1) == inputs.prototype).float().mean()),
        "known, first by positions": float(np.mean(np.array(first) == true)),
    }


@torch.no_grad()
def _of_new(
    ensemble: CrystalEnsemble, some: CrystalDataset, matching: int, seed: int
) -> dict[str, float]:
    if not len(some):
        return {"new, n": 0}
    model, inputs = ensemble.model, ensemble.inputs(some)
    z_c, z_s = ensemble.encode(inputs)
    code = model.code(z_c, ensemble.most_probable(inputs), inputs.formula_type)
    true = some.info["prototype"].tolist()
    named = _named(ensemble, z_s, inputs)
    hits = []
    with seeded(seed):
        for row in range(0, len(named), -(-len(named) // matching)):
            one, hit = slice(row, row + 1), []
            for sequence in named[row].values():
                (crystal,) = crystals_of_sequences(
                    ensemble, inputs.elements[one], inputs.formula_type[one], [sequence],
                    code[:, one], z_s[:, one], SHORTEST,
                )  # fmt: skip
                hit.append(crystal is not None and matched(crystal, some.crystals[row]))
            hits.append(hit)
    orders = [list(options) for options in named]
    return {
        "new, n": len(some),
        "new, first": float(np.mean([o[0] == t for o, t in zip(orders, true, strict=True)])),
        "new, first five": float(np.mean([t in o for o, t in zip(orders, true, strict=True)])),
        "new, space group first": float(
            np.mean([_group(o[0]) == _group(t) for o, t in zip(orders, true, strict=True)])
        ),
        "new, matched, n": len(hits),
        "new, match of the first": float(np.mean([hit[0] for hit in hits])),
        "new, match of the first five": float(np.mean([any(hit) for hit in hits])),
    }


def _group(label: str) -> str:
    return label.split(":")[0]


def _named(
    ensemble: CrystalEnsemble, z_s: Tensor, inputs: CrystalInputs
) -> list[dict[str, Choices]]:
    """The most probable prototypes by label, best first."""
    found = []
    likelihood = ensemble.model.sequence_likelihood(z_s, inputs.formula_type)
    for several, kind in zip(likelihood.likeliest(_SEARCHED), likelihood.counts, strict=True):
        own: dict[str, Choices] = {}
        for sequence, _ in several:
            own.setdefault(prototype_of_sequence(sequence, kind).label, sequence)
        found.append(dict(list(own.items())[:_BEST]))
    return found


def _nats(ensemble: CrystalEnsemble, z_s: Tensor, s: Tensor, sequences: list[Choices]) -> Tensor:
    """Of sequences, the members averaged, (N,)."""
    likelihood = ensemble.model.sequence_likelihood(z_s, s)
    width = likelihood.event_shape[0]
    value = torch.tensor([[*q, *[-1] * (width - len(q))] for q in sequences])
    return math.log(ensemble.members) - likelihood.log_prob(value).logsumexp(0)


def _drawn(ensemble: CrystalEnsemble, n: int, seed: int) -> dict[str, float]:
    made: list[WyckoffStructure] = draw_crystals(ensemble, n, seed)
    new = [c for c in made if c.prototype not in ensemble.vocabulary.prototype_index]
    told = {
        "drawn, n": len(made),
        "drawn, new prototype": len(new) / len(made),
        "drawn, prototype kept": float(np.mean([is_prototype(c) for c in made])),
        "drawn, no short distance": float(
            np.mean([shortest_distance(c)[1] >= SHORTEST for c in made])
        ),
    }
    if SMACT:
        told["drawn, neutral"] = float(np.mean([is_neutral(c.counts) for c in made]))
    if SMACT and new:
        told["drawn, neutral of new prototypes"] = float(
            np.mean([is_neutral(c.counts) for c in new])
        )
    return told
