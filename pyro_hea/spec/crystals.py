"""The declaration of a model of crystals: composition and structure as separate latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pyro_hea.errors import nearest
from pyro_hea.spec.declaration import Count, Declaration, Frozen, FrozenMapping, Positive, Width
from pyro_hea.spec.model import ProgramSpec
from pyro_hea.spec.priors import Prior
from pyro_hea.spec.settings import Flow, Network, Training
from pyro_hea.spec.targets import Binary, Continuous, KindOfTarget


class CompositionLatent(Declaration):
    """The latent of the composition, z_composition.

    Attributes
    ----------
    dim : int
        Coordinates; an even number where there is a flow.
    prior : Prior
        Of each coordinate.
    flow : Flow or None
        From z to what the decoder sees, one map for each formula type and each value of the
        targets; None decodes z.
    count : int
        How often the elements count, as if so many reports had named the same ones. With 1 the
        likelihood is a probability; it then pays the latent little to tell every element.
    """

    dim: int = Field(default=32, ge=2, le=256, multiple_of=2)
    prior: Prior = Prior(dist="Normal", loc=0.0, scale=1.0)
    flow: Flow | None = Flow(layers=4, hidden=64, bins=1)
    count: int = Field(default=25, ge=1, le=100)


class PrototypeMixture(Declaration):
    """Prior of z_structure: a normal around each prototype, with conditional weights.

    A network reads the composition, the targets and the formula type, and says how probable each
    prototype is. It is trained before the rest, on the crystals and on the probabilities that a
    forest gives for other formulas. The centres are those around which the guide puts the members
    of a prototype.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers of that network.
    dropout : float
    trees : int
        Of the forest.
    formulas : int
        Real ones with some of their elements exchanged, of which the network learns the forest's
        probabilities; 20 for a crystal at most.
    steps : int
        Optimiser steps of the network; where formulas are fewer, fewer in proportion.
    """

    kind: Literal["prototypes"] = "prototypes"
    hidden: tuple[Width, ...] = (256, 256)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    trees: Count = 100
    formulas: Count = 20_000
    steps: Count = 2000


class ConditionalFlow(Flow):
    """Prior of z_structure: a normal through a flow that reads composition, targets and type."""

    kind: Literal["flow"] = "flow"


def _kind(given: Any) -> Any:
    if isinstance(given, dict):
        return given.get("kind", "prototypes")
    return getattr(given, "kind", "prototypes")


StructurePrior = Annotated[
    Annotated[PrototypeMixture, Tag("prototypes")] | Annotated[ConditionalFlow, Tag("flow")],
    Discriminator(_kind),
]
"""Prior of z_structure given the composition, told apart by its `kind`."""


class PrototypeTable(Declaration):
    """Decoder of the prototype: one that training crystals have, by the distance to its centre."""

    kind: Literal["prototypes"] = "prototypes"


class WyckoffPositions(Declaration):
    """Decoder of the prototype, choice by choice; one that no training crystal has is possible.

    Space group, formula units of the primitive cell, then the Wyckoff positions of each element.
    It is trained after the rest of the model, which is as with `prototypes`.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers of its networks.
    dropout : float
    epochs : int
        Passes over the training crystals.
    """

    kind: Literal["wyckoff"] = "wyckoff"
    hidden: tuple[Width, ...] = (256, 256)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    epochs: Count = 15


StructureDecoder = Annotated[
    Annotated[PrototypeTable, Tag("prototypes")] | Annotated[WyckoffPositions, Tag("wyckoff")],
    Discriminator(_kind),
]
"""Decoder of the prototype given z_structure, told apart by its `kind`."""


class StructureLatent(Declaration):
    """The latent of the structure, z_structure.

    Attributes
    ----------
    dim : int
        Coordinates, an even number.
    prior : PrototypeMixture or ConditionalFlow
        Given the composition, the targets and the formula type.
    decoder : PrototypeTable or WyckoffPositions
        Of the prototype.
    """

    dim: int = Field(default=32, ge=2, le=256, multiple_of=2)
    prior: StructurePrior = PrototypeMixture()
    decoder: StructureDecoder = PrototypeTable()


class Deviations(Declaration):
    """How numbers scatter around what a decoder says of them.

    Attributes
    ----------
    dist : "Normal", "Laplace" or "StudentT"
        The last with four degrees of freedom.
    smallest : float
        Least scale, in the unit of the site.
    """

    dist: Literal["Normal", "Laplace", "StudentT"] = "StudentT"
    smallest: Positive = 0.005


class Angles(Declaration):
    """How free coordinates scatter around the cell, by a von Mises distribution.

    Attributes
    ----------
    largest_concentration : float
        κ; a standard deviation of 1/√κ/2π of a cell edge.
    """

    largest_concentration: Positive = 4000.0


class CrystalSpec(ProgramSpec):
    """Everything that defines a model of crystals, in one frozen value.

    Attributes
    ----------
    targets : tuple of Target
        Target properties by name, each with the prior that it has before a crystal is seen.
    undefined_if : mapping of str to str
        Numbers that a crystal has only where a binary target is 0, as {gap: metal}. Labels of other
        crystals are not read, and a wish for such a number asks for 0 of the other.
    composition : CompositionLatent
        z_composition, whose encoder reads the elements alone.
    structure : StructureLatent
        z_structure, whose encoder reads the structure alone.
    log_volume : Deviations
        Of the logarithm of the volume per atom.
    shape : Deviations
        Of the logarithms of b/a and c/a, and of the angles in radians.
    coordinates : Angles
        Of the free coordinates of the orbits.
    head : Network
        The network of each target's guide, from features of composition and structure.
    encoder, decoder : Network
        Of both latents.
    head_epochs : int
        Passes over the labels of each target in which its head is trained, before all other
        training, which then leaves the heads as they are.
    structure_dropout : float
        Share of the crystals of which heads see the composition alone while they are trained, so
        that they can answer for a formula.
    training : Training
        The ensemble and how it is trained.

    Examples
    --------
    >>> spec = CrystalSpec.shipped("crystals")
    >>> spec.target_names
    ('metal', 'gap', 'acoustic_debye_temperature', 'elastic_debye_temperature', 'hole_mass')
    >>> spec.with_(structure__prior={"kind": "flow"}).structure.prior.kind
    'flow'
    """

    _folder: ClassVar[str] = "shipped_crystals"

    targets: Annotated[tuple[KindOfTarget, ...], Field(min_length=1)] = (
        Binary(name="metal", calibration="beta"),
        Continuous(
            name="gap",
            unit="eV",
            positive=False,
            transform="identity",
            prior=Prior(dist="Normal", loc=2.5, scale=2.0),
            calibration="temperature",
        ),
        Continuous(
            name="acoustic_debye_temperature",
            unit="K",
            prior=Prior(dist="Normal", loc=5.0, scale=0.7),
            calibration="temperature",
        ),
        Continuous(
            name="elastic_debye_temperature",
            unit="K",
            prior=Prior(dist="Normal", loc=5.6, scale=0.6),
            calibration="temperature",
        ),
        Continuous(
            name="hole_mass",
            unit="m_e",
            prior=Prior(dist="Normal", loc=1.0, scale=1.5),
            calibration="temperature",
        ),
    )
    undefined_if: Frozen[str, str] = FrozenMapping({"gap": "metal", "hole_mass": "metal"})
    composition: CompositionLatent = CompositionLatent()
    structure: StructureLatent = StructureLatent()
    log_volume: Deviations = Deviations()
    shape: Deviations = Deviations(smallest=0.003)
    coordinates: Angles = Angles()
    head: Network = Network(hidden=(256, 256), dropout=0.1)
    encoder: Network = Network(hidden=(128,))
    decoder: Network = Network(hidden=(128,))
    head_epochs: Count = 150
    structure_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    training: Training = Training(
        members=4,
        epochs=18,
        batch_size=256,
        learning_rate=4e-3,
        head_learning_rate=2e-3,
        head_weight_decay=0.05,
        distillation=None,
        mixup=0.0,
        jitter=0.0,
        wake_sleep=0.0,
    )

    @property
    def distilled_targets(self) -> tuple[str, ...]:
        """Targets whose heads are trained before the rest: all of them."""
        return self.target_names

    @model_validator(mode="before")
    @classmethod
    def _of_these_targets(cls, data: Any) -> Any:
        """Without the default's targets its `undefined_if` means nothing."""
        if isinstance(data, Mapping) and "targets" in data and "undefined_if" not in data:
            data = {**data, "undefined_if": {}}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, other in self.undefined_if.items():
            for key in (name, other):
                if key not in self.target_names:
                    raise ValueError(
                        f"undefined_if: there is no target '{key}'."
                        f"{nearest(key, self.target_names)} Targets: {', '.join(self.target_names)}"
                    )
            if self.target(name).kind != "continuous" or self.target(other).kind != "binary":
                raise ValueError(f"undefined_if: '{name}' has to be a number, '{other}' binary")
        for target in self.targets:
            if not isinstance(target.prior, Prior | None):
                raise ValueError(
                    f"the prior of '{target.name}' reads features of alloys; a target of crystals "
                    "takes a distribution, as {dist: Bernoulli, probs: 0.5}"
                )
        return self
