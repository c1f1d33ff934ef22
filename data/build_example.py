"""Write the example spreadsheet of the tutorial `09_your_alloys` from the packaged reports.

    python data/build_example.py

Sixty refractory alloys of three elements or more with their Vickers hardness and yield strength at
room temperature, as medians over the reports of `borg2020` (Borg et al., 2020, Apache-2.0), named
as a laboratory would name its columns.
"""

from pathlib import Path

import pandas as pd

from pyro_hea import load_alloys

ELEMENTS = {"Al", "Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr"}
WHERE = Path(__file__).parents[1] / "notebooks" / "sixty_alloys.xlsx"


def example() -> pd.DataFrame:
    """The sixty alloys with the most reports, in alphabetical order."""
    alloys = load_alloys("borg2020")
    present = alloys.fractions > 0
    refractory = ~present.drop(columns=[*ELEMENTS]).any(axis=1) & (present.sum(axis=1) >= 3)
    measured = alloys.labels[["hardness", "yield_strength"]].notna()
    wanted = alloys.fractions.index[refractory & measured.any(axis=1)]
    count = alloys.reports["formula"].value_counts()
    both = measured.loc[wanted].all(axis=1)
    order = pd.DataFrame({"both": both, "count": count.reindex(wanted)}, index=wanted)
    chosen = sorted(order.sort_values(["both", "count"], ascending=False).index[:60])
    labels = alloys.labels.loc[chosen]
    return pd.DataFrame(
        {
            "Sample": [f"R{i:02d}" for i in range(1, len(chosen) + 1)],
            "Alloy": chosen,
            "HV": labels["hardness"].to_numpy().round(0),
            "Yield strength (MPa)": labels["yield_strength"].to_numpy().round(0),
            "Remark": "as reported",
        }
    )


if __name__ == "__main__":
    example().to_excel(WHERE, index=False)
