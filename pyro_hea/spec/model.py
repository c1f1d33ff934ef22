"""The declaration of a whole model, from its targets to its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, field_serializer, field_validator

from pyro_hea.errors import SpecError, UnknownTargetError, nearest
from pyro_hea.spec.base import Spec
from pyro_hea.spec.declaration import Declaration
from pyro_hea.spec.experts import Logistic, Rule
from pyro_hea.spec.inferred import (
    has_few_numbers,
    infer_targets,
    warn_of_few_labels,
    with_priors_of_data,
)
from pyro_hea.spec.likelihood import Likelihood, Multinomial
from pyro_hea.spec.names import check_names_of_targets
from pyro_hea.spec.priors import Prior
from pyro_hea.spec.settings import Encoder, Features, Latent, Network, Training
from pyro_hea.spec.targets import Binary, Categorical, Continuous, KindOfTarget, Target, in_order

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyDataset


class ProgramSpec(Spec):
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

    @field_validator("targets", mode="before", check_fields=False)
    @classmethod
    def _from_mapping_by_name(cls, targets: Any) -> Any:
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
    def _check_given(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
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
        check_names_of_targets(names, {t.name: _endings_of_sites(t) for t in targets})
        for target in targets:
            for condition in target.conditions:
                if condition in names:
                    raise ValueError(
                        f"'{target.name}' has the condition '{condition}', which is a target; "
                        "call one of the two otherwise, or use given"
                    )
        return targets

    @field_serializer("targets", check_fields=False)
    def _write_by_name(self, targets: tuple[Target, ...]) -> dict[str, Any]:
        return {t.name: t.model_dump(mode="json", exclude={"name"}) for t in targets}

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets in their declared order."""
        return tuple(target.name for target in self.targets)

    @property
    def distilled_targets(self) -> tuple[str, ...]:
        """Targets whose heads learn by distillation, where `training` declares one.

        The teacher sees features and conditions alone. So these are binary and categorical
        targets, and numbers where `training.distillation.numbers` is true, that depend on no
        other target and have no `reports`; with an expert's prior where
        `training.distillation.experts` is true.

        Examples
        --------
        >>> ModelSpec().distilled_targets
        ('single_phase',)
        >>> ModelSpec().with_(training__distillation=None).distilled_targets
        ()
        """
        distillation = self.training.distillation
        if distillation is None:
            return ()
        return tuple(
            target.name
            for target in self.targets
            if not target.given
            and (
                (isinstance(target, Continuous) and distillation.numbers)
                or (
                    isinstance(target, Binary | Categorical)
                    and target.reports is None
                    and (distillation.experts or not isinstance(target.prior, Rule | Logistic))
                )
            )
        )

    def target(self, name: str) -> Target:
        """The target of that name.

        Raises
        ------
        UnknownTargetError
            Naming the nearest target.
        """
        for target in self.targets:
            if target.name == name:
                return target
        raise UnknownTargetError(
            f"'{name}' is no target.{nearest(str(name), self.target_names)} Targets: "
            f"{', '.join(self.target_names)}"
        )

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

    def scaled_to(self, data: AlloyDataset) -> Self:
        """The same spec, with a prior scaled to the labels for each number that declares none.

        `fit` does this before it trains.
        """
        priors = with_priors_of_data(self.targets, data)
        if not priors:
            return self
        return self.with_(**{f"targets__{name}__prior": prior for name, prior in priors.items()})

    @classmethod
    def for_data(
        cls,
        data: AlloyDataset,
        targets: Sequence[str] | None = None,
        *,
        verbose: bool = True,
        **changes: Any,
    ) -> Self:
        """A spec for every measured column of a dataset.

        Kinds, units, transforms, priors and conditions are inferred; see
        `pyro_hea.spec.inferred.infer_targets` for the rules. Heads of numbers learn by distillation
        where one has fewer than a hundred labels.

        Parameters
        ----------
        data : AlloyDataset
        targets : sequence of str, optional
            Columns to use; all by default.
        verbose : bool
            Print what each column is used as, with unit and prior, or why it is ignored.
        **changes
            Other values, as `with_` takes them.

        Raises
        ------
        DataError
            Where no column, or one that is asked for, can be a target.
        SpecError
            For a change that is no key of the spec.

        Warns
        -----
        FewLabelsWarning
            Counting the labels of targets that have too few.

        Examples
        --------
        >>> from pyro_hea import load_alloys
        >>> spec = ModelSpec.for_data(load_alloys(), ["hardness"], verbose=False)
        >>> spec.target("hardness").unit, spec.target("hardness").transform
        ('HV', 'log')
        """
        inferred = infer_targets(data, targets)
        spec = cls(targets=inferred.targets)
        if has_few_numbers(spec.targets, data):
            spec = spec.with_(training__distillation__numbers=True)
        spec = spec.with_(**changes)
        if verbose:
            print(inferred)
        warn_of_few_labels(spec.targets, data)
        return spec


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
        The network of each target's guide, from features to the target. It has no dropout where
        it learns by distillation.
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
    def _check_features_of_priors(cls, features: Features, info: Any) -> Features:
        for target in info.data.get("targets", ()):
            if not isinstance(target.prior, Rule | Logistic):
                continue
            for name in target.prior.features:
                if name not in features.columns:
                    raise ValueError(
                        f"the prior of '{target.name}' reads '{name}', which is not among the "
                        f"features.{nearest(name, features.columns)} Add it to features.names"
                    )
        return features


def _check_only(target: Categorical, by_name: dict[str, Target]) -> None:
    for parent, values in target.only.items():
        declared = by_name[parent]
        if declared.kind == "continuous":
            raise ValueError(f"'{target.name}': only: '{parent}' is a number and has no classes")
        unknown = [value for value in values if value not in declared.classes]
        if unknown or len(values) < len(declared.classes):
            hint = nearest(unknown[0], declared.classes) if unknown else ""
            raise ValueError(
                f"'{target.name}': only: {parent}: say what is possible for each of "
                f"{', '.join(declared.classes)}, and for nothing else.{hint}"
            )


def _endings_of_sites(target: Target) -> tuple[str, ...]:
    """Endings of the sites of an expert's coefficients."""
    prior = target.prior
    return (*prior.features, "intercept") if isinstance(prior, Logistic) else ()
