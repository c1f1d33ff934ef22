"""Several models beside each other, by what they say of alloys that they were not trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pyro_hea.plots._labels import label_width, readable
from pyro_hea.plots._style import (
    BLUE,
    REFERENCE,
    VERMILION,
    Panels,
    house_style,
    new_panels,
    require_columns,
)


def comparison_panels(table: pd.DataFrame) -> Panels:
    """Draw how far each spec is below the best, one panel for each thing that is predicted.

    Parameters
    ----------
    table : DataFrame
        As `compare_specs` gives it: by `about` and `spec` the columns of `az.compare`.

    Returns
    -------
    Panels
        In each the difference of the log predictive densities to the best spec, with its standard
        error over the same alloys (bars); the best is the diamond at 0.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product([["composition"], ["a", "b"]], names=["about", "spec"])
    >>> table = pd.DataFrame({"elpd_diff": [0.0, 8.0], "dse": [0.0, 3.0]}, index)
    >>> [panel.get_title() for panel in comparison_panels(table)]
    ['composition']
    """
    require_columns(table, ("elpd_diff", "dse"))
    about = list(dict.fromkeys(table.index.get_level_values("about")))
    specs = list(dict.fromkeys(table.index.get_level_values("spec")))
    with house_style():
        width = 0.8 + label_width(map(str, specs)) + 2.7 * len(about)
        panels = new_panels((width, 1.3 + 0.34 * len(specs)), columns=len(about), sharey=True)
        for panel, name in zip(panels, about, strict=True):
            rows = table.loc[name]
            at = np.array([specs.index(spec) for spec in rows.index])
            below, error = -rows["elpd_diff"].to_numpy(float), rows["dse"].to_numpy(float)
            best = below == below.max()
            panel.axvline(0, **REFERENCE)
            panel.errorbar(
                below[~best], at[~best], xerr=error[~best], fmt="o", color=BLUE, capsize=3
            )
            panel.plot(below[best], at[best], "D", color=VERMILION)
            panel.set_xlabel("log predictive density,\nless the best's (nats, all alloys)")
            panel.set_title(readable(str(name)))
        panels[0].set_yticks(range(len(specs)), [readable(str(spec)) for spec in specs])
        panels[0].set_ylim(len(specs) - 0.5, -0.5)
    return panels
