"""Designed alloys: one table, and the draws that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
import pandas as pd

from pyro_hea.design.batch import diverse
from pyro_hea.design.export import write_table
from pyro_hea.design.objectives import non_dominated
from pyro_hea.errors import DataError, nearest
from pyro_hea.materials.alloys.element_tables import load_tables

if TYPE_CHECKING:
    import arviz as az
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    Positions = list[int] | list[bool] | NDArray[np.generic] | pd.Series

    from pyro_hea.disorder import Engine


@dataclass(frozen=True, eq=False, repr=False)
class DesignResult:
    """Alloys returned by a design workflow.

    Attributes
    ----------
    table : DataFrame
        One row per alloy by its formula, as in `predict`, the most probable first: `all_wishes`
        (probability that all wishes hold together, with `_low`, `_high` and `_sd`), the targets
        that were asked for, the fraction of each element, the other targets, `novelty`
        (total-variation distance to the nearest known alloy) and `known` (that alloy). Predictions
        are of the alloy as it stands here. `table.attrs["units"]` has the unit of each column.
    idata : InferenceData
        The same alloys with their latents, and the `information` (nats) that making each is
        expected to give about which member is right. Of NUTS instead the Markov chains that the
        alloys were chosen from, with the dimension `member`.
    attributes : mapping
        How they were found: the method, the number of candidates, the share `discarded`.
    trail : DataFrame
        The way to the first alloy of the table, where there was one: `step`, the fraction of each
        element, `all_wishes` and `moved` (share of the atoms that is no longer as at the start).
    """

    table: pd.DataFrame
    idata: az.InferenceData
    attributes: Mapping[str, Any]
    trail: pd.DataFrame = field(default_factory=pd.DataFrame)
    _designs: xr.Dataset | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[pd.Series]:
        return (row for _, row in self.table.iterrows())

    @overload
    def __getitem__(self, rows: int | str) -> pd.Series: ...
    @overload
    def __getitem__(self, rows: slice | Positions) -> DesignResult: ...
    def __getitem__(self, rows: Any) -> pd.Series | DesignResult:
        """One alloy as a row of the table, a column by name, or some alloys.

        Some alloys are those of a slice, positions or a mask.
        """
        if isinstance(rows, str):
            if rows not in self.table:
                raise DataError(f"there is no column '{rows}'.{nearest(rows, self.table.columns)}")
            return self.table[rows]
        if isinstance(rows, int | np.integer):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"there is no design {rows}; there are {len(self)}")
            return self.table.iloc[int(rows)]
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.dtype == bool and len(rows) != len(self):
                raise DataError(f"a mask of {len(rows)} does not fit {len(self)} designs")
        return self._taken(np.arange(len(self))[rows])

    def _ipython_key_completions_(self) -> list[str]:
        return list(map(str, self.table.columns))

    def __repr__(self) -> str:
        a = self.attributes
        lost = f", {a['discarded']:.0%} of them discarded" if "discarded" in a else ""
        assumed = f"; assumed: {a['assumed']}" if a.get("assumed") else ""
        return f"DesignResult({len(self)} alloys from {a['candidates']} candidates{lost}{assumed})"

    def _repr_html_(self) -> str:
        absent = [e for e in self.fractions if not (self.table[e] > 0).any()]
        table = self.table.drop(columns=absent).head(20).round(3).reset_index()
        return f"<p>{escape(repr(self))}</p>{table.to_html(index=False)}"

    @property
    def _draws(self) -> Any:
        """The rows of the table as draws of one chain, also where `idata` has longer ones."""
        return self.idata["posterior"] if self._designs is None else self._designs

    @property
    def fractions(self) -> pd.DataFrame:
        """Atomic fractions of the alloys, indexed by formula, (N, E)."""
        return self.table[[str(e) for e in self._draws["element"].values]]

    @property
    def formulas(self) -> list[str]:
        """Formulas of the alloys."""
        return list(self.table.index)

    @property
    def changes(self) -> pd.Series:
        """What the trail changed in all, at.% by element."""
        elements = self._along_the_trail()
        change = 100 * (self.trail[elements].iloc[-1] - self.trail[elements].iloc[0])
        return change[change.abs() > 1e-9].rename("at.%")

    def _along_the_trail(self) -> list[str]:
        """The elements of the trail's columns."""
        if self.trail.empty:
            raise DataError("these designs have no trail: they start from no alloy")
        return [e for e in self.trail.columns if e in self._draws["element"].values]

    def batch(self, n: int) -> DesignResult:
        """The `n` alloys to make first: probable, different from each other, and informative.

        Parameters
        ----------
        n : int
            At most as many as there are designs.

        Returns
        -------
        DesignResult
            In the order in which they were chosen.
        """
        if not 1 <= n <= len(self):
            raise DataError(f"a batch of {n} cannot be chosen from {len(self)} designs")
        drawn = self._draws
        quality = self.table["all_wishes"].to_numpy() * np.exp(drawn["information"].to_numpy()[0])
        rows = diverse(drawn["composition"].to_numpy()[0], quality, n)
        return self._taken(rows)

    def _taken(self, rows: np.ndarray) -> DesignResult:
        table = self.table.iloc[rows]
        if self._designs is not None:
            chosen = self._designs.isel(draw=rows)
            return replace(self, table=table, trail=pd.DataFrame(), _designs=chosen)
        idata = cast("az.InferenceData", self.idata.isel(draw=rows))
        return replace(self, table=table, idata=idata, trail=pd.DataFrame())

    def pareto(self) -> DesignResult:
        """The designs that no other of them beats in the objectives, by their mean predictions.

        The column `pareto` has the share of the members by whose own predictions each is such a
        design, among all that were returned together.

        Raises
        ------
        DataError
            Where these designs have no objectives.
        """
        return self[non_dominated(self._objective_scores())]

    def _objective_scores(self) -> np.ndarray:
        """The objectives as the table has them, larger is better, (N, J)."""
        objectives = self.attributes.get("objectives", "")
        if not objectives:
            raise DataError(
                "these designs have no objectives: ask for some, as in design({'hardness': 'max'})"
            )
        pairs = [text.rsplit(" ", 1) for text in objectives.split(", ")]
        signs = np.array([1.0 if direction == "max" else -1.0 for _, direction in pairs])
        return np.asarray(self.table[[name for name, _ in pairs]].to_numpy(float) * signs)

    def compositions(
        self, unit: Literal["at.%", "wt.%", "g"] = "at.%", button_g: float | None = None
    ) -> pd.DataFrame:
        """Amount of each element present, by formula.

        Parameters
        ----------
        unit : {"at.%", "wt.%", "g"}
        button_g : float, optional
            Mass of the button whose grams are wanted.

        Examples
        --------
        `designs.compositions("g", button_g=20)` says how to weigh a button of 20 g.
        """
        if unit not in ("at.%", "wt.%", "g"):
            raise DataError(f"unit={unit!r} is not allowed; allowed: 'at.%', 'wt.%', 'g'")
        if (unit == "g") != (button_g is not None) or (button_g is not None and not button_g > 0):
            raise DataError(
                "grams need the mass of a button above 0: compositions('g', button_g=20)"
            )
        present = self.fractions.loc[:, (self.fractions > 0).any()]
        if unit == "at.%":
            amounts = 100 * present
        else:
            masses = present * load_tables("field").properties.loc[list(present), "atomic_mass"]
            amounts = masses.div(masses.sum(axis=1), axis=0) * (button_g or 100.0)
        amounts.attrs["units"] = dict.fromkeys(amounts, unit)
        return amounts

    def disorder(
        self,
        *,
        engine: Engine,
        temperatures: ArrayLike = (300, 600, 900, 1200, 1500),
        top: int = 10,
        **how: Any,
    ) -> pd.DataFrame:
        """What the atoms of the first designs do at temperatures.

        See `pyro_hea.disorder.disorder_table`, which takes further arguments.

        Examples
        --------
        ``designs.disorder(engine=MEAMEngine(), top=3, executor=Processes(2))``
        """
        from pyro_hea.disorder import disorder_table

        return disorder_table(self.fractions[:top], temperatures, engine=engine, **how)

    def plot_compositions(self, ax: Axes | None = None) -> Axes:
        """Draw what the alloys are made of, and how probable it is that all wishes hold."""
        from pyro_hea import plots

        names = [f"all_wishes{suffix}" for suffix in ("", "_low", "_high")]
        probability = self.table[names]
        return plots.composition_bars(self.fractions, ax, probability)

    def plot_pareto(self, ax: Axes | None = None) -> Axes:
        """Draw two objectives against each other, with their intervals and the Pareto set."""
        from pyro_hea import plots

        scores = self._objective_scores()
        names = [text.rsplit(" ", 1)[0] for text in self.attributes["objectives"].split(", ")]
        if len(names) != 2:
            raise DataError(f"two objectives are drawn, not {len(names)}: {', '.join(names)}")
        return plots.design_pareto(self.table, names[0], names[1], non_dominated(scores), ax)

    def plot_novelty(self, ax: Axes | None = None) -> Axes:
        """Draw that probability against the distance from the nearest known alloy (at.%)."""
        from pyro_hea import plots

        return plots.design_novelty(self.table, ax)

    def plot_trail(self, ax: Axes | None = None) -> Axes:
        """Draw how the composition changes along the trail, where there is one."""
        from pyro_hea import plots

        return plots.design_trail(self.trail, self._along_the_trail(), ax)

    def plot_chains(
        self,
        member: int = 0,
        latent: str = "z0",
        kind: Literal["rank", "trace"] = "rank",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw one coordinate of the chains behind the alloys, where these are by NUTS.

        See `pyro_hea.plots.design_chains`.
        """
        from pyro_hea import plots

        return plots.design_chains(self.idata, member, latent, kind, ax)

    def to_csv(self, path: str | Path) -> None:
        """Write the table; numbers with six digits, and no cell that a spreadsheet would run."""
        write_table(self.table, path, "csv")

    def to_excel(self, path: str | Path) -> None:
        """Write the table as `.xlsx`; needs openpyxl (the extra `excel`)."""
        write_table(self.table, path, "xlsx")

    def to_parquet(self, path: str | Path) -> None:
        """Write the table with every digit; needs pyarrow (the extra `parquet`)."""
        write_table(self.table, path, "parquet")
