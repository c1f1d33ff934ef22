"""Named arrays as ArviZ holds them, in memory and in a file; knows neither torch nor pyro.

ArviZ 0.2x holds its groups in an `InferenceData`, ArviZ 1.0 and later in an `xarray.DataTree`.
Both are made from the same datasets here, and written to the same NetCDF file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pyro_hea.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

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

_OF_DATA = ("observed_data", "posterior_predictive", "prior_predictive", "log_likelihood")


def to_inference_data(
    drawn: Mapping[str, Arrays],
    *,
    observed: Arrays,
    constant: Arrays,
    dims: Mapping[str, list[str]],
    data_dims: Mapping[str, list[str]] | None = None,
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
    data_dims : mapping of site to dimensions, optional
        The same in the groups of observed data, predictive draws and log likelihoods, where they
        differ from `dims`.
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
        named = {} if group == "log_likelihood" else dict(dims)  # of alloys, not of elements
        if group in _OF_DATA:
            named |= data_dims or {}
        unnamed = [] if group == "sample_stats" else default_dims  # of a draw of all alloys
        leading = () if group in _DATA else ("chain", "draw")
        arrays = {
            name: ((*leading, *named.get(name, unnamed)), np.asarray(array))
            for name, array in sites.items()
        }
        if arrays:
            groups[group] = _dataset(arrays, coords, attributes)
    return as_inference_data(groups)


def as_inference_data(groups: Mapping[str, xr.Dataset]) -> az.InferenceData:
    """Datasets by group as the installed ArviZ holds them."""
    if container := vars(load_arviz()).get("InferenceData"):  # ArviZ 1 has a warning by that name
        return cast("az.InferenceData", container(**groups))
    import xarray as xr

    return cast("az.InferenceData", xr.DataTree.from_dict(groups))


def groups_of(idata: az.InferenceData) -> dict[str, xr.Dataset]:
    """Datasets by group, whichever ArviZ holds them.

    Examples
    --------
    >>> draws = {"posterior": {"z": np.zeros((2, 3))}}
    >>> empty = {"dims": {}, "default_dims": [], "coords": {}, "attributes": {}}
    >>> list(groups_of(to_inference_data(draws, observed={}, constant={}, **empty)))
    ['posterior']
    """
    tree: Any = idata
    names = tree.groups() if callable(tree.groups) else tree.children
    groups = {name: tree[name] for name in names}
    return {n: g.to_dataset() if hasattr(g, "to_dataset") else g for n, g in groups.items()}


def write_netcdf(idata: az.InferenceData, path: str | Path) -> None:
    """Write a compressed NetCDF file that any ArviZ reads by `from_netcdf`.

    The file is whole or not there; see `pyro_hea.files.replacing`.
    """
    import xarray as xr

    groups = groups_of(idata)
    numbers = {
        g: [n for n, v in d.data_vars.items() if v.dtype.kind in "bif"] for g, d in groups.items()
    }
    encoding = {f"/{g}": {str(n): {"zlib": True} for n in names} for g, names in numbers.items()}
    with replacing(path) as part:
        xr.DataTree.from_dict(groups).to_netcdf(part, engine="h5netcdf", encoding=encoding)


def load_arviz() -> Any:
    """Import ArviZ without its notice of a new major version, and without a writable home.

    ArviZ 0.2x gives the notice once a day, and notes the day in the user's cache.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            import arviz
        except OSError:
            with _temporary_cache():
                import arviz
    return arviz


@contextmanager
def _temporary_cache() -> Iterator[None]:
    """Let the user's cache be a temporary folder."""
    former = os.environ.get("XDG_CACHE_HOME")
    with TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if former is not None:
                os.environ["XDG_CACHE_HOME"] = former


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
