"""Named arrays as ArviZ InferenceData; knows neither torch nor pyro."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import arviz as az

Arrays = Mapping[str, np.ndarray]

OF_ALLOYS = {
    "composition": ["alloy", "element"],
    "z": ["alloy", "latent"],
    "features": ["alloy", "feature"],
}
"""Dimensions of the sites of given alloys after `chain` and `draw`."""


def to_inference_data(
    drawn: Mapping[str, Arrays],
    *,
    observed: Arrays,
    constant: Arrays,
    dims: Mapping[str, list[str]],
    default_dims: list[str],
    coords: Mapping[str, list[str]],
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
    attributes : mapping
        Of every group: what the draws are.

    Returns
    -------
    InferenceData
    """
    import arviz as az

    def dataset(group: str, sites: Arrays, **options: Any) -> Any:
        named = {} if group == "log_likelihood" else dims  # of an alloy, not of its elements
        with warnings.catch_warnings():  # few draws of many members are no mistake
            warnings.filterwarnings("ignore", "More chains")
            made = az.dict_to_dataset(
                dict(sites),
                coords=dict(coords),
                dims={name: named.get(name, default_dims) for name in sites},
                attrs=dict(attributes),
                **options,
            )
        made.attrs.pop("created_at", None)  # the same seed gives the same file
        return made

    groups = {group: dataset(group, sites) for group, sites in drawn.items()}
    for group, sites in (("observed_data", observed), ("constant_data", constant)):
        if sites:
            groups[group] = dataset(group, sites, default_dims=[])
    return az.InferenceData(**groups)
