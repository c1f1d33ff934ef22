"""Crystals decoded from latents, and drawn from the model."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.errors import DesignWarning, warn
from pyro_hea.materials.crystals import WyckoffStructure
from pyro_hea.materials.crystals.checks import is_neutral, shortest_distance
from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
from pyro_hea.posterior.new_prototypes import SHORTEST, crystals_of_sequences
from pyro_hea.program.crystal_batch import CrystalInputs
from pyro_hea.program.crystal_distributions import ElementsOnRoles
from pyro_hea.program.crystal_sequences import sequences_of

_TRIED = 5
"""Sequences of choices whose atoms are tried to be placed."""

_ROUNDS = 10
"""In which what is too dense is drawn anew."""


@torch.no_grad()
def decode_crystals(
    ensemble: CrystalEnsemble, z_c: Tensor, z_s: Tensor, given: CrystalInputs
) -> list[WyckoffStructure]:
    """The most probable crystals at latents (K, N, d), of given formula types and targets."""
    model, s = ensemble.model, given.formula_type
    y = ensemble.most_probable(given)
    likelihood = model.elements_likelihood(model.seen(z_c, y, s), s)
    elements = likeliest_elements(likelihood)
    code = model.code(z_c, y, s)
    prototype = model.prototype_likelihood(z_s, s).probs.mean(0).argmax(-1)
    ways = model.assignment_likelihood(code, z_s, prototype).probs.mean(0).argmax(-1)
    found = ensemble.crystals(elements, s, prototype, ways, z_s)
    if model.wyckoff is None:
        return found
    # The first of the likeliest sequences whose atoms can be placed; else as the table has it.
    for row, several in enumerate(model.sequence_likelihood(z_s, s).likeliest(_TRIED)):
        at = slice(row, row + 1)
        for sequence, _ in several:
            (crystal,) = crystals_of_sequences(
                ensemble, elements[at], s[at], [sequence], code[:, at], z_s[:, at], SHORTEST
            )
            if crystal is not None:
                found[row] = crystal
                break
    return found


def likeliest_elements(likelihood: ElementsOnRoles) -> Tensor:
    """Of what each member finds most probable, what all of them together do, (N, R)."""
    candidates = likelihood.likeliest
    chance = (likelihood.log_prob(candidates.unsqueeze(1)) / likelihood.count).logsumexp(1)
    best = chance.argmax(0)
    return candidates[best, torch.arange(len(best))]


def draw_crystals(
    ensemble: CrystalEnsemble,
    n: int,
    seed: int = 0,
    shortest: float = SHORTEST,
    neutral: bool = False,
) -> list[WyckoffStructure]:
    """Crystals drawn from the model: formula type, both latents, elements and prototype.

    Targets are drawn together, as a training crystal has them; what has no label is as the heads
    find it most probable. Of shapes, volumes and coordinates the centres are taken, of assignments
    the most probable one. What has two atoms nearer than `shortest` of the sum of their covalent
    radii, or is not `neutral`, is drawn anew.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    n : int
    seed : int
    shortest : float
        0 keeps everything.
    neutral : bool
        Keep only what SMACT finds neutral; see `is_neutral`.

    Raises
    ------
    MissingExtraError
        With `neutral`, without SMACT.

    Warns
    -----
    DesignWarning
        Where so many are drawn anew that fewer than `n` crystals are left.
    """
    kept: list[WyckoffStructure] = []
    with seeded(seed), torch.no_grad():
        for _ in range(_ROUNDS):
            made = _drawn(ensemble, n - len(kept), shortest)
            if shortest > 0:
                made = [c for c in made if shortest_distance(c)[1] >= shortest]
            kept += [c for c in made if not neutral or is_neutral(c.counts)]
            if len(kept) == n:
                return kept
    warn(
        f"{len(kept)} crystals were drawn, not {n}: in the others atoms are nearer than {shortest} "
        f"of the sum of their covalent radii{' or charges do not balance' * neutral}; lower that",
        DesignWarning,
    )
    return kept


def _drawn(ensemble: CrystalEnsemble, n: int, shortest: float) -> list[WyckoffStructure]:
    """Draw with the global random state, as many of each member as of the others.

    Without those of new prototypes whose atoms cannot be placed.
    """
    number = -(-n // ensemble.members)
    parts: list[WyckoffStructure] = []
    rows, place = torch.randint(len(ensemble.known), (number,)).unique(return_inverse=True)
    known = ensemble.inputs(ensemble.known.take(rows.numpy())).take(place)
    for k in range(ensemble.members):
        single, model = ensemble.of_member(k), ensemble.model.member(k)
        y, s = single.most_probable(known), known.formula_type
        z_c = model.composition_prior().sample(torch.Size([1, number]))
        seen = model.seen(z_c, y, s)
        elements = model.elements_likelihood(seen, s).sample()[0]
        z_s = model.structure_prior(model.fractions(elements, s), y, s).sample()
        if model.wyckoff is not None:
            (sequences,) = sequences_of(model.sequence_likelihood(z_s, s).sample())
            code = model.code(z_c, y, s)
            made = crystals_of_sequences(single, elements, s, sequences, code, z_s, shortest)
            parts += [crystal for crystal in made if crystal is not None]
            continue
        prototype = model.prototype_likelihood(z_s, s).sample()[0]
        ways = model.assignment_likelihood(model.code(z_c, y, s), z_s, prototype)
        parts += single.crystals(elements, s, prototype, ways.probs[0].argmax(-1), z_s)
    return parts[:n]
