"""A trained model of crystals together with what its inputs and outputs mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import (
    DataError,
    FormulaError,
    StructureError,
    UnseenElementWarning,
    excerpt,
    listing,
    warn,
)
from pyro_hea.materials.crystals import (
    CrystalDataset,
    CrystalVocabulary,
    WyckoffStructure,
    assignments,
    composition_batch,
    crystal_batch,
    formula_type,
    roles_of,
)
from pyro_hea.posterior.members import Members
from pyro_hea.program.crystal_batch import CrystalInputs, inputs_of
from pyro_hea.program.crystal_distributions import onto

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from pyro_hea.materials.crystals import CrystalBatch
    from pyro_hea.program.crystals import CrystalModel
    from pyro_hea.program.targets import Values
    from pyro_hea.spec import CrystalSpec

Structures: TypeAlias = "CrystalDataset | Structure | Sequence[Structure]"
"""Crystals whose structure is known; also `CrystalDesigns` and their `crystals`."""

Formulas: TypeAlias = "str | Sequence[str]"
"""Crystals of which the composition is known, as "SrTiO3"."""

_WEIGHED = 64
"""Draws of z_structure behind the probability of a prototype, where its prior is a flow."""


class Option(NamedTuple):
    """A structure that a formula may have, and how probable it is."""

    crystal: WyckoffStructure
    prototype: str
    probability: float


@dataclass(frozen=True, eq=False, repr=False)
class CrystalEnsemble(Members):
    """K trained members and the crystals that they know.

    Attributes
    ----------
    model : CrystalModel
    vocabulary : CrystalVocabulary
        Formula types and prototypes of the training crystals.
    known : CrystalDataset
        The training crystals.
    seed : int
        Seed that it was trained with.
    """

    model: CrystalModel
    vocabulary: CrystalVocabulary
    known: CrystalDataset
    seed: int

    @property
    def spec(self) -> CrystalSpec:
        """Declaration of the model."""
        return self.model.spec

    # What goes in.

    def warn_of_unseen(self, compositions: Iterable[Mapping[str, float]]) -> None:
        """Warn of elements that no training crystal holds, naming them."""
        seen = self.vocabulary.element_seen.tolist()
        held = dict(zip(self.vocabulary.elements, seen, strict=True))
        every = dict.fromkeys(element for counts in compositions for element in counts)
        unseen = [element for element in every if held.get(element) is False]
        if unseen:
            warn(
                f"no training crystal holds {', '.join(unseen)}: crystals with them are predicted "
                "from their features alone",
                UnseenElementWarning,
            )

    def inputs(self, crystals: CrystalDataset, labels: bool = True) -> CrystalInputs:
        """Crystals as tensors, with their labels where they have any."""
        if not labels:
            crystals = crystals.without_labels()
        names = [n for n in self.spec.target_names if n in crystals.targets]
        batch = crystal_batch(crystals, self.vocabulary, targets=names)
        return labelled_inputs(batch_inputs(self, batch), self.spec)

    def foreign(self, crystals: CrystalDataset) -> np.ndarray:
        """Which crystals have a stoichiometry that no training crystal has, (N,)."""
        known = self.vocabulary.formula_type_index
        return np.array([formula_type(c.counts) not in known for c in crystals.crystals])

    def inputs_with_latents(self, crystals: CrystalDataset) -> CrystalInputs:
        """Crystals as tensors, each of a stoichiometry that has latents.

        Raises
        ------
        DataError
            Naming those that have another one.
        """
        rows = np.flatnonzero(self.foreign(crystals))
        if len(rows):
            names = [f"{crystals.ids[i]} ({crystals.crystals[i].formula})" for i in rows]
            raise DataError(
                f"no training crystal has the stoichiometry of {listing(names, 4)}: the latents of "
                "a crystal are known among those of its stoichiometry alone. Leave out those, or "
                "train on some like them; `predict` takes them"
            )
        return self.inputs(crystals)

    def inputs_of_formulas(self, compositions: Sequence[Mapping[str, float]]) -> CrystalInputs:
        """Compositions without a structure, as tensors.

        Raises
        ------
        DataError
            For a formula type of no training crystal: nothing is known of its structures.
        """
        batch = composition_batch(compositions, self.vocabulary)
        for row in np.flatnonzero(~batch.formula_type_known.numpy()).tolist():
            counts = formula_type({k: round(v) for k, v in compositions[row].items()})
            raise DataError(
                f"'{_written(compositions[row])}': no training crystal has the stoichiometry "
                f"{':'.join(map(str, counts))}, so that nothing is known of its structure"
            )
        return batch_inputs(self, batch)

    @torch.no_grad()
    def most_probable(self, inputs: CrystalInputs) -> dict[str, Tensor]:
        """Known labels, and what each member finds most probable elsewhere, (K, N) a target."""
        model, read = self.model, self.model.head_inputs(inputs)
        values: dict[str, Tensor] = {}
        for target in model.targets:
            name = target.name
            outputs = model.head(name, read, model.given(name, values, inputs))
            guess = model.site(name).likeliest(outputs, values)
            if name in inputs.targets:
                guess = torch.where(inputs.known(name), inputs.targets[name], guess)
            values[name] = guess
        return values

    @torch.no_grad()
    def encode(self, inputs: CrystalInputs) -> tuple[Tensor, Tensor]:
        """Centres of the guide: z_composition (K, N, d) and z_structure (K, N, d)."""
        model, y = self.model, self.most_probable(inputs)
        code = model.code_posterior(inputs).mean
        z_c = model.latent_of_code(code, y, inputs.formula_type)
        return z_c, model.structure_posterior(inputs).mean

    # What comes out.

    @torch.no_grad()
    def prototype_probabilities(self, fractions: Tensor, y: Values, s: Tensor) -> Tensor:
        """Of each prototype, by composition (N, E), targets and formula type, (K, N, P)."""
        model = self.model
        if model.structure_flow is None:
            return model.prototype_log_weights(fractions, y, s).exp()
        drawn = model.structure_prior(fractions, y, s).sample(torch.Size([_WEIGHED]))
        return model.prototype_likelihood(drawn, s).probs.mean(0)

    @torch.no_grad()
    def crystals(
        self,
        elements: Tensor,
        s: Tensor,
        prototype: Tensor,
        assignment: Tensor,
        z_s: Tensor | None = None,
    ) -> list[WyckoffStructure]:
        """Crystals of given elements, prototype and assignment, the rest decoded.

        Parameters
        ----------
        elements : Tensor of int, shape (N, R)
        s, prototype, assignment : Tensor of int, shape (N,)
        z_s : Tensor, shape (K, N, d), optional
            The centre of the prototype by default.
        """
        model = self.model
        centre = onto(model.prototype_centres, prototype)
        shape, coordinates = model.geometry_likelihood(
            centre if z_s is None else z_s, centre, prototype
        )
        volume = model.volume_likelihood(model.fractions(elements, s), centre).mean.mean(0)
        shapes = shape.mean.mean(0).double().numpy()
        angle = coordinates.loc  # of the members a circular mean
        turns = torch.atan2(angle.sin().mean(0), angle.cos().mean(0)) / (2 * torch.pi)
        names, found = self.vocabulary.elements, []
        for row, index in enumerate(prototype.tolist()):
            chosen = self.vocabulary.prototypes[index]
            own = [names[e] for e in elements[row, : len(chosen.kinds)].tolist()]
            found.append(
                chosen.crystal(
                    own,
                    int(assignment[row]),
                    float(volume[row]),
                    np.where(_free(self.vocabulary, index), shapes[row], chosen.reference_shape),
                    (turns[row, : chosen.free].double() % 1).numpy(),
                )
            )
        return found

    @torch.no_grad()
    def options(
        self, inputs: CrystalInputs, most: int, least: float = 0.0
    ) -> Iterator[list[Option]]:
        """The most probable structures of each formula, their probabilities summing to 1 at most.

        Every assignment of a prototype is weighed, none is drawn.
        """
        z_c, _ = self.encode(inputs)
        y, s = self.most_probable(inputs), inputs.formula_type
        code, model = self.model.code(z_c, y, s), self.model
        probability = self.prototype_probabilities(inputs.composition, y, s).mean(0)
        chance, prototype = probability.topk(min(most, probability.shape[-1]), -1)
        for row in range(len(inputs)):
            likely = chance[row] > max(least, 1e-6)
            p = prototype[row][likely]
            own = code[:, row : row + 1].expand(-1, len(p), -1)
            centre = onto(model.prototype_centres, p)
            ways = model.assignment_likelihood(own, centre, p).probs.mean(0)
            joint = chance[row][likely, None] * ways
            weight, place = joint.flatten().topk(min(most, joint.numel()))
            weight, place = weight[weight > 1e-6], place[weight > 1e-6]
            which, assignment = p[place // ways.shape[1]], place % ways.shape[1]
            n = len(which)
            crystals = self.crystals(
                inputs.elements[row].expand(n, -1), s[row].expand(n), which, assignment
            )
            labels = [self.vocabulary.prototypes[i].label for i in which.tolist()]
            yield [Option(*found) for found in zip(crystals, labels, weight.tolist(), strict=True)]


def batch_inputs(ensemble: CrystalEnsemble, batch: CrystalBatch) -> CrystalInputs:
    """A batch of the data room as the model reads it."""
    model = ensemble.model
    placeholders = {t.name: model.site(t.name).placeholder for t in model.targets}
    return inputs_of(batch, ensemble.vocabulary, placeholders)


def labelled_inputs(inputs: CrystalInputs, spec: CrystalSpec) -> CrystalInputs:
    """The same without labels that mean nothing; see `CrystalSpec.undefined_if`."""
    labelled = dict(inputs.labelled)
    for name, other in spec.undefined_if.items():
        if name in labelled and other in labelled:
            labelled[name] = labelled[name] & ~(labelled[other] & (inputs.targets[other] > 0.5))
    return replace(inputs, labelled=labelled)


def compositions_of(formulas: Formulas) -> list[dict[str, float]]:
    """Whole amounts of each element of formulas.

    Raises
    ------
    FormulaError
        For what is no formula of whole amounts.

    Examples
    --------
    >>> compositions_of("SrTiO3")
    [{'Sr': 1.0, 'Ti': 1.0, 'O': 3.0}]
    """
    from pymatgen.core import Composition

    found = []
    for formula in [formulas] if isinstance(formulas, str) else formulas:
        try:
            composition = Composition(formula)
        except (ValueError, TypeError) as error:
            raise FormulaError(
                f"'{formula}' is no formula ({error}); a crystal is written as 'SrTiO3'"
            ) from None
        amounts = {str(element.symbol): float(n) for element, n in composition.items()}
        if not amounts or any(abs(a - round(a)) > 1e-6 for a in amounts.values()):
            raise FormulaError(
                f"'{formula}' has no whole numbers of atoms; a crystal is written as 'SrTiO3'"
            )
        found.append({element: float(round(n)) for element, n in amounts.items()})
    if not found:
        raise DataError("there is no formula here; give at least one")
    return found


def dataset_of(structures: Structures) -> CrystalDataset:
    """Crystals given in any way, without labels where they have none.

    Raises
    ------
    StructureError
        For a structure that cannot be read: no atoms, partial occupancies, atoms on each other.
        Which of several it is stands in the message.
    DataError
        For none, and for what is no structure, as a formula.
    """
    from pymatgen.core import Structure

    if isinstance(structures, CrystalDataset) and len(structures):
        return structures
    given: object = getattr(structures, "crystals", structures)  # of designs
    if isinstance(given, Structure | WyckoffStructure):
        given = [given]
    several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not several:
        raise DataError("there is no structure here; give at least one")
    text = []
    for number, structure in enumerate(several, 1):
        if isinstance(structure, WyckoffStructure):
            text.append(structure.text)
            continue
        if not isinstance(structure, Structure):
            raise DataError(
                f"{excerpt(structure)} is no structure: give a CrystalDataset (read_crystals reads "
                "files), pymatgen structures or designs. Of a formula, `predict` averages over "
                "its structures and `polymorphs` gives them"
            )
        try:
            text.append(WyckoffStructure.from_structure(structure).text)
        except StructureError as error:
            if len(several) == 1:
                raise
            raise StructureError(f"structure {number} of {len(several)}: {error}") from error
    index = pd.Index([f"crystal-{i}" for i in range(len(text))], name="id")
    return CrystalDataset(pd.Series(text, index), pd.DataFrame(index=index))


def dataset_of_crystals(crystals: Sequence[WyckoffStructure]) -> CrystalDataset:
    """Crystals of the codec as a dataset without labels."""
    index = pd.Index([f"crystal-{i}" for i in range(len(crystals))], name="id")
    text = pd.Series([c.text for c in crystals], index, dtype=object)
    return CrystalDataset(text, pd.DataFrame(index=index))


def roles_on_orbits(crystal: WyckoffStructure, swapped: Mapping[str, str]) -> list[str]:
    """New elements in the order of their roles, where each takes the place of an old one."""
    counts: dict[str, int] = {}
    for element, count in crystal.counts.items():
        counts[swapped.get(element, element)] = count
    return roles_of(counts)


def assignment_with(
    old: Sequence[str],
    assignment: int,
    new: Sequence[str],
    swapped: Mapping[str, str],
    kind: tuple[int, ...],
) -> int:
    """Assignment by which new elements are where the old ones were."""
    ways = assignments(kind)
    on_kinds = [swapped.get(old[role], old[role]) for role in ways[assignment]]
    wanted = tuple(list(new).index(element) for element in on_kinds)
    return ways.index(wanted)


def _free(vocabulary: CrystalVocabulary, prototype: int) -> np.ndarray:
    return np.asarray(vocabulary.shape_mask[prototype])


def _written(composition: Mapping[str, float]) -> str:
    return "".join(f"{e}{'' if n == 1 else round(n)}" for e, n in composition.items())
