"""The manifest of a saved model, and what has to hold between it, the spec and the tensors."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pyro_hea.errors import CheckpointError, FormulaError
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.dataset import references
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.posterior.former_models import with_both_tails
from pyro_hea.spec import Continuous, ModelSpec
from pyro_hea.spec.declaration import Declaration, Positive, spec_error

_TOLERANCE = 2e-5
"""Between the fractions of a training alloy and those that its formula stands for."""

_SLACK = 10**6
"""Numbers that building a model may take beyond those of its weights, such as draws of priors."""

Names = tuple[str, ...]


class Manifest(Declaration):
    """What the manifest of a saved model declares beside the hashes.

    Attributes
    ----------
    spec : dict
        As `ModelSpec.to_mapping` makes it.
    elements, features : tuple of str
        Columns of a composition, and of the features.
    classes : dict of target to tuple of str
    label_scales : dict of target to (float, float)
        Mean and standard deviation of a number's labels.
    condition_scales : dict of target to tuple of float
    condition_ranges : dict of target to tuple of (float, float)
        Lowest and highest value at which a target was measured.
    sources : dict of target to tuple of str
        Of reports.
    alloys : int
        Training alloys.
    tables_sha256 : str
        Of the element and pair tables.
    seed : int
    versions : dict of str
        Of the packages that wrote the model.
    known : tuple of str
        Formulas of the training alloys.
    """

    spec: dict[str, Any]
    elements: Annotated[Names, Field(min_length=1)]
    features: Names
    classes: dict[str, Names]
    label_scales: dict[str, tuple[float, Positive]]
    condition_scales: dict[str, tuple[Positive, ...]]
    condition_ranges: dict[str, tuple[tuple[float, float], ...]] = Field(default_factory=dict)
    sources: dict[str, Annotated[Names, Field(min_length=1)]]
    alloys: int = Field(ge=1)
    tables_sha256: str
    seed: int
    versions: dict[str, str]
    known: Annotated[Names, Field(min_length=1)]


def check_manifest(manifest: Manifest, spec: ModelSpec) -> None:
    """Refuse what the declared types leave possible and the spec does not."""
    numbers = {t.name: t for t in spec.targets if isinstance(t, Continuous)}
    reported = {t.name for t in spec.targets if getattr(t, "reports", None) is not None}
    conditions = {t.name: len(references(t.conditions)) for t in spec.targets if t.conditions}
    given = {name: len(s) for name, s in manifest.condition_scales.items() if s}
    table = load_tables(spec.features.tables).elements
    for what, fits in {
        "classes": manifest.classes == {n: tuple(c) for n, c in classes_of(spec).items()},
        "label_scales": manifest.label_scales.keys() == numbers.keys(),
        "condition_scales": given == conditions
        and manifest.condition_scales.keys() <= set(spec.target_names),
        "condition_ranges": all(
            len(ranges) == conditions.get(name, 0) and all(low <= high for low, high in ranges)
            for name, ranges in manifest.condition_ranges.items()
        ),
        "sources": manifest.sources.keys() == reported
        and all(len(set(s)) == len(s) for s in manifest.sources.values()),
        "elements": set(manifest.elements) <= set(table)
        and len(set(manifest.elements)) == len(manifest.elements),
    }.items():
        if not fits:
            raise ValueError(f"{what} are not those of the spec, or stand twice")


def check_tensor(
    name: str, value: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """Refuse a tensor that is missing, of another shape or type, or not finite."""
    if value is None:
        raise ValueError(f"there is no tensor '{name}'")
    if value.dtype != dtype or tuple(value.shape) != shape:
        raise ValueError(
            f"'{name}' is {value.dtype} of shape {tuple(value.shape)}; by the spec it is {dtype} "
            f"of shape {shape}"
        )
    if not value.isfinite().all():
        raise ValueError(f"'{name}' is not finite")


def load_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], others: Collection[str] = ()
) -> None:
    """Give a model its saved weights; `others` are tensors that are none.

    Raises
    ------
    ValueError
        For a tensor that is missing, has no place, is not finite, or of another shape or type.
    """
    tensors = with_both_tails(tensors)
    now = {f"weights.{name}": value for name, value in model.state_dict().items()}
    for name, value in now.items():
        check_tensor(name, tensors.get(name), tuple(value.shape), value.dtype)
    if extra := tensors.keys() - set(others) - now.keys():
        raise ValueError(f"there is no place for {', '.join(sorted(extra)[:5])} in the model")
    model.load_state_dict({name.removeprefix("weights."): tensors[name] for name in now})


@contextmanager
def manifest_errors(
    directory: str | Path, name: str, declared: type[Declaration], content: dict[str, Any]
) -> Iterator[str]:
    """Give the place of a manifest; errors within say that the model does not fit it.

    Raises
    ------
    CheckpointError
    """
    where = f"{directory}/{name}.json"
    try:
        yield where
    except ValidationError as error:
        raise CheckpointError(str(spec_error(error, where, declared, content))) from None
    except CheckpointError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,  # of torch, and of recursion
        MemoryError,
    ) as error:
        raise CheckpointError(f"'{directory}' does not fit its manifest: {error}") from error


class AllocationLimit(TorchFunctionMode):
    """While a model of a declared size is made: refuse sizes that its saved weights do not have.

    Parameters
    ----------
    weights : int
        Numbers in the saved weights.
    """

    def __init__(self, weights: int) -> None:
        super().__init__()
        self._left = 2 * weights + _SLACK

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.empty, torch.zeros, torch.ones, torch.randn, torch.full):
            sizes = args[:1] if isinstance(args[0], tuple | list | torch.Size) else args
            sizes = sizes[0] if sizes and not isinstance(sizes[0], int) else sizes
            self._left -= math.prod(size for size in sizes if isinstance(size, int))
            if self._left < 0:
                raise ValueError("the spec declares a larger model than the weights are of")
        return func(*args, **(kwargs or {}))


def classes_of(spec: ModelSpec) -> dict[str, list[str]]:
    """Classes by target, for targets that are no numbers."""
    return {t.name: list(t.classes) for t in spec.targets if not isinstance(t, Continuous)}


def stands_for(name: Any, row: Mapping[Any, float]) -> bool:
    """Whether a name is a formula of the fractions."""
    try:
        fractions = parse_composition(name)
    except (FormulaError, TypeError):
        return False
    return fractions.keys() <= row.keys() and all(
        abs(fractions.get(element, 0.0) - fraction) <= _TOLERANCE
        for element, fraction in row.items()
    )
