"""The alloys that come with the package."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from functools import reduce
from importlib.resources import files
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, listing, nearest
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset.table import AlloyDataset

PUBLISHED_SOURCE = "zeng2024"
"""The reports that the published model was trained and tested on."""

TRUSTED_SOURCES = (
    "zeng2024",
    "borg2020",
    "ideaslab_hardness",
    "ideaslab_phase",
    "metallor_rhea",
    "wen2019",
    "liu_rhea",
)
"""Sources that `load_alloys` reads by default; the datasheet says why these."""

FILM_SOURCES = ("kube2019_films", "ren2020_films")
"""Maps of sputtered films, whose phases are not those of cast alloys."""

OTHER_SOURCES = ("bajpai_strength", *FILM_SOURCES)
"""Sources that are read only when they are named."""


def load_alloys(sources: str | Sequence[str] | None = None) -> AlloyDataset:
    """Load the embedded experimental alloys.

    Parameters
    ----------
    sources : str or sequence of str, optional
        Whose reports are read. By default all that the library trusts, `TRUSTED_SOURCES`: phases,
        hardness, strength and more, with the conditions of their tests. `"zeng2024"` is the
        published table of arXiv:2409.06740 (single phase or not), on which all protocols run;
        `"borg2020"` has phases and mechanical properties. Read by name only: `"bajpai_strength"`
        (yield strength after rolling and annealing), `"kube2019_films"` and `"ren2020_films"`
        (phases of sputtered films).

    Returns
    -------
    AlloyDataset
        The alloys that those sources report on.

    Raises
    ------
    DataError
        For a source that is not embedded.

    Examples
    --------
    >>> load_alloys("zeng2024")
    AlloyDataset(1368 alloys of 30 elements; single_phase: 1365 labelled)
    """
    wanted = [sources] if isinstance(sources, str) else list(sources or TRUSTED_SOURCES)
    known = (*TRUSTED_SOURCES, *OTHER_SOURCES)
    for source in wanted:
        if source not in known:
            raise DataError(
                f"there is no source '{source}'.{nearest(source, known)} Allowed: {listing(known)}"
            )
    bulk = [source for source in wanted if source not in FILM_SOURCES]
    parts = [_load_reports(bulk)] if bulk else []
    parts += [_load_films(source) for source in wanted if source in FILM_SOURCES]
    return reduce(add, parts)


def _load_reports(sources: Sequence[str]) -> AlloyDataset:
    reports = _read("reports.csv", dtype={"value": str})
    reports = reports[reports["source"].isin(sources)]
    numbers = pd.to_numeric(reports["value"], errors="coerce")
    reports = reports.assign(value=numbers.astype(object).where(numbers.notna(), reports["value"]))
    reports = reports.dropna(subset="value").reset_index(drop=True)
    alloys = _read("alloys.csv").set_index("formula")
    formulas = alloys.index[alloys.index.isin(reports["formula"])]
    return AlloyDataset.from_reports(
        fraction_table(formulas),
        reports,
        list(dict.fromkeys(reports["target"])),
        alloys["published_split"],
        expected_conflicts=len(alloys),  # the datasheet says which they are
    )


def _load_films(source: str) -> AlloyDataset:
    films = _read("films.csv.xz")
    films = films[films["source"] == source].merge(_read("phases.csv"), on="phases", how="left")
    reports = films.assign(reported_formula=films["formula"], processing="SPUTTERED", unit=np.nan)
    reports = reports.melt(
        ["formula", "unit", "source", "reported_formula", "processing", "phases"],
        ["single_phase", "phase"],
        "target",
    ).dropna(subset="value")
    fractions = fraction_table(films["formula"].drop_duplicates())
    return AlloyDataset.from_reports(
        fractions, reports.reset_index(drop=True), ["single_phase", "phase"], None, len(films)
    )


def _read(name: str, **options: Any) -> pd.DataFrame:
    path = files("pyro_hea.data").joinpath(name)
    with path.open("rb") as file:
        return pd.read_csv(lzma.open(file) if name.endswith(".xz") else file, **options)
