"""The declaration of a whole model, from its targets to its training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_serializer, field_validator

from pyro_hea.alloys.features import PUBLISHED_FEATURES, RICH_FEATURES
from pyro_hea.errors import MissingFileError, OutputError, SpecError, nearest
from pyro_hea.spec.declaration import Declaration, Positive, Width, spec_error
from pyro_hea.spec.likelihood import Likelihood, Multinomial
from pyro_hea.spec.priors import (
    FeatureName,
    FlowPrior,
    HumeRothery,
    LatentPrior,
    Logistic,
    Prior,
    VampPrior,
)
from pyro_hea.spec.schema import json_schema_of
from pyro_hea.spec.targets import Binary, Categorical, KindOfTarget, Target
from pyro_hea.spec.variation import changed

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class _SafeLoader(yaml.SafeLoader):
    """Plain values only, and no key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise SpecError(f"{node.start_mark}: key '{key}' stands twice")
        return super().construct_mapping(node, deep)

    def construct_document(self, node: yaml.Node) -> Any:
        if _values(node, {}) > _MOST_VALUES:
            raise SpecError(
                f"more than {_MOST_VALUES} values, or one that holds itself, by aliases"
            )
        return super().construct_document(node)


_MOST_VALUES = 10_000
"""In a file: aliases within aliases make a few lines into more values than any memory holds."""


def _values(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """How many values a node stands for, aliases written out; infinitely many in a cycle."""
    if node not in known:
        known[node] = math.inf
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        known[node] = 1 + sum(_values(part, known) for part in parts)
    return known[node]


class Flow(Declaration):
    """Class-conditional invertible flow from z to what the decoder sees.

    Attributes
    ----------
    layers : int
        Couplings.
    hidden : int
        Width of each coupling's network.
    bins : int
        Of the splines in each coupling; with 1 it only scales and shifts.
    """

    layers: int = Field(default=4, ge=1, le=32)
    hidden: Width = 64
    bins: int = Field(default=8, ge=1, le=64)


class Latent(Declaration):
    """The latent space.

    Attributes
    ----------
    dim : int
        Coordinates of z; an even number where there is a flow.
    prior : Prior, Mixture, VampPrior or FlowPrior
        Of one coordinate, independent of the others, or of all of them together.
    flow : Flow or None
        Without a flow the decoder sees z itself.
    """

    dim: int = Field(default=8, ge=1, le=256)
    prior: LatentPrior = Prior(dist="Normal", loc=0.0, scale=1.0)
    flow: Flow | None = Flow()

    @field_validator("flow")
    @classmethod
    def _flow_has_halves(cls, flow: Flow | None, info: Any) -> Flow | None:
        odd = info.data.get("dim", 2) % 2
        if flow is not None and odd:
            raise ValueError("a flow needs an even latent dim; use an even dim or flow: null")
        if isinstance(info.data.get("prior"), FlowPrior) and odd:
            raise ValueError("the prior Flow needs an even latent dim; use one, or another prior")
        if flow is not None and isinstance(info.data.get("prior"), VampPrior):
            raise ValueError("VampPrior needs the encoder's own normals: use flow: null")
        return flow


class Features(Declaration):
    """What the head reads.

    Attributes
    ----------
    names : "rich", "published" or a list of feature names
    tables : "field" or "published"
        The field's valence electron concentration and the Takeuchi-Inoue enthalpies, or the
        element and pair tables behind the published features (30 elements).
    bins : int or None
        Quantile bins of the piecewise-linear embedding of each feature; None reads them raw.
    """

    names: (
        Literal["rich", "published"] | Annotated[tuple[FeatureName, ...], Field(min_length=1)]
    ) = "rich"
    tables: Literal["field", "published"] = "field"
    bins: int | None = Field(default=12, ge=1, le=256)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features, one by one."""
        if isinstance(self.names, str):
            return {"rich": RICH_FEATURES, "published": PUBLISHED_FEATURES}[self.names]
        return self.names


class Network(Declaration):
    """One network.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    dropout : float
        Probability that a hidden unit is dropped while training.
    activation : "silu" or "softplus"
        Of the hidden units.
    """

    hidden: tuple[Width, ...] = (128, 128)
    dropout: Fraction = 0.0
    activation: Literal["silu", "softplus"] = "silu"


class Encoder(Network):
    """The network that reads a composition.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    dropout : float
        Probability that a hidden unit is dropped while training.
    activation : "silu" or "softplus"
        Of the hidden units.
    reads : "square_roots" or "fractions"
        What it reads of a composition; square roots tell small fractions from none.
    covariance : "full" or "diagonal"
        Of the normal that it gives of w, what the decoder sees.
    """

    reads: Literal["square_roots", "fractions"] = "square_roots"
    covariance: Literal["full", "diagonal"] = "full"


class Teacher(Declaration):
    """Trees and a line, fitted on the labels, that teach heads on alloys that were never made.

    Attributes
    ----------
    alloys : int
        Alloys that were never made, about which the teacher is asked.
    trees : int
        Half of them extremely randomised, half of a random forest; divided among the members, each
        of which has its own teacher.
    steps : int
        In which the heads learn what the teacher says.
    """

    alloys: int = Field(default=30_000, ge=1)
    trees: int = Field(default=400, ge=1)
    steps: int = Field(default=1000, ge=1)


class Training(Declaration):
    """How the members are trained.

    Attributes
    ----------
    members : int
        Networks in the ensemble.
    epochs : int
        Passes over the training alloys, at most.
    batch_size : int
        Alloys in a step at most, labelled and unlabelled; an epoch has three steps or more.
    learning_rate, head_learning_rate : float
        Peaks of the one-cycle schedule, for encoder, decoder and flow, and for heads that have no
        teacher.
    weight_decay, head_weight_decay : float
        Decoupled (AdamW), for the same two.
    label_weight : float
        Weight α of the own log loss of heads without a teacher on labels (Kingma et al. 2014).
    teacher : Teacher or None
        Of heads of classes with a plain prior, without parents and without `reports`.
    mixup : float
        Parameter of the beta distribution by which their labelled inputs are mixed; 0 is off.
    jitter : float
        Share of the atoms redistributed among the elements present, anew in each batch.
    clip_norm : float
        Largest gradient norm of a member's heads, and of the rest of its weights.
    patience : int
        Evaluations without a better validation loss after which a member stops.
    sleep : float
        How long the encoder alone is trained afterwards, on alloys drawn from the model, in shares
        of the epochs; 0 is off.
    """

    members: int = Field(default=8, ge=1, le=1024)
    epochs: int = Field(default=160, ge=1)
    batch_size: int = Field(default=512, ge=2)
    learning_rate: Positive = 1.2e-2
    head_learning_rate: Positive = 4e-3
    weight_decay: float = Field(default=1e-4, ge=0.0)
    head_weight_decay: float = Field(default=0.1, ge=0.0)
    label_weight: float = Field(default=1.0, ge=0.0)
    teacher: Teacher | None = Teacher()
    mixup: float = Field(default=1.0, ge=0.0)
    jitter: Fraction = 0.1
    clip_norm: Positive = 5.0
    patience: int = Field(default=30, ge=1)
    sleep: float = Field(default=0.25, ge=0.0)


class ProgramSpec(Declaration):
    """What the declaration of every program has: targets, their heads, and the training.

    Attributes
    ----------
    targets : tuple of Target
        Target properties by name, each with the prior that it has before data are seen.
    head : Network
        The network of each target's guide, from features to the target.
    training : Training
        The ensemble and how it is trained.
    """

    if TYPE_CHECKING:  # each kind of spec declares them, in its own order of keys
        targets: tuple[Target, ...]
        head: Network
        training: Training

    _folder: ClassVar[str] = "shipped"
    """Of the package `pyro_hea.spec`, with the specs of this kind."""

    @field_validator("targets", mode="before", check_fields=False)
    @classmethod
    def _named(cls, targets: Any) -> Any:
        if not isinstance(targets, dict):
            return targets
        named = []
        for name, body in targets.items():
            if body is None or isinstance(body, dict):
                if "name" in (body or {}):
                    raise ValueError(
                        f"'{name}' is the name of the target; leave out its key 'name'"
                    )
                body = {"name": name, **(body or {})}
            named.append(body)
        return tuple(named)

    @field_validator("targets", check_fields=False)
    @classmethod
    def _dependable(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        names = [target.name for target in targets]
        if len(set(names)) < len(names):
            raise ValueError(f"two targets share a name: {', '.join(names)}")
        by_name = dict(zip(names, targets, strict=True))
        for target in targets:
            for parent in target.given:
                if parent not in by_name:
                    raise ValueError(
                        f"'{target.name}' is given '{parent}', which is no target."
                        f"{nearest(parent, names)} Targets: {', '.join(names)}"
                    )
            if isinstance(target, Categorical):
                _check_only(target, by_name)
        in_order(targets)
        return targets

    @field_serializer("targets", check_fields=False)
    def _by_name(self, targets: tuple[Target, ...]) -> dict[str, Any]:
        return {t.name: t.model_dump(mode="json", exclude={"name"}) for t in targets}

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets in their declared order."""
        return tuple(target.name for target in self.targets)

    @property
    def taught(self) -> tuple[str, ...]:
        """Targets whose heads have a teacher, where `training` declares one.

        It can say what a class is by its features alone: not one that depends on other targets,
        has an expert's prior, or whose reports may be wrong.

        Examples
        --------
        >>> ModelSpec().taught, ModelSpec().with_(training__teacher=None).taught
        (('single_phase',), ())
        """
        if self.training.teacher is None:
            return ()
        return tuple(
            target.name
            for target in self.targets
            if isinstance(target, Binary | Categorical)
            and not target.given
            and target.reports is None
            and not isinstance(target.prior, HumeRothery | Logistic)
        )

    def target(self, name: str) -> Target:
        """The target of that name."""
        return next(target for target in self.targets if target.name == name)

    def with_(self, **changes: Any) -> Self:
        """The same spec with other values; a double underscore leads into what is nested.

        Raises
        ------
        SpecError
            Naming the nearest key, or what a key may be.

        Examples
        --------
        >>> ModelSpec().with_(latent__dim=4, training__epochs=10).latent.dim
        4
        """
        return self.from_mapping(changed(self.to_mapping(), changes), "with_")

    def with_prior(self, name: str, prior: Prior | Declaration | Mapping[str, Any]) -> Self:
        """The same spec with another prior of a target, or of "z".

        Raises
        ------
        SpecError
            For an unknown name, or a prior that the target cannot have.

        Examples
        --------
        >>> spec = ModelSpec().with_prior("single_phase", {"rule": "hume_rothery"})
        >>> spec.target("single_phase").prior.strength
        2.0
        """
        if name == "z":
            return self.with_(latent__prior=prior)
        if name not in self.target_names:
            known = ("z", *self.target_names)
            raise SpecError(
                f"'{name}' has no prior.{nearest(name, known)} There are {', '.join(known)}"
            )
        return self.with_(**{f"targets__{name}__prior": prior})

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the YAML, for editors; it knows the distributions of one's own."""
        return json_schema_of(cls)

    @classmethod
    def from_mapping(cls, data: Any, where: str = "spec") -> Self:
        """Read a spec from plain dicts, lists and numbers.

        Raises
        ------
        SpecError
            Naming each faulty key, what is allowed there and the nearest known key.
        """
        if not isinstance(data, dict):
            raise SpecError(f"{where}: a spec is a mapping of keys, not {type(data).__name__}")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise spec_error(error, where, cls, data) from None

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a spec from a YAML file; keys that it leaves out keep their defaults.

        Raises
        ------
        MissingFileError, SpecError
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"spec file '{path}' does not exist")
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), _SafeLoader)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
            raise SpecError(f"{path}: not YAML: {error}") from None
        return cls.from_mapping({} if data is None else data, str(path))

    @classmethod
    def shipped(cls, name: str = "default") -> Self:
        """A spec that comes with the package.

        Raises
        ------
        SpecError
            Naming those that there are.

        Examples
        --------
        >>> ModelSpec.shipped("default") == ModelSpec()
        True
        """
        folder = resources.files("pyro_hea.spec").joinpath(cls._folder)
        names = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir())
        if name not in names:
            raise SpecError(
                f"no spec '{name}' comes with the package.{nearest(name, names)} There are "
                f"{', '.join(names)}"
            )
        with resources.as_file(folder.joinpath(f"{name}.yaml")) as path:
            return cls.from_yaml(path)

    def to_mapping(self) -> dict[str, Any]:
        """The spec as plain dicts, lists and numbers; `from_mapping` reads it back."""
        return self.model_dump(mode="json")

    def to_yaml(self, path: str | Path) -> None:
        """Write every key; `from_yaml` reads the same spec back."""
        text = yaml.safe_dump(self.to_mapping(), sort_keys=False, allow_unicode=True)
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error


class ModelSpec(ProgramSpec):
    """Everything that defines a model, in one frozen value.

    Attributes
    ----------
    targets : tuple of Target
        Target properties by name, each with the prior that it has before an alloy is seen.
    latent : Latent
        What composition and targets leave unsaid of each other: z, and its prior.
    likelihood : Multinomial, Dirichlet or Hurdle
        Of a composition, given what the decoder makes of z and the targets.
    features : Features
        What the heads read of an alloy, and an expert's prior with them.
    head : Network
        The network of each target's guide, from features to the target. Where it has a teacher
        nothing is dropped out.
    encoder : Encoder
        From composition and targets to z.
    decoder : Network
        From z and targets to the composition.
    training : Training
        The ensemble and how it is trained.

    Examples
    --------
    >>> spec = ModelSpec()
    >>> spec.targets[0].name, spec.latent.dim
    ('single_phase', 8)
    """

    targets: Annotated[tuple[KindOfTarget, ...], Field(min_length=1)] = (
        Binary(name="single_phase"),
    )
    latent: Latent = Latent()
    likelihood: Likelihood = Multinomial()
    features: Features = Features()
    head: Network = Network(dropout=0.2)
    encoder: Encoder = Encoder()
    decoder: Network = Network()
    training: Training = Training()

    @field_validator("features")
    @classmethod
    def _read_by_the_priors(cls, features: Features, info: Any) -> Features:
        for target in info.data.get("targets", ()):
            if not isinstance(target.prior, HumeRothery | Logistic):
                continue
            for name in target.prior.features:
                if name not in features.columns:
                    raise ValueError(
                        f"the prior of '{target.name}' reads '{name}', which is not among the "
                        f"features.{nearest(name, features.columns)} Add it to features.names"
                    )
        return features


def in_order(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Targets with each after those that it is given, else as declared.

    Raises
    ------
    ValueError
        Naming the cycle, where there is one.
    """
    by_name = {target.name: target for target in targets}
    placed: dict[str, Target] = {}

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :], name))
            raise ValueError(f"targets depend on each other in a cycle: {cycle}; break it in given")
        for parent in by_name[name].given:
            place(parent, (*path, name))
        placed.setdefault(name, by_name[name])

    for target in targets:
        place(target.name, ())
    return tuple(placed.values())


def _check_only(target: Categorical, by_name: dict[str, Target]) -> None:
    for parent, values in target.only.items():
        declared = by_name[parent]
        if declared.kind == "continuous":
            raise ValueError(f"'{target.name}': only: '{parent}' is a number and has no classes")
        missing = set(declared.classes) - set(values)
        unknown = set(values) - set(declared.classes)
        if missing or unknown:
            raise ValueError(
                f"'{target.name}': only: {parent}: say what is possible for each of "
                f"{', '.join(declared.classes)}, and for nothing else"
            )
