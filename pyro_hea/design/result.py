"""Designed alloys: one table, and the draws that they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from pyro_hea.alloys.composition import format_formula
from pyro_hea.design.batch import diverse, information
from pyro_hea.design.wishes import fulfilment
from pyro_hea.errors import DataError, OutputError
from pyro_hea.posterior import predict
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.posterior.predictions import beta_interval
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    import arviz as az
    import xarray as xr
    from matplotlib.axes import Axes

    from pyro_hea.design.problem import Problem
    from pyro_hea.posterior import Ensemble


@dataclass(frozen=True, eq=False, repr=False)
class DesignResult:
    """Alloys returned by a design workflow.

    Attributes
    ----------
    table : DataFrame
        One row per alloy, the most probable first: `formula`, the fraction of each element,
        each target as in `predict`, `all_wishes` (probability that all wishes hold together,
        with `_sd`, `_low` and `_high`), `novelty` (total-variation distance to the nearest known
        alloy) and `known` (that alloy). Predictions are of the alloy as it stands here.
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

    def __repr__(self) -> str:
        a = self.attributes
        lost = f", {a['discarded']:.0%} of them discarded" if "discarded" in a else ""
        return f"DesignResult({len(self)} alloys from {a['candidates']} candidates{lost})"

    def _repr_html_(self) -> str:
        present = self.table.loc[:, (self.table != 0).any()]
        return f"<p>{self!r}</p>{present.head(20).round(3).to_html(index=False)}"

    @property
    def _draws(self) -> Any:
        """The rows of the table as draws of one chain, also where `idata` has longer ones."""
        return self.idata["posterior"] if self._designs is None else self._designs

    @property
    def fractions(self) -> pd.DataFrame:
        """Atomic fractions of the alloys, indexed by formula, (N, E)."""
        return self.table.set_index("formula")[[str(e) for e in self._draws["element"].values]]

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
        table = self.table.iloc[rows].reset_index(drop=True)
        if self._designs is not None:
            chosen = self._designs.isel(draw=rows)
            return replace(self, table=table, trail=pd.DataFrame(), _designs=chosen)
        idata = cast("az.InferenceData", self.idata.isel(draw=rows))
        return replace(self, table=table, idata=idata, trail=pd.DataFrame())

    def plot_compositions(self, ax: Axes | None = None) -> Axes:
        """Draw what the alloys are made of, and how probable it is that all wishes hold."""
        from pyro_hea import plots

        names = [f"all_wishes{suffix}" for suffix in ("", "_low", "_high")]
        probability = self.table.set_index("formula")[names]
        return plots.composition_bars(self.fractions, ax, probability)

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
        """Write the table; fractions and probabilities with six digits."""
        self._write(path, lambda: self.table.to_csv(path, index=False, float_format="%.6g"))

    def to_parquet(self, path: str | Path) -> None:
        """Write the table with every digit; needs pyarrow."""
        self._write(path, lambda: self.table.to_parquet(path, index=False))

    def _write(self, path: str | Path, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error


def design_table(problem: Problem, fractions: pd.DataFrame) -> pd.DataFrame:
    """Alloys with their predictions, whether all wishes hold, and the known alloy nearest to each.

    Parameters
    ----------
    problem : Problem
    fractions : DataFrame, shape (N, E)
    """
    ensemble = problem.ensemble
    formulas = [format_formula(dict(row[row > 0])) for _, row in fractions.iterrows()]
    fractions = fractions.set_axis(pd.Index(formulas, name="formula"))
    distance = cdist(fractions.to_numpy(), ensemble.known.to_numpy(), "cityblock") / 2
    nearest = distance.argmin(1)
    return (
        fractions.join([predict(ensemble, fractions), wished(problem, fractions)])
        .assign(
            novelty=distance[np.arange(len(nearest)), nearest],
            known=ensemble.known.index[nearest].to_numpy(),
        )
        .reset_index()
    )


def wished(problem: Problem, fractions: pd.DataFrame) -> pd.DataFrame:
    """Probability that all wishes hold together, with its spread over members and interval."""
    members = _members(problem, fractions.to_numpy(float))
    mean, sd = members.mean(0), members.std(0)
    low, high = beta_interval(mean, sd)
    columns = {"": mean, "_sd": sd, "_low": low, "_high": high}
    return pd.DataFrame(
        {f"all_wishes{suffix}": values for suffix, values in columns.items()}, fractions.index
    )


def _members(problem: Problem, fractions: np.ndarray) -> np.ndarray:
    """Probability by each member that all wishes hold, (K, N)."""
    alloys = torch.tensor(fractions, device=problem.ensemble.device)
    return fulfilment(problem.ensemble, alloys, problem.targets).double().cpu().numpy()


def gather(
    problem: Problem,
    fractions: np.ndarray,
    attributes: Mapping[str, Any],
    *,
    latents: Mapping[str, np.ndarray] | None = None,
    trail: pd.DataFrame | None = None,
    best_first: bool = True,
    sites: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> DesignResult:
    """Make a result of alloys (N, E).

    Parameters
    ----------
    problem : Problem
    fractions : ndarray, shape (N, E)
        Rounded compositions.
    attributes : mapping
    latents : mapping of {"z", "member"} to array of shape (N, ...), optional
        Where the alloys were decoded from.
    trail : DataFrame, optional
    best_first : bool
        Put the most probable first; otherwise keep the order.
    sites : mapping of group to mapping of site to array of shape (C, draws, K, ...), optional
        Of the Markov chains that the alloys were chosen from.
    """
    columns = list(problem.ensemble.elements)
    table = design_table(problem, pd.DataFrame(fractions, columns=columns))
    order = np.arange(len(table))
    if best_first:
        order = np.argsort(-table["all_wishes"].to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    drawn = {name: values[order] for name, values in (latents or {}).items()}
    drawn["information"] = information(_members(problem, fractions[order]))
    trail = pd.DataFrame() if trail is None else trail
    idata = _idata(_sites(table, drawn, problem.ensemble), problem.ensemble, attributes)
    if sites is None:
        return DesignResult(table, idata, attributes, trail)
    chains = _idata(sites, problem.ensemble, attributes, ["member"])
    return DesignResult(table, chains, attributes, trail, cast("Any", idata["posterior"]))


def _sites(
    table: pd.DataFrame, latents: Mapping[str, np.ndarray], ensemble: Ensemble
) -> dict[str, dict[str, np.ndarray]]:
    """Designs as draws of one chain: `composition`, each target's probability, and latents."""
    sites = {
        **latents,
        "composition": table[list(ensemble.elements)].to_numpy(float),
        **{name: table[name].to_numpy(float) for name in _predicted(ensemble)},
    }
    return {"posterior": {name: value[None] for name, value in sites.items()}}


def _idata(
    sites: Mapping[str, Mapping[str, np.ndarray]],
    ensemble: Ensemble,
    attributes: Mapping[str, Any],
    dims: Sequence[str] = (),
) -> az.InferenceData:
    """Sites (chain, draw, ...) by group, with these dimensions before their own."""
    own = {"z": ["latent"], "composition": ["element"]}
    names = {name for group in sites.values() for name in group}
    return to_inference_data(
        sites,
        observed={},
        constant={},
        dims={name: [*dims, *own.get(name, [])] for name in names},
        default_dims=[],
        coords={
            "latent": [f"z{i}" for i in range(ensemble.spec.latent.dim)],
            "element": list(ensemble.elements),
            **({"member": np.arange(ensemble.members)} if dims else {}),
        },
        attributes=attributes,
    )


def _predicted(ensemble: Ensemble) -> list[str]:
    """Columns of the targets: a probability or a mean, and of classes the probability of each."""
    return [
        column
        for target in ensemble.spec.targets
        for column in (
            (target.name,)
            if isinstance(target, Binary | Continuous)
            else (f"{target.name}[{c}]" for c in target.classes)
        )
    ]
