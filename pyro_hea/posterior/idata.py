"""Named arrays as ArviZ InferenceData; knows neither torch nor pyro.

ArviZ 0.2x holds its groups in an `InferenceData`, ArviZ 1.0 and later in an `xarray.DataTree`;
both are made from the same datasets and plotted by the same calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    import arviz as az
    import xarray as xr

Arrays = Mapping[str, np.ndarray]

ALLOY_DIMS = {
    "composition": ["alloy", "element"],
    "z": ["alloy", "latent"],
    "features": ["alloy", "feature"],
    "k_hat": ["chain", "alloy"],
    "n_steps": ["alloy"],
    "step_size": ["alloy"],
}
"""Dimensions of the sites of given alloys after `chain` and `draw`."""

_DATA = ("observed_data", "constant_data")


def to_inference_data(
    drawn: Mapping[str, Arrays],
    *,
    observed: Arrays,
    constant: Arrays,
    dims: Mapping[str, list[str]],
    default_dims: list[str],
    coords: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> az.InferenceData:
    """Gather draws and data with named dimensions.

    Parameters
    ----------
    drawn : mapping of group to mapping of site to array of shape (chain, draw, ...)
    observed, constant : mapping of site to array of shape (alloy, ...)
    dims : mapping of site to dimensions
        After `chain` and `draw`.
    default_dims : list of str
        Of a site that `dims` does not name, and of every site's log likelihood.
    coords : mapping of dimension to labels
        A single number is a coordinate without a dimension.
    attributes : mapping
        Of every group: what the draws are.

    Returns
    -------
    InferenceData
        With ArviZ 1.0 or later an `xarray.DataTree` of the same groups.
    """
    groups: dict[str, Any] = {}
    for group, sites in (*drawn.items(), *zip(_DATA, (observed, constant), strict=True)):
        named = {} if group == "log_likelihood" else dims  # of an alloy, not of its elements
        unnamed = [] if group == "sample_stats" else default_dims  # of a draw of all alloys
        leading = () if group in _DATA else ("chain", "draw")
        arrays = {
            name: ((*leading, *named.get(name, unnamed)), np.asarray(array))
            for name, array in sites.items()
        }
        if arrays:
            groups[group] = _dataset(arrays, coords, attributes)
    return cast("az.InferenceData", gathered(groups))


def gathered(groups: dict[str, Any]) -> Any:
    """Datasets as the groups of what the installed ArviZ plots."""
    import arviz as az

    if container := vars(az).get("InferenceData"):  # ArviZ 1 has a warning by that name
        return container(**groups)
    import xarray as xr

    return xr.DataTree.from_dict(groups)


def _dataset(
    arrays: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    coords: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    import xarray as xr

    sizes = {d: n for names, a in arrays.values() for d, n in zip(names, a.shape, strict=True)}
    labels: dict[str, Any] = {d: np.arange(sizes[d]) for d in ("chain", "draw") if d in sizes}
    labels |= {d: v for d, v in coords.items() if d in sizes or np.ndim(v) == 0}
    used = {"inference_library": "pyro", **attributes}
    return xr.Dataset(dict(arrays), labels, used)
