"""Build the packaged tables from the raw facts, pymatgen and matminer, and check them.

``--check`` compares instead of writing::

    python data/build.py [--facts ../shared/facts] [--check]

What each table holds, where it comes from and what is known to be wrong in it stands in the
datasheet, README.md. matminer is needed here only, for its copy of the pair table.
"""

from __future__ import annotations

import argparse
import lzma
import sys
import warnings
from collections import Counter
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core.periodic_table import Element
from pyro_hea.data.build_more import (
    CONDITIONS,
    MORE_SOURCES,
    film_table,
    formulas_near,
    indicator_table,
    more_reports,
)

from pyro_hea.materials.alloys.composition import format_formula, fraction_table
from pyro_hea.materials.alloys.dataset.gathering import at_room_temperature

HERE = Path(__file__).resolve().parent
FACTS = HERE.parents[1] / "shared" / "facts"

TOLERANCE = 5e-4
"""Total variation up to which two compositions are one alloy.

Half a unit in the third decimal: the mechanical records are normalised to a largest amount of 1
and rounded there, which moves ``Co1.5CrFeNi1.5Ti`` by 1.25e-4. The nearest pair that is left apart
differs by 6.6e-4, the furthest that is one alloy by 4.2e-4 (0.348 and 0.35 of aluminium).
"""

SPLIT_PRIORITY = ("test", "validation", "labelled", "unlabelled")
SPLIT_ORDER = ("labelled", "unlabelled", "validation", "test")

PHASE_OF = {
    "FCC": ("fcc", ""),
    "BCC": ("bcc", ""),
    "HCP": ("hcp", ""),
    "B2": ("bcc", "ordered bcc"),
    "L12": ("fcc", "ordered fcc"),
}
"""Phase and note of a list that names one phase; any longer list is several phases."""

UNLABELLED = {
    "Other": "phase not named",
    "Im": "intermetallic alone, no solid solution",
    "IM": "intermetallic alone, no solid solution",
    "AM": "amorphous, no crystal",
}
"""Lists of phases that give no label, with the reason."""

MEASURED = {
    "hardness": ("hardness_HV", "HV", (10, 2000)),
    "yield_strength": ("yield_strength_MPa", "MPa", (1, 10000)),
    "ultimate_strength": ("ultimate_strength_MPa", "MPa", (1, 10000)),
    "elongation": ("elongation_pct", "%", (0, 200)),
    "young_modulus": ("young_modulus_GPa", "GPa", (1, 1000)),
    "density": ("density_g_cm3", "g/cm3", (0.5, 25)),
}
"""Column of the raw records, unit and possible range of each measured target."""

FILLED: dict[str, dict[str, float]] = {
    # Kittel, Introduction to Solid State Physics, 8th ed., table 3.3 (H at 4 K, N at 20 K);
    # Zr and Os as published with arXiv:2409.06740.
    "bulk_modulus_GPa": {
        "H": 0.2,
        "N": 1.2,
        "Ga": 56.9,
        "Ge": 77.2,
        "Sr": 11.6,
        "Tc": 297.0,
        "In": 41.1,
        "Zr": 91.0,
        "Os": 373.0,
    },
    # Atomic mass over the molar volume of the same table; pymatgen has no solid density.
    "density_g_cm3": {"H": 0.088, "N": 1.034, "Hg": 14.24},
}
"""What pymatgen does not know."""

PUBLISHED_VEC = "valence_electron_concentration"


def pair_table() -> pd.DataFrame:
    """Mixing enthalpies of Takeuchi and Inoue, for the elements of which no pair is missing."""
    path = files("matminer") / "utils" / "data_files" / "MiedemaLiquidDeltaHf.tsv"
    raw = pd.read_csv(str(path), sep=r"\s+", keep_default_na=False)
    values = {frozenset((a, b)): value for a, b, value in raw.itertuples(index=False)}
    elements = {*raw["elem_A"], *raw["elem_B"]}
    while gaps := Counter(
        element
        for pair in combinations(elements, 2)
        if frozenset(pair) not in values
        for element in pair
    ):
        most = max(gaps.values())
        elements -= {element for element, count in gaps.items() if count == most}
    rows = [(a, b, values[frozenset((a, b))]) for a, b in combinations(sorted(elements), 2)]
    return pd.DataFrame(rows, columns=["element_a", "element_b", "mixing_enthalpy_kJ_mol"])


def element_table(elements: list[str]) -> pd.DataFrame:
    """Properties of the elements from pymatgen, its gaps filled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one for each gap; they are filled below
        rows = [_element_row(Element(symbol)) for symbol in elements]
    table = pd.DataFrame(rows, index=pd.Index(elements, name="element"))
    for column, filled in FILLED.items():
        known = table.loc[list(filled), column]
        assert known.isna().all(), f"pymatgen knows {column} of {list(known.dropna().index)} now"
        table[column] = table[column].fillna(pd.Series(filled))
    return table.reset_index()


def _element_row(element: Element) -> dict[str, float | int | None]:
    def number(value: float | None, scale: float = 1) -> float | None:
        return None if value is None else round(float(value) * scale, 6)

    return {
        "melting_temperature_K": number(element.melting_point),
        "molar_volume_cm3_mol": number(element.molar_volume),
        "bulk_modulus_GPa": number(element.bulk_modulus),
        "atomic_radius_pm": number(element.atomic_radius, 100),
        "electronegativity_pauling": number(element.X),
        "valence_electron_concentration": valence_electrons(element),
        "density_g_cm3": number(element.density_of_solid, 1e-3),
        "atomic_mass_g_mol": number(element.atomic_mass),
    }


def valence_electrons(element: Element) -> int:
    """Electrons outside the closed shells, d electrons included; 3 for each lanthanide."""
    return element.group - 10 if element.block == "p" else element.group


def published_tables(facts: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Element and pair tables behind the published features, as they are."""
    elements = pd.read_csv(facts / "elements.csv").sort_values("element")
    pairs = pd.read_csv(facts / "mixing_enthalpies.csv").sort_values(["element_a", "element_b"])
    return elements.drop(columns=PUBLISHED_VEC), pairs


def phase_table(spellings: list[str]) -> pd.DataFrame:
    """What each spelling of a phase list means."""
    rows: list[tuple[str, str | None, int | None, str]] = []
    for phases in sorted(spellings):
        if phases in UNLABELLED:
            rows.append((phases, None, None, UNLABELLED[phases]))
        elif phases in PHASE_OF:
            rows.append((phases, PHASE_OF[phases][0], 1, PHASE_OF[phases][1]))
        else:
            note = "with a second set of precipitates" if "Sec." in phases else ""
            rows.append((phases, "several", 0, note))
    table = pd.DataFrame(rows, columns=["phases", "phase", "single_phase", "note"])
    return table.astype({"single_phase": "Int64"})


def canonical_formulas(spellings: list[str]) -> pd.Series:
    """Formula of the alloy that each spelling stands for.

    Of the spellings of one alloy the shortest canonical one is taken: rounding makes long ones
    (``CoCr0.667Fe0.667NiTi0.667`` is ``Co1.49925CrFeNi1.49925Ti``, not ``Co1.5CrFeNi1.5Ti``).

    Raises
    ------
    ValueError
        If closeness is no equivalence, so that which compositions are one alloy is a matter of
        taste.
    """
    fractions = fraction_table(spellings).to_numpy()
    close = np.array([np.abs(fractions - row).sum(axis=1) / 2 <= TOLERANCE for row in fractions])
    group = close.argmax(axis=1)
    if not (close == (group[:, None] == group)).all():
        raise ValueError("near-duplicate compositions form a chain; choose another TOLERANCE")
    canonical = pd.Series([format_formula(spelling) for spelling in spellings], index=spellings)
    return canonical.groupby(group).transform(lambda same: min(same, key=lambda f: (len(f), f)))


def zeng_reports(facts: Path) -> pd.DataFrame:
    """One row per phase report of the published set."""
    raw = pd.read_csv(facts / "phase_reports.csv")
    reports = raw.rename(columns={"formula": "reported_formula", "single_phase": "value"})
    return reports.assign(
        target="single_phase", source="zeng2024", doi="10.48550/arXiv.2409.06740", year=2024
    )


def borg_reports(facts: Path, phases: pd.DataFrame) -> pd.DataFrame:
    """One row per number or reading of the phases in the mechanical records."""
    raw = pd.read_csv(facts / "mechanical_records.csv").rename(
        columns={"formula": "reported_formula"}
    )
    raw = raw.merge(phases, on="phases", how="left", validate="many_to_one")
    raw["source"] = "borg2020"
    raw["doi"] = raw["doi"].str.strip()
    columns = {"phase": ("phase", ""), "single_phase": ("single_phase", "")}
    columns |= {target: (column, unit) for target, (column, unit, _) in MEASURED.items()}
    parts = [
        raw.assign(target=target, value=raw[column].astype(object), unit=unit)
        for target, (column, unit) in columns.items()
    ]
    return pd.concat(parts).dropna(subset="value").sort_index(kind="stable")  # by record


def report_table(facts: Path, phases: pd.DataFrame) -> pd.DataFrame:
    """All reports, each with the formula of its alloy."""
    reports = pd.concat([zeng_reports(facts), borg_reports(facts, phases)], ignore_index=True)
    formulas = canonical_formulas(list(reports["reported_formula"].unique()))
    reports["formula"] = reports["reported_formula"].map(formulas)
    more = more_reports(facts, phases)
    added = formulas_near(list(more["reported_formula"].unique()), formulas, TOLERANCE)
    more["formula"] = more["reported_formula"].map(added)
    reports = pd.concat([reports, more], ignore_index=True).astype({"year": "Int64"})
    return reports[
        [
            "formula",
            "target",
            "value",
            "unit",
            "source",
            "reported_formula",
            "published_split",
            "processing",
            "test_temperature_C",
            "test_type",
            *CONDITIONS,
            "doi",
            "year",
        ]
    ]


def alloy_table(reports: pd.DataFrame) -> pd.DataFrame:
    """One row per alloy, with the parts of the published split that it is in."""
    parts = reports.groupby("formula", sort=True)["published_split"].agg(set)
    elements = (fraction_table(list(parts.index)) > 0).sum(axis=1)
    return pd.DataFrame(
        {
            "formula": parts.index,
            "number_of_elements": elements.to_numpy(),
            "published_split": [next((p for p in SPLIT_PRIORITY if p in s), "") for s in parts],
            "published_straddles": [
                "+".join(seen) if len(seen := [p for p in SPLIT_ORDER if p in s]) > 1 else ""
                for s in parts
            ],
        }
    )


def build(facts: Path) -> dict[str, pd.DataFrame]:
    """Make every table, by file name.

    Parameters
    ----------
    facts : Path
        Folder of the raw facts.

    Returns
    -------
    dict of str to DataFrame
        Checked tables; see the datasheet for their columns.
    """
    pairs = pair_table()
    elements = element_table(sorted({*pairs["element_a"], *pairs["element_b"]}))
    elements_published, pairs_published = published_tables(facts)
    lists = ("mechanical_records.csv", "more_reports.csv", "film_phases.csv")
    spellings = pd.concat([pd.read_csv(facts / name)["phases"] for name in lists]).dropna().unique()
    phases = phase_table(list(spellings))
    reports = report_table(facts, phases)
    tables = {
        "elements.csv": elements,
        "elements_published.csv": elements_published,
        "pairs.csv": pairs,
        "pairs_published.csv": pairs_published,
        "alloys.csv": alloy_table(reports),
        "reports.csv": reports,
        "phases.csv": phases,
        "films.csv.xz": film_table(facts),
        "indicators.csv": indicator_table(facts),
    }
    check(tables, pd.read_csv(facts / "elements.csv"))
    return tables


def check(tables: dict[str, pd.DataFrame], raw_elements: pd.DataFrame) -> None:
    """Raise an AssertionError where the tables cannot be right."""
    for suffix in ("", "_published"):
        elements, pairs = tables[f"elements{suffix}.csv"], tables[f"pairs{suffix}.csv"]
        assert elements.notna().all(axis=None)
        assert pairs.notna().all(axis=None)
        assert elements["element"].is_unique
        assert (elements.set_index("element") > 0).all(axis=None)
        expected = list(combinations(elements["element"], 2))
        assert (
            list(pairs[["element_a", "element_b"]].itertuples(index=False, name=None)) == expected
        )

    ours = tables["elements.csv"].set_index("element")[PUBLISHED_VEC]
    theirs = raw_elements.set_index("element")[PUBLISHED_VEC]
    assert ours[theirs.index].equals(theirs), "valence electrons differ from the field's"

    alloys, reports = tables["alloys.csv"], tables["reports.csv"]
    assert alloys["formula"].is_unique
    assert set(alloys["formula"]) == set(reports["formula"])
    assert [format_formula(formula) for formula in alloys["formula"]] == list(alloys["formula"])
    given = fraction_table(reports["reported_formula"], list(tables["elements.csv"]["element"]))
    canonical = fraction_table(reports["formula"], list(given.columns))
    moved = np.abs(given.to_numpy() - canonical.to_numpy()).sum(axis=1) / 2
    assert moved.max() <= TOLERANCE + 1e-5, "a report is filed under another alloy"
    for target, (_, _, (low, high)) in MEASURED.items():
        values = reports.loc[reports["target"] == target, "value"].astype(float)
        assert values.between(low, high).all(), f"impossible {target}"


def summary(tables: dict[str, pd.DataFrame], facts: Path) -> str:
    """Say what the tables hold, and how far the sources agree."""
    alloys, reports = tables["alloys.csv"], tables["reports.csv"]
    records = pd.read_csv(facts / "mechanical_records.csv")
    zeng = reports[reports["source"] == "zeng2024"]
    labels = reports[reports["target"] == "single_phase"].astype({"value": int})
    first = labels[labels["source"].isin(["zeng2024", "borg2020"])]
    share = first.groupby(["formula", "source"])["value"].mean().unstack().dropna()
    decided = share[(share != 0.5).all(axis=1)]
    agree = ((decided > 0.5).nunique(axis=1) == 1).mean()
    conflicting = labels.groupby("formula")["value"].nunique() > 1
    conflicting_zeng = labels[labels["source"] == "zeng2024"].groupby("formula")["value"].nunique()
    lines = [
        f"{len(tables['elements.csv'])} elements, {len(tables['pairs.csv'])} pairs",
        f"{len(alloys)} alloys from {reports['reported_formula'].nunique()} spellings, "
        f"{len(reports)} reports",
        f"zeng2024: {len(zeng)} reports on {zeng['formula'].nunique()} alloys, "
        f"{(zeng.groupby('formula').size() > 1).sum()} of them reported twice, "
        f"{(conflicting_zeng > 1).sum()} with both labels, "
        f"{(alloys['published_straddles'] != '').sum()} straddling the published split",
        f"borg2020: {len(records)} records, {records.duplicated().sum()} of them exact repeats, "
        f"{(records['phases'] == 'Other').sum()} with an unnamed phase",
        f"{conflicting.sum()} alloys with both single-phase labels over all sources",
        *(agreement(reports, source) for source in MORE_SOURCES),
        f"{len(share)} alloys with labels of zeng2024 and borg2020; majorities agree for "
        f"{agree:.1%} of the {len(decided)} without a tie",
        "reports by target: "
        + ", ".join(f"{t} {n}" for t, n in reports["target"].value_counts().items()),
    ]
    return "\n".join(lines)


def agreement(reports: pd.DataFrame, source: str) -> str:
    """Say how far a source agrees with zeng2024 and borg2020, at room temperature."""
    rows = at_room_temperature(reports)
    ours, theirs = rows["source"] == source, rows["source"].isin(["zeng2024", "borg2020"])
    found = [f"{ours.sum()} reports"]
    for target in rows.loc[ours, "target"].unique():
        if target == "phase":
            continue
        one = rows[rows["target"] == target].astype({"value": float})
        groups = [one[mask[one.index]].groupby("formula")["value"] for mask in (ours, theirs)]
        if target == "single_phase":
            both = pd.concat([g.mean() for g in groups], axis=1).dropna()
            both = both[(both != 0.5).all(axis=1)]
            share = ((both.iloc[:, 0] > 0.5) == (both.iloc[:, 1] > 0.5)).mean()
            found.append(f"{target} as theirs for {share:.1%} of {len(both)}")
        else:
            both = pd.concat([g.median() for g in groups], axis=1).dropna()
            if both.empty:
                continue
            ratio = both.iloc[:, 0] / both.iloc[:, 1]
            found.append(
                f"{target} of {len(both)}: median ratio {ratio.median():.2f}, "
                f"{ratio.between(0.9, 1.1).mean():.0%} within 10 %"
            )
    return f"{source}: " + "; ".join(found)


def to_csv(table: pd.DataFrame) -> str:
    """Text of a table, the same on every platform."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def main(argv: list[str] | None = None) -> int:
    """Write the tables, or compare them with those that are there.

    Returns
    -------
    int
        Exit status: 1 if ``--check`` found a difference.
    """
    parser = argparse.ArgumentParser(description="Build the packaged tables.")
    parser.add_argument("--facts", type=Path, default=FACTS, help="folder of the raw facts")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the tables")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a table would change"
    )
    arguments = parser.parse_args(argv)

    tables = build(arguments.facts)
    print(summary(tables, arguments.facts))
    changed = []
    for name, table in tables.items():
        path, content = arguments.out / name, to_csv(table).encode()
        packed = path.suffix == ".xz"
        present = path.read_bytes() if path.is_file() else b""
        if (lzma.decompress(present) if packed and present else present) != content:
            changed.append(name)
            if not arguments.check:
                path.write_bytes(lzma.compress(content, preset=9) if packed else content)
    print(("differ: " if arguments.check else "written: ") + (", ".join(changed) or "none"))
    return int(arguments.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
