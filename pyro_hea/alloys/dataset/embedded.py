"""The alloys that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import pandas as pd

from pyro_hea.alloys.composition import fraction_table
from pyro_hea.alloys.dataset.table import AlloyDataset
from pyro_hea.errors import DataError, nearest

PUBLISHED_SOURCE = "zeng2024"
"""The reports that the published model was trained and tested on."""


def load_alloys(sources: str | Sequence[str] | None = None) -> AlloyDataset:
    """Load the embedded experimental alloys.

    Parameters
    ----------
    sources : str or sequence of str, optional
        Whose reports are read: `"zeng2024"` (single phase or not, the alloys of
        arXiv:2409.06740), `"borg2020"` (phases and mechanical properties). All by default.

    Returns
    -------
    AlloyDataset
        The alloys that those sources report on.

    Raises
    ------
    DataError
        For a source that is not embedded.
    """
    folder = files("pyro_hea.data")
    with (folder / "reports.csv").open(encoding="utf-8") as file:
        reports = pd.read_csv(file, dtype={"value": str})
    with (folder / "alloys.csv").open(encoding="utf-8") as file:
        alloys = pd.read_csv(file).set_index("formula")
    known = list(dict.fromkeys(reports["source"]))
    sources = [sources] if isinstance(sources, str) else sources
    for source in known if sources is None else sources:
        if source not in known:
            raise DataError(
                f"there is no source '{source}'.{nearest(source, known)} Allowed: "
                f"{', '.join(known)}"
            )
    if sources is not None:
        reports = reports[reports["source"].isin(sources)]
    numbers = pd.to_numeric(reports["value"], errors="coerce")
    reports = reports.assign(value=numbers.astype(object).where(numbers.notna(), reports["value"]))
    reports = reports.dropna(subset="value").reset_index(drop=True)
    formulas = alloys.index[alloys.index.isin(reports["formula"])]
    targets = list(dict.fromkeys(reports["target"]))
    return AlloyDataset.from_reports(
        fraction_table(formulas),
        reports,
        targets,
        alloys["published_split"],
        expected_conflicts=len(alloys),  # the datasheet says which they are
    )
