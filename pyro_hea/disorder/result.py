"""What is found of a disordered system: tables, draws, configurations and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.disorder.configurations import Configurations
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.factors import energy_factors
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.sampling import MOST_MISSED
from pyro_hea.errors import EstimateWarning, warn
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.posterior.psis import K_HAT_LIMIT

if TYPE_CHECKING:
    import arviz as az
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from pyro_hea.disorder.energies import Energies
    from pyro_hea.disorder.estimates import Estimate
    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.sampling import Outcome
    from pyro_hea.disorder.sites import Sites

LEVEL = 0.94
"""Of all intervals."""

DISAGREEMENT = 4.0
"""Standard errors by which the two estimates of ln Z may differ."""

_ROUNDING = 0.01
"""Difference of ln Z that is never called a disagreement."""


@dataclass(frozen=True, eq=False, repr=False)
class Disorder:
    """Thermodynamics of a disordered system at temperatures.

    Attributes
    ----------
    table : DataFrame
        One row a temperature: `temperature_K`; `ln_Z` of the whole cell; `free_energy`,
        `internal_energy` (eV a site), `heat_capacity` and `entropy` (k a site), each with `_low`
        and `_high` of its 94 % interval; `effective_share` of the draws; `k_hat`; `ln_Z_second`,
        from draws that never met the autoencoder, with `ln_Z_second_sd`; `missed`, the share of
        those draws that the generator would hardly make; `trusted`, whether the two agree, k-hat
        is at most 0.7 and `missed` at most 0.03; `energies`, those that were paid for in all.
    order : DataFrame
        Warren–Cowley parameters by temperature, `shell`, `distance` (Å) and `pair`, with their
        intervals; 0 without order, negative where the two attract each other.
    idata : InferenceData
        Bootstrap replicates of the same quantities, as draws of one chain.
    configurations : Configurations
        Those of the first estimate with true energies; `weights` has their weights. Iterating
        gives ASE Atoms.
    weights : DataFrame
        `energy` (eV) of each configuration, and its weight at each temperature.
    factors : DataFrame
        Which counts and neighbours set the energy; see `energy_factors`.
    attributes : mapping
        Seed, budget, energies `paid` by this process and `known` from before, `kept_aside` (why
        there is no energy, by configuration) and `surrogate_error` (eV).
    history : ndarray, shape (T, K)
        ELBO of each step of the training, in nats relative to the ideal solution.
    """

    table: pd.DataFrame
    order: pd.DataFrame
    idata: az.InferenceData
    configurations: Configurations
    weights: pd.DataFrame
    factors: pd.DataFrame
    attributes: Mapping[str, Any]
    history: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        sites: Sites,
        ideal: IdealSolution,
        temperatures: NDArray[np.float64],
        outcome: Outcome,
        energies: Energies,
        about: Mapping[str, Any],
        what: str = "the cell",
    ) -> Disorder:
        """Gather what a run found of the cell or its vacancies; warn of what is not trusted."""
        quantities = _thermodynamics(outcome.first, ideal, temperatures)
        table = pd.DataFrame({"temperature_K": temperatures})
        for name, (value, replicates) in quantities.items():
            table[name] = value
            low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            table[f"{name}_low"], table[f"{name}_high"] = low, high
        table["effective_share"] = outcome.first.share
        table["k_hat"] = outcome.first.k_hat
        table["ln_Z_second"] = outcome.second.log_z + ideal.entropy
        table["ln_Z_second_sd"] = outcome.second.log_z_sd
        table["missed"] = outcome.missed
        table["trusted"] = is_trusted(outcome.first, outcome.second, outcome.missed)
        table["energies"] = energies.used
        table.attrs["units"] = dict(_UNITS)
        order, parameters = _order(sites, ideal, temperatures, outcome.first)
        drawn, values = outcome.drawn
        weights = pd.DataFrame({"energy": values})
        for temperature, row in zip(temperatures, outcome.first.weight, strict=True):
            weights[f"weight_{temperature:g}_K"] = row
        parts = (outcome.learnt, outcome.checked, outcome.drawn)
        x, e = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        factors = energy_factors(PairFeatures(sites, ideal.species), x, e, ideal.fractions)
        attributes = {
            **about,
            "energies": energies.used,
            "paid": energies.paid,
            "known": energies.used - energies.paid,
            "kept_aside": dict(energies.failures),
            "surrogate_error": outcome.surrogate.error,
        }
        _warn(table, outcome, what)
        return cls(
            table,
            order,
            _idata(quantities, parameters, temperatures, attributes),
            Configurations(sites, ideal.species, drawn),
            weights,
            factors,
            attributes,
            outcome.history,
        )

    def __repr__(self) -> str:
        a = self.attributes
        aside = f", {len(a['kept_aside'])} kept aside" if a["kept_aside"] else ""
        return (
            f"Disorder({span(self.table)}, {a['energies']} energies{aside}, "
            f"{int(self.table['trusted'].sum())} rows trusted)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.table.round(4).to_html(index=False)}"

    def plot_thermodynamics(self, quantity: str = "heat_capacity", ax: Axes | None = None) -> Axes:
        """Draw a column of the table against temperature, with its 94 % interval."""
        from pyro_hea import plots

        return plots.thermodynamics(self.table, quantity, ax)

    def plot_order(self, shell: int = 1, ax: Axes | None = None) -> Axes:
        """Draw the Warren–Cowley parameters of a shell against temperature."""
        from pyro_hea import plots

        return plots.short_range_order(self.order, shell, ax)

    def plot_factors(self, ax: Axes | None = None) -> Axes:
        """Draw what sets the energy, by share of its variance."""
        from pyro_hea import plots

        return plots.energy_factors(self.factors, ax)

    def plot_estimates(self, ax: Axes | None = None) -> Axes:
        """Draw the second estimate of ln Z less the first, with both uncertainties."""
        from pyro_hea import plots

        return plots.two_estimates(self.table, ax)


def span(table: pd.DataFrame) -> str:
    """The temperatures of a table, in a few words."""
    at = table["temperature_K"]
    if len(at) == 1:
        return f"at {at.iloc[0]:g} K"
    return f"{len(at)} temperatures from {at.min():g} to {at.max():g} K"


_UNITS = {
    "temperature_K": "K",
    "ln_Z": "1",
    "free_energy": "eV/site",
    "internal_energy": "eV/site",
    "heat_capacity": "k/site",
    "entropy": "k/site",
}

_Quantity = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


def is_trusted(first: Estimate, second: Estimate, missed: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether two independent estimates of ln Z agree, k-hat is small and little missed, (K,)."""
    apart, error = _difference(first, second)
    agree = apart <= DISAGREEMENT * error + _ROUNDING
    return np.asarray(agree & (first.k_hat <= K_HAT_LIMIT) & (missed <= MOST_MISSED))


def _difference(
    first: Estimate, second: Estimate
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how much two estimates of ln Z differ, and the standard error of that, (K,)."""
    return np.abs(first.log_z - second.log_z), np.hypot(first.log_z_sd, second.log_z_sd)


def _thermodynamics(
    found: Estimate, ideal: IdealSolution, temperatures: NDArray[np.float64]
) -> dict[str, _Quantity]:
    """Each column with its replicates, (K,) and (R, K)."""
    kt, sites = BOLTZMANN * temperatures, ideal.sites

    def columns(log_z: NDArray[np.float64], moments: NDArray[np.float64]) -> list[Any]:
        total = log_z + ideal.entropy
        free, mean = -kt * total / sites, moments[..., 0] / sites
        return [total, free, mean, moments[..., 1] / kt**2 / sites, (mean - free) / kt]

    best = columns(found.log_z, found.moments)
    again = columns(found.replicates["log_z"], found.replicates["moments"])
    return dict(zip(list(_UNITS)[1:], zip(best, again, strict=True), strict=True))


def _order(
    sites: Sites,
    ideal: IdealSolution,
    temperatures: NDArray[np.float64],
    found: Estimate,
) -> tuple[pd.DataFrame, dict[str, _Quantity]]:
    """Warren–Cowley parameters with their intervals, and with their replicates by name."""
    features = PairFeatures(sites, ideal.species)
    place = {name: i for i, name in enumerate(features.names)}
    fraction = dict(zip(ideal.species, ideal.fractions, strict=True))
    rows, parameters = [], {}
    for number, shell in enumerate(sites.shells):
        for group, pair in features.names:
            if not group.startswith(f"shell {number + 1},"):
                continue
            a, b = pair.split("-")
            ways = 1 if a == b or shell.types[0] != shell.types[1] else 2
            scale = len(shell.pairs) * fraction[a] * fraction[b] * ways
            column = place[group, pair]
            best = 1 - found.averages[:, column] / scale
            again = 1 - found.replicates["averages"][:, :, column] / scale
            parameters[f"{number + 1} {pair}"] = (best, again)
            low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            rows += [
                {
                    "temperature_K": t,
                    "shell": number + 1,
                    "distance": shell.distance,
                    "sites": f"{shell.types[0]}-{shell.types[1]}",
                    "pair": pair,
                    "alpha": best[k],
                    "alpha_low": low[k],
                    "alpha_high": high[k],
                }
                for k, t in enumerate(temperatures)
            ]
    return pd.DataFrame(rows), parameters


def _idata(
    quantities: Mapping[str, _Quantity],
    parameters: Mapping[str, _Quantity],
    temperatures: NDArray[np.float64],
    attributes: Mapping[str, Any],
) -> az.InferenceData:
    drawn = {name: again[None] for name, (_, again) in quantities.items()}
    dims = {name: ["temperature"] for name in drawn}
    coords: dict[str, Any] = {"temperature": temperatures}
    if parameters:
        stacked = np.stack([again for _, again in parameters.values()], -1)
        drawn["warren_cowley"] = stacked[None]
        dims["warren_cowley"] = ["temperature", "pair"]
        coords["pair"] = list(parameters)
    kept = {k: v for k, v in attributes.items() if isinstance(v, int | float | str)}
    return to_inference_data(
        {"posterior": drawn},
        observed={},
        constant={},
        dims=dims,
        default_dims=[],
        coords=coords,
        attributes={**kept, "draws": "bootstrap replicates"},
    )


def _warn(table: pd.DataFrame, outcome: Outcome, what: str) -> None:
    """Name the temperatures that are not to be trusted, and why they are not."""
    first, second = outcome.first, outcome.second
    apart, error = _difference(first, second)
    at, k_hat, missed = table[["temperature_K", "k_hat", "missed"]].to_numpy(float).T
    said = []
    for k in np.flatnonzero(~table["trusted"].to_numpy(bool)):
        fine = {
            f"two estimates of ln Z {apart[k]:.2g} apart, with a standard error of "
            f"{error[k]:.2g}": apart[k] <= DISAGREEMENT * error[k] + _ROUNDING,
            f"k-hat {k_hat[k]:.2f}": k_hat[k] <= K_HAT_LIMIT,
            f"missed {missed[k]:.2f}": missed[k] <= MOST_MISSED,
        }
        why = [reason for reason, holds in fine.items() if not holds]
        said.append(f"{at[k]:g} K: {', '.join(why)}")
    if said:
        shown = "; ".join([*said[:3], *(["…"] if len(said) > 3 else [])])
        warn(
            f"of {what} the estimates at {len(said)} of {len(table)} temperatures are not to be "
            f"trusted ({shown}): raise the budget, or ask for higher temperatures",
            EstimateWarning,
        )
