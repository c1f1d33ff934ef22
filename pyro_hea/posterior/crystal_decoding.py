"""Crystals decoded from latents, and drawn from the model."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_hea.crystals import WyckoffStructure
from pyro_hea.devices import seeded
from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
from pyro_hea.program.crystal_batch import CrystalInputs
from pyro_hea.program.crystal_distributions import ElementsOnRoles


@torch.no_grad()
def decode_crystals(
    ensemble: CrystalEnsemble, z_c: Tensor, z_s: Tensor, given: CrystalInputs
) -> list[WyckoffStructure]:
    """The most probable crystals at latents (K, N, d), of given formula types and targets."""
    model, s = ensemble.model, given.formula_type
    y = ensemble.most_probable(given)
    likelihood = model.elements_likelihood(model.seen(z_c, y, s), s)
    elements = likeliest_elements(likelihood)
    prototype = model.prototype_likelihood(z_s, s).probs.mean(0).argmax(-1)
    ways = model.assignment_likelihood(model.code(z_c, y), z_s, prototype)
    return ensemble.crystals(elements, s, prototype, ways.probs.mean(0).argmax(-1), z_s)


def likeliest_elements(likelihood: ElementsOnRoles) -> Tensor:
    """Of what each member finds most probable, what all of them together do, (N, R)."""
    candidates = likelihood.likeliest
    chance = (likelihood.log_prob(candidates.unsqueeze(1)) / likelihood.count).logsumexp(1)
    best = chance.argmax(0)
    return candidates[best, torch.arange(len(best))]


def draw_crystals(ensemble: CrystalEnsemble, n: int, seed: int = 0) -> list[WyckoffStructure]:
    """Crystals drawn from the model: formula type, both latents, elements and prototype.

    Targets are drawn together, as a training crystal has them; what has no label is as the heads
    find it most probable. Of shapes, volumes and coordinates the centres are taken, of assignments
    the most probable one.
    """
    number = -(-n // ensemble.members)
    parts: list[WyckoffStructure] = []
    with seeded(seed), torch.no_grad():
        rows, place = torch.randint(len(ensemble.known), (number,)).unique(return_inverse=True)
        known = ensemble.inputs(ensemble.known.take(rows.numpy())).take(place)
        assert isinstance(known, CrystalInputs)
        for k in range(ensemble.members):
            single, model = ensemble.of_member(k), ensemble.model.member(k)
            y, s = single.most_probable(known), known.formula_type
            z_c = model.composition_prior().sample(torch.Size([1, number]))
            seen = model.seen(z_c, y, s)
            elements = model.elements_likelihood(seen, s).sample()[0]
            z_s = model.structure_prior(seen, s).sample()
            prototype = model.prototype_likelihood(z_s, s).sample()[0]
            ways = model.assignment_likelihood(model.code(z_c, y), z_s, prototype)
            parts += single.crystals(elements, s, prototype, ways.probs[0].argmax(-1), z_s)
    return parts[:n]
