"""A spec with some settings varied, every combination compared on the same folds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_hea.errors import DataError
from pyro_hea.evaluate.spec_comparison import SpecComparison, compare_specs

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec


def sweep(
    spec: ModelSpec,
    settings: Mapping[str, Sequence[Any]],
    data: AlloyDataset,
    **options: Any,
) -> SpecComparison:
    """Compare every combination of settings of a spec by what it says of held-out alloys.

    Parameters
    ----------
    spec : ModelSpec
        With all other settings.
    settings : mapping of str to sequence
        Values by setting, as `ModelSpec.with_` names them: ``{"latent__dim": [4, 8]}``.
    data : AlloyDataset
    **options
        Of `compare_specs`: `folds`, `seed`, `compositions`, `device`, `progress`, `executor`.

    Returns
    -------
    SpecComparison
        Each spec by its settings, as "latent__dim=4, training__members=8".

    Raises
    ------
    DataError
        For less than two combinations, or where a setting has no values.
    SpecError
        For a setting that there is not, or one under which compositions cannot be compared.

    Examples
    --------
    .. code-block:: python

        found = sweep(ModelSpec(), {"latent__dim": [4, 8]}, load_alloys(), executor=executor)
        found.table
    """
    return compare_specs(combinations(spec, settings), data, **options)


def combinations(spec: ModelSpec, settings: Mapping[str, Sequence[Any]]) -> dict[str, ModelSpec]:
    """The specs of a sweep by name.

    Examples
    --------
    >>> from pyro_hea import ModelSpec
    >>> found = combinations(ModelSpec(), {"latent__dim": [4, 8]})
    >>> {name: each.latent.dim for name, each in found.items()}
    {'latent__dim=4': 4, 'latent__dim=8': 8}
    """
    for name, values in settings.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise DataError(
                f"'{name}' has the values {values!r}; give a list with at least one, as in "
                "{'latent__dim': [4, 8]}"
            )
    specs = {}
    for values in itertools.product(*settings.values()):
        changes = dict(zip(settings, values, strict=True))
        specs[", ".join(f"{n}={v}" for n, v in changes.items())] = spec.with_(**changes)
    return specs
