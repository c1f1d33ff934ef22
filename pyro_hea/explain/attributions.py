"""Why an alloy is predicted as it is: Shapley values of a target's head, member by member.

The players are features, or groups of features that move together. The shap library plays their
game: exactly for up to ten players, else along random orders and their reverses. Either way an
alloy's attributions add up to its prediction minus the background's, in every member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pyro_hea.errors import DataError, nearest
from pyro_hea.explain._game import EXACT, Game
from pyro_hea.explain._members import summary
from pyro_hea.explain._quantity import quantity
from pyro_hea.explain.groups import features_of

if TYPE_CHECKING:
    from pyro_hea.explain._quantity import Quantity
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

_BACKGROUND = 64
"""Training alloys that stand for 'any alloy'."""


@dataclass(frozen=True, eq=False, repr=False)
class Attributions:
    """Attributions of one target to features or groups of them.

    Attributes
    ----------
    target : str
        What is explained, as `predict` names its column.
    unit : str
        "probability", or the unit of a number.
    values : DataArray, dims (member, alloy, feature)
        `feature` names the players.
    base : DataArray, dims (member,)
        Mean of the background alloys.
    features : DataFrame, shape (alloys, F)
        The features' own values, in their units.
    groups : dict of str to tuple of str
        Features behind each player.
    """

    target: str
    unit: str
    values: xr.DataArray
    base: xr.DataArray
    features: pd.DataFrame
    groups: dict[str, tuple[str, ...]]

    def __repr__(self) -> str:
        k, n, p = self.values.shape
        return f"Attributions({self.target}: {n} alloys, {p} features or groups, {k} members)"

    @property
    def prediction(self) -> xr.DataArray:
        """What base and attributions add up to, (member, alloy)."""
        return self.base + self.values.sum("feature")

    @property
    def importance(self) -> pd.DataFrame:
        """Mean |attribution| over the alloys by player, greatest first: `mean`, `low`, `high`.

        The interval is over the members.
        """
        size = np.abs(self.values.to_numpy()).mean(axis=1)
        table = pd.DataFrame(
            summary(size), pd.Index(self.values["feature"].to_numpy(), name="feature")
        )
        return table.sort_values("mean", ascending=False)

    @property
    def means(self) -> pd.DataFrame:
        """Attribution of each alloy (rows) to each player (columns), averaged over the members."""
        mean = self.values.to_numpy().mean(axis=0)
        return pd.DataFrame(mean, self.features.index, pd.Index(list(self.groups), name="feature"))

    def of(self, alloy: str) -> pd.DataFrame:
        """Attributions of one alloy, the strongest first.

        Returns
        -------
        DataFrame
            By player: `value` of the feature (NaN for a group), `mean`, `low`, `high`.

        Raises
        ------
        DataError
            For an alloy that was not explained.
        """
        explained = list(self.features.index)
        if alloy not in explained:
            raise DataError(f"'{alloy}' was not explained.{nearest(alloy, explained)}")
        position = explained.index(alloy)
        table = pd.DataFrame(summary(self.values.to_numpy()[:, position]), list(self.groups))
        own = self.features.iloc[position]
        value = [own[f[0]] if len(f) == 1 else np.nan for f in self.groups.values()]
        table.insert(0, "value", value)
        return table.rename_axis(index="feature").sort_values("mean", key=np.abs, ascending=False)


def attribute(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    target: str | None = None,
    *,
    value: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    background: AlloyDataset | Alloys | None = None,
    seed: int = 0,
) -> Attributions:
    """Attribute what is predicted of each alloy to its features.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : alloys of any elements of the packaged tables
    target : str, optional
        The first one by default.
    value : str, optional
        The class whose probability is explained, of a target of several classes. Of a binary one
        it is that of 1, and of a number the mean.
    groups : mapping of name to features, optional
        Players, as `correlated_groups` makes them; each declared feature stands alone by default.
        Every declared feature is in exactly one group.
    background : alloys, optional
        What "without this feature" means; 64 training alloys drawn with `seed` by default.
    seed : int
        Of the background and of the orders.

    Returns
    -------
    Attributions

    Raises
    ------
    MissingExtraError
        Without the shap library.
    UnknownTargetError
    DataError
        For a class that the target does not have; for groups that do not hold each feature once.

    Warns
    -----
    UnseenElementWarning
        For elements that no training alloy holds: what is explained is the head, which reads
        features alone, and not the share of the prior that `predict` mixes in.
    """
    game = _game(vae, alloys, quantity(vae.ensemble, target, value), groups, background, seed)
    values, base = game.play(interactions=False, seed=seed)
    dims = ["alloy", "feature", "member"]
    coords = {"alloy": list(game.features.index), "feature": list(game.groups)}
    return Attributions(
        game.quantity.column,
        game.quantity.unit,
        xr.DataArray(values, coords, dims).transpose("member", "alloy", "feature"),
        xr.DataArray(base, dims=["member"]),
        game.features,
        game.groups,
    )


def interactions(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    target: str | None = None,
    *,
    value: str | None = None,
    groups: Mapping[str, Sequence[str]],
    background: AlloyDataset | Alloys | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """Share attributions between single groups and pairs of them, exactly.

    Parameters
    ----------
    vae, alloys, target, value, groups, background, seed
        As in `attribute`; at most ten groups.

    Returns
    -------
    DataArray, dims (member, alloy, feature, other)
        Shapley-Taylor indices: a group's own effect on the diagonal, half of a pair's joint effect
        on either side of it. All of them together add up to prediction minus base.

    Raises
    ------
    DataError
        For more than ten groups.
    """
    game = _game(vae, alloys, quantity(vae.ensemble, target, value), groups, background, seed)
    if len(game.groups) > EXACT:
        raise DataError(
            f"{len(game.groups)} groups have too many coalitions to ask them all; make at most "
            f"{EXACT}, as correlated_groups does"
        )
    values, _ = game.play(interactions=True, seed=seed)
    names = list(game.groups)
    coords = {"alloy": list(game.features.index), "feature": names, "other": names}
    array = xr.DataArray(values, coords, ["alloy", "feature", "other", "member"])
    return array.transpose("member", "alloy", "feature", "other")


def _game(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    wanted: Quantity,
    groups: Mapping[str, Sequence[str]] | None,
    background: AlloyDataset | Alloys | None,
    seed: int,
) -> Game:
    names = vae.spec.features.columns
    if background is None:
        known = vae.ensemble.known
        rows = np.random.default_rng(seed).permutation(len(known))[:_BACKGROUND]
        background = known.iloc[np.sort(rows)]
    players = _checked({n: (n,) for n in names} if groups is None else groups, names)
    features = features_of(vae, alloys)
    return Game(vae, wanted, features, features_of(vae, background), players)


def _checked(
    groups: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    grouped = [feature for members in groups.values() for feature in members]
    for feature in grouped:
        if feature not in names:
            raise DataError(f"groups: '{feature}' is no feature here.{nearest(feature, names)}")
    if sorted(grouped) != sorted(names):
        wrong = [n for n in names if grouped.count(n) != 1]
        raise DataError(f"groups: each feature is in one group; not so {', '.join(wrong)}")
    return {name: tuple(members) for name, members in groups.items()}
