"""Crystals on demand: wishes, other structures of a formula, other elements in a structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pyro_hea.design.crystal_constraints import (
    AnyConstraint,
    CrystalRegion,
    ShortestDistance,
    checked_crystal_constraints,
)
from pyro_hea.design.crystal_feasibility import check_possible
from pyro_hea.design.crystal_result import CrystalDesigns, designs_of
from pyro_hea.design.problem import check_count
from pyro_hea.design.wishes import Event, Wish, check_mapping, checked_wishes
from pyro_hea.devices import seeded
from pyro_hea.errors import (
    ConstraintError,
    DataError,
    DesignWarning,
    FormulaError,
    StructureError,
    excerpt,
    nearest,
    warn,
)
from pyro_hea.materials.crystals import WyckoffStructure, align
from pyro_hea.posterior import joint_probability
from pyro_hea.posterior.crystal_decoding import decode_crystals
from pyro_hea.posterior.crystal_ensemble import (
    CrystalEnsemble,
    Structures,
    assignment_with,
    compositions_of,
    dataset_of,
    dataset_of_crystals,
    roles_on_orbits,
)
from pyro_hea.posterior.new_prototypes import SHORTEST, crystals_of_sequences, new_options
from pyro_hea.program.crystal_batch import CrystalInputs
from pyro_hea.program.crystal_distributions import IMPOSSIBLE
from pyro_hea.program.crystal_sequences import sequences_of
from pyro_hea.program.sites import ContinuousSite

_PROPOSED, _DECODED = 40, 6
"""Candidates whose composition is judged, and whose structure is decoded, for each design."""

_ROUNDS = 2
"""In the second candidates are drawn around the best of the first."""

_NOISE = 0.6
"""Standard deviation by which z_composition is moved from that of a known crystal."""

_AGREEMENT = 5.0
"""Power of the probability by which designs are drawn, as for alloys."""

_WIDEST = 2.5
"""Standard deviations of a target beyond which no value is asked of the decoder."""


def design_crystals(
    ensemble: CrystalEnsemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[AnyConstraint] = (),
    *,
    n: int = 50,
    seed: int = 0,
) -> CrystalDesigns:
    """Draw crystals that are predicted to have the wished-for targets.

    Candidates are decoded with the targets at wished-for values, from z_composition around those
    of training crystals that are likely to fulfil the wishes and z_structure from its conditional
    prior. Of those that satisfy the constraints, designs are drawn by the fifth power of the
    probability that all wishes hold, as the heads judge the finished crystal.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    targets : mapping of target to wish
        See `pyro_hea.design.sample_designs`. A wish for a number that metals do not have also asks
        for no metal.
    constraints : sequence of Constraint or CrystalConstraint
        `ShortestDistance(0.75)` holds beside them unless one is given.
    n : int
    seed : int

    Raises
    ------
    UnknownTargetError, ConstraintError

    Warns
    -----
    DesignWarning
        Where fewer than `n` different crystals were found, or none is likely to fulfil the wishes.
    """
    check_count(n, seed)
    events = events_of(ensemble, targets)
    constraints = checked_crystal_constraints(constraints)
    asked = constraints
    if not any(isinstance(c, ShortestDistance) for c in constraints):
        constraints = (*constraints, ShortestDistance())
    region = CrystalRegion.of(constraints, ensemble.vocabulary)
    check_possible(region, asked, ensemble.vocabulary)
    found: dict[str, tuple[WyckoffStructure, float]] = {}
    with seeded(seed), torch.no_grad():
        seeds = ensemble.inputs(ensemble.known)
        known = {_key(c) for c in ensemble.known.crystals}
        chance = joint_probability(ensemble.model, seeds, events).mean(0)
        for _ in range(_ROUNDS):
            proposed = _propose(ensemble, region, events, seeds, chance, n * _PROPOSED // _ROUNDS)
            crystals = _decoded(ensemble, region, events, proposed, n * _DECODED // _ROUNDS, known)
            if crystals:
                inputs = ensemble.inputs(dataset_of_crystals(crystals))
                judged = joint_probability(ensemble.model, inputs, events).mean(0)
                found |= {
                    _key(c): (c, float(p)) for c, p in zip(crystals, judged.tolist(), strict=True)
                }
                seeds, chance = inputs, judged
        if not found:
            raise ConstraintError(
                f"none of {2 * (n * _PROPOSED // _ROUNDS)} candidates is a new crystal that "
                f"satisfies {', '.join(map(repr, constraints))}: loosen them, or ask for more "
                "designs, which draws more candidates"
            )
        every = list(found.values())
        p = torch.tensor([value for _, value in every])
        log_weight = _AGREEMENT * p.clamp_min(1e-9).log() - torch.empty_like(p).exponential_().log()
        drawn = log_weight.topk(min(n, len(p))).indices
        chosen = drawn[p[drawn].argsort(descending=True)].tolist()
    if len(chosen) < n:
        warn(
            f"{len(chosen)} different crystals were found, fewer than the {n} asked for",
            DesignWarning,
        )
    designs = designs_of(ensemble, [every[i][0] for i in chosen], events=events)
    if designs.table["all_wishes"].max() < 0.5:
        warn(
            "no design is more likely than not to fulfil all wishes; see `all_wishes`",
            DesignWarning,
        )
    return designs


def events_of(ensemble: CrystalEnsemble, targets: Mapping[str, Wish]) -> dict[str, Event]:
    """Wishes as events, with what a wish for a number implies."""
    check_mapping(targets)
    wishes = dict(targets)
    if not wishes:
        raise ConstraintError(
            "a design needs a wish for at least one target, as in {'gap': (0.5, 1.5)}; "
            f"targets: {', '.join(ensemble.spec.target_names)}"
        )
    for name, wish in wishes.items():
        if wish in ("max", "min"):
            raise ConstraintError(
                f"'{name}': crystals are not designed for '{wish}'; wish for a bound, as "
                "('>', 3), and sort the designs by what is predicted"
            )
    for name, other in ensemble.spec.undefined_if.items():
        if name in wishes:
            if wishes.get(other, 0) != 0:
                raise ConstraintError(
                    f"'{name}' is asked for only where '{other}' is 0, but {other}={wishes[other]}"
                )
            wishes[other] = 0
    return checked_wishes(ensemble, wishes)


class _Proposed:
    """Compositions with a prototype and an assignment, before they are decoded."""

    def __init__(self, *columns: Tensor) -> None:
        self.columns = columns
        self.elements, self.s, self.prototype, self.assignment, self.z_s, *others = columns
        self.code, self.member = others

    def take(self, rows: Tensor) -> _Proposed:
        """Some of them."""
        return _Proposed(*(column[rows] for column in self.columns))


def _propose(
    ensemble: CrystalEnsemble,
    region: CrystalRegion,
    events: Mapping[str, Event],
    seeds: CrystalInputs,
    chance: Tensor,
    number: int,
) -> _Proposed:
    """Draw candidates around known crystals, by the probability that these fulfil the wishes."""
    types = torch.tensor(region.prototypes)
    possible = torch.zeros(len(ensemble.vocabulary.formula_types), dtype=torch.bool)
    possible[ensemble.vocabulary.prototype_formula_type[types]] = True
    weight = (chance + 1e-4) * possible[seeds.formula_type]
    if not weight.sum() > 0:
        weight = torch.ones_like(chance)
    parts = []
    for k in range(ensemble.members):
        single = ensemble.of_member(k)
        model, rows = single.model, torch.multinomial(weight, number // ensemble.members + 1, True)
        some = seeds.take(rows)
        assert isinstance(some, CrystalInputs)
        y = _wished(single, some, events)
        s = some.formula_type
        z_c = model.latent_of_code(model.code_posterior(some).mean, y, s)
        z_c = z_c + _NOISE * torch.randn_like(z_c)
        seen = model.seen(z_c, y, s)
        likelihood = model.elements_likelihood(seen, s)
        banned = ~torch.tensor(region.elements)
        likelihood.logits = likelihood.logits.masked_fill(banned, IMPOSSIBLE)
        elements = likelihood.sample()[0]
        weights = single.prototype_probabilities(model.fractions(elements, s), y, s)[0] * types
        fallback = types & (model.get_buffer("table_prototype_type") == s[:, None])
        none = weights.sum(-1) <= 0
        weights[none] = fallback[none].float() + 1e-30 * types
        prototype = torch.multinomial(weights, 1)[:, 0]
        z_s = model.prototype_centres[0][prototype]
        code, member = model.code(z_c, y, s), torch.full_like(s, k)
        ways = model.assignment_likelihood(code, z_s[None], prototype)
        right = ensemble.vocabulary.prototype_formula_type[prototype] == s
        columns = (elements, s, prototype, ways.probs[0].argmax(-1), z_s, code[0], member)
        parts.append([c[right] for c in columns])
    return _Proposed(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _wished(
    ensemble: CrystalEnsemble, some: CrystalInputs, events: Mapping[str, Event]
) -> dict[str, Tensor]:
    """Values of the targets: as crystals have them, those wished for at wished-for values."""
    y = ensemble.most_probable(some)
    for name, event in events.items():
        site = ensemble.model.site(name)
        if not isinstance(site, ContinuousSite):
            picked = torch.randint(len(event), y[name].shape)
            y[name] = torch.tensor(event)[picked]
            continue
        at = site.encode(y[name])[..., 0]
        bounds = [
            float(site.encode(torch.tensor(b))[0]) if np.isfinite(b) else np.sign(b) * _WIDEST
            for b in _inside(site, event)
        ]
        low, high = bounds
        low, high = min(low, high), max(low, high)
        drawn = low + (high - low) * torch.rand_like(at)
        y[name] = site.natural(torch.where((at > low) & (at < high), at, drawn))
    return y


def _inside(site: ContinuousSite, event: Event) -> tuple[float, float]:
    """Bounds of a wish, those that end where the support does as infinite."""
    low, high = event
    return (-np.inf if low <= 0 and site.target.positive else low), high


def _decoded(
    ensemble: CrystalEnsemble,
    region: CrystalRegion,
    events: Mapping[str, Event],
    proposed: _Proposed,
    number: int,
    known: set[str],
) -> list[WyckoffStructure]:
    """Different new crystals that satisfy the constraints, the likelier compositions first."""
    if not len(proposed.s):
        return []
    fractions = ensemble.model.fractions(proposed.elements, proposed.s)
    held = torch.tensor(region.holds(fractions.double().numpy()))
    proposed = proposed.take(held)
    columns = [proposed.elements, proposed.s[:, None], proposed.prototype[:, None]]
    whole = torch.cat([*columns, proposed.assignment[:, None]], -1).numpy()
    _, first = np.unique(whole, axis=0, return_index=True)
    proposed = proposed.take(torch.tensor(first))
    if not len(proposed.s):
        return []
    chance = _by_composition(ensemble, proposed, events)
    log_weight = chance.clamp_min(1e-6).log() - torch.empty_like(chance).exponential_().log()
    best = proposed.take(log_weight.argsort(descending=True))
    crystals: list[WyckoffStructure] = []
    for rows in torch.arange(len(best.s)).split(number):
        some = best.take(rows)
        try:
            made = _made(ensemble, some)
        except StructureError:  # a shape that is no cell
            continue
        crystals += [
            crystal
            for crystal in made
            if _key(crystal) not in known and all(c.holds(crystal) for c in region.of_structure)
        ]
        if len(crystals) >= number:
            break
    return crystals[:number]


def _made(ensemble: CrystalEnsemble, some: _Proposed) -> list[WyckoffStructure]:
    """Crystals of the proposed prototypes, or of what positions are decoded to near them."""
    if ensemble.model.wyckoff is None:
        return ensemble.crystals(some.elements, some.s, some.prototype, some.assignment)
    made: list[WyckoffStructure | None] = []
    for k in range(ensemble.members):
        own, single = some.take(some.member == k), ensemble.of_member(k)
        if len(own.s):
            z_s = single.model.near(own.z_s[None])
            (sequences,) = sequences_of(single.model.sequence_likelihood(z_s, own.s).sample())
            made += crystals_of_sequences(
                single, own.elements, own.s, sequences, own.code[None], z_s, SHORTEST
            )
    return [crystal for crystal in made if crystal is not None]


def _by_composition(
    ensemble: CrystalEnsemble, proposed: _Proposed, events: Mapping[str, Event]
) -> Tensor:
    """Probability of the wishes by the composition alone, (N,)."""
    names = ensemble.vocabulary.elements
    counts = ensemble.model.get_buffer("table_counts")[proposed.s].tolist()
    compositions = [
        {names[e]: c for e, c in zip(row, amounts, strict=True) if c}
        for row, amounts in zip(proposed.elements.tolist(), counts, strict=True)
    ]
    inputs = ensemble.inputs_of_formulas(compositions)
    return joint_probability(ensemble.model, inputs, events).mean(0)


def polymorphs(ensemble: CrystalEnsemble, formula: str, n: int = 5) -> CrystalDesigns:
    """The most probable structures of a formula; column `probability`.

    Where the spec declares the decoder of Wyckoff positions, also those of prototypes that no
    training crystal has; see `pyro_hea.posterior.new_prototypes.new_options`.
    """
    if not isinstance(formula, str):
        raise FormulaError(f"one formula at a time, as 'SrTiO3', not {excerpt(formula)}")
    check_count(n, what="structure")
    compositions = compositions_of(formula)
    ensemble.warn_of_unseen(compositions)
    inputs = ensemble.inputs_of_formulas(compositions)
    (options,) = ensemble.options(inputs, n)
    if ensemble.model.wyckoff is not None:
        new, share = new_options(ensemble, inputs, n)
        known = [
            option._replace(probability=option.probability * (1 - share)) for option in options
        ]
        options = sorted([*known, *new], key=lambda option: -option.probability)[:n]
    told = {"probability": [option.probability for option in options]}
    return designs_of(ensemble, [option.crystal for option in options], told)


def swap(
    ensemble: CrystalEnsemble, composition: Structures, structure: Structures
) -> CrystalDesigns:
    """Crystals with z_composition of one and z_structure of another, decoded.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    composition, structure : crystals
        As many of each, pairwise of one stoichiometry.

    Raises
    ------
    DataError
        For a pair of different stoichiometries, none of which is that of the other's structure.
    """
    first, second = (ensemble.inputs_with_latents(dataset_of(x)) for x in (composition, structure))
    if len(first) != len(second):
        raise DataError(f"{len(first)} compositions cannot be paired with {len(second)} structures")
    for row in (first.formula_type != second.formula_type).nonzero()[:, 0].tolist():
        raise DataError(
            f"pair {row + 1}: the crystals have different stoichiometries, so that the structure "
            "of one cannot hold the elements of the other; give two of one formula type"
        )
    z_c, _ = ensemble.encode(first)
    _, z_s = ensemble.encode(second)
    return designs_of(ensemble, decode_crystals(ensemble, z_c, z_s, first))


def substitute(
    ensemble: CrystalEnsemble, structure: Structures, elements: Mapping[str, str]
) -> CrystalDesigns:
    """Crystals with other elements in their places; volume and free coordinates follow.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    structure : crystals
    elements : mapping of old to new element

    Raises
    ------
    DataError
        For an old element that no crystal holds, a new one that is there already, or a crystal
        whose prototype is of no training crystal.
    """
    if not isinstance(elements, Mapping) or not elements:
        raise DataError(
            f"elements are a mapping of old to new, as {{'Sr': 'Ba'}}, not {excerpt(elements)}"
        )
    data = dataset_of(structure)
    inputs = ensemble.inputs(data)
    names = list(ensemble.vocabulary.elements)
    roles = inputs.elements.clone()
    assignment = inputs.assignment.clone()
    for row, crystal in enumerate(data.crystals):
        _check_substitution(crystal, elements, names)
        label = crystal.prototype
        if int(inputs.prototype[row]) < 0:
            raise DataError(
                f"{crystal.formula}: no training crystal has its prototype {label}, whose free "
                "coordinates are therefore not known"
            )
        old = align(crystal, ensemble.vocabulary.prototypes[int(inputs.prototype[row])])
        new = roles_on_orbits(crystal, elements)
        kind = ensemble.vocabulary.formula_types[int(inputs.formula_type[row])]
        assignment[row] = assignment_with(old.elements, old.assignment, new, elements, kind)
        roles[row, : len(new)] = torch.tensor([names.index(e) for e in new])
    with torch.no_grad():
        z_s = ensemble.model.structure_posterior(inputs).mean
    given = replace(inputs, elements=roles)
    crystals = ensemble.crystals(roles, given.formula_type, inputs.prototype, assignment, z_s)
    return designs_of(ensemble, crystals)


def _check_substitution(
    crystal: WyckoffStructure, elements: Mapping[str, str], names: list[str]
) -> None:
    for old, new in elements.items():
        if old not in crystal.counts:
            raise DataError(
                f"{crystal.formula} holds no {old}; it holds {', '.join(crystal.counts)}"
            )
        if new not in names:
            raise DataError(f"there is no element '{new}' from H to Pu.{nearest(str(new), names)}")
    after = [elements.get(e, e) for e in crystal.counts]
    if len(set(after)) < len(after):
        raise DataError(
            f"{crystal.formula}: {dict(elements)} puts one element in two places; a substitution "
            "keeps the number of elements"
        )


def _key(crystal: WyckoffStructure) -> str:
    """Formula, prototype and which element is on which letters."""
    letters = ";".join(f"{e}:{crystal.letters[e]}" for e in sorted(crystal.letters))
    return f"{crystal.formula}|{crystal.prototype}|{letters}"
