"""Why an alloy is predicted as it is: Shapley values of a target's head, member by member.

The players are features, or groups of features that move together. What a coalition is worth to a
member is the probability that it gives to the alloy with the other features replaced by those of
background alloys, averaged over them (the interventional game of Lundberg and Lee, A Unified
Approach to Interpreting Model Predictions, 2017). The shap library plays the game: exactly for up
to ten players, else along random orders and their reverses. Either way an alloy's attributions
add up to its prediction minus the background's, in every member.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

from pyro_hea.dataset import to_batch
from pyro_hea.errors import DataError, UnseenElementWarning, missing_extra, nearest
from pyro_hea.explain._members import Floats, summary
from pyro_hea.features import FeatureMap
from pyro_hea.posterior import as_fractions, feature_names

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

    from pyro_hea.composition import Alloys
    from pyro_hea.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

PUBLISHED_IMPORTANCE = {
    "mixing_entropy": 0.175,
    "melting_temperature": 0.105,
    "bulk_modulus": 0.099,
    "mixing_enthalpy": 0.084,
    "atomic_size_difference": 0.039,
    "molar_volume": 0.031,
    "valence_electron_concentration": 0.022,
    "electronegativity_difference": 0.005,
}
"""Mean |SHAP| of the published model's features (arXiv:2409.06740), in probability."""

_EXACT = 10
"""Players up to which every coalition is asked."""

_ORDERS = 4
"""Random orders of more players, each of them also in reverse."""

_BACKGROUND = 64
"""Training alloys that stand for 'any alloy'."""

_ROWS = 8192
"""Alloys evaluated at a time, which bounds the memory."""


@dataclass(frozen=True, eq=False, repr=False)
class Attributions:
    """Attributions of one target to features or groups of them.

    Attributes
    ----------
    target : str
    values : DataArray, dims (member, alloy, feature)
        In probability; `feature` names the players.
    base : DataArray, dims (member,)
        Mean probability of the background alloys.
    features : DataFrame, shape (alloys, F)
        The features' own values, in their units.
    groups : dict of str to tuple of str
        Features behind each player.
    """

    target: str
    values: xr.DataArray
    base: xr.DataArray
    features: pd.DataFrame
    groups: dict[str, tuple[str, ...]]

    def __repr__(self) -> str:
        k, n, p = self.values.shape
        return f"Attributions({self.target}: {n} alloys, {p} features or groups, {k} members)"

    @property
    def prediction(self) -> xr.DataArray:
        """Probability that base and attributions add up to, (member, alloy)."""
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
    groups: Mapping[str, Sequence[str]] | None = None,
    background: AlloyDataset | Alloys | None = None,
    seed: int = 0,
) -> Attributions:
    """Attribute a target's predicted probability to the features of each alloy.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : alloys of any elements of the packaged tables
    target : str, optional
        The first one by default.
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

    Warns
    -----
    UnseenElementWarning
        For elements that no training alloy holds: what is explained is the head, which reads
        features alone, and not the share of the prior that `predict` mixes in.
    """
    game = _game(vae, alloys, target, groups, background, seed)
    values, base = game.play(interactions=False, seed=seed)
    dims = ["alloy", "feature", "member"]
    coords = {"alloy": list(game.features.index), "feature": list(game.groups)}
    return Attributions(
        game.target,
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
    groups: Mapping[str, Sequence[str]],
    background: AlloyDataset | Alloys | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """Share attributions between single groups and pairs of them, exactly.

    Parameters
    ----------
    vae, alloys, target, groups, background, seed
        As in `attribute`; at most ten groups.

    Returns
    -------
    DataArray, dims (member, alloy, feature, other)
        Shapley-Taylor indices: a group's own effect on the diagonal, half of a pair's joint effect
        on either side of it, in probability. All of them together add up to prediction minus base.

    Raises
    ------
    DataError
        For more than ten groups.
    """
    game = _game(vae, alloys, target, groups, background, seed)
    if len(game.groups) > _EXACT:
        raise DataError(
            f"{len(game.groups)} groups have too many coalitions to ask them all; make at most "
            f"{_EXACT}, as correlated_groups does"
        )
    values, _ = game.play(interactions=True, seed=seed)
    names = list(game.groups)
    coords = {"alloy": list(game.features.index), "feature": names, "other": names}
    array = xr.DataArray(values, coords, ["alloy", "feature", "other", "member"])
    return array.transpose("member", "alloy", "feature", "other")


def correlated_groups(
    features: pd.DataFrame, count: int = 8, names: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Group features that say the same, by average linkage on 1 - |Spearman's ρ|.

    Parameters
    ----------
    features : DataFrame, shape (N, F)
        Of the alloys among which they are correlated; a constant feature stands alone.
    count : int
        Groups to make.
    names : sequence of str, optional
        The features to group, all by default.

    Returns
    -------
    dict of str to tuple of str
        By the member that is most correlated with the rest of its group, with " …" added where
        there is a rest.

    Examples
    --------
    >>> a, b = np.arange(8.0), np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
    >>> correlated_groups(pd.DataFrame({"a": a, "b": b, "a squared": a**2}), count=2)
    {'a …': ('a', 'a squared'), 'b': ('b',)}
    """
    table = features if names is None else features[list(names)]
    columns = [str(name) for name in table.columns]
    if len(columns) <= count:
        return {name: (name,) for name in columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a constant feature
        rho = np.abs(np.nan_to_num(table.corr("spearman").to_numpy()))
    np.fill_diagonal(rho, 1.0)
    tree = linkage(squareform(1 - rho, checks=False), "average")
    label = fcluster(tree, count, "maxclust")
    groups = {}
    for own in dict.fromkeys(label):
        rows = np.flatnonzero(label == own)
        head = columns[rows[rho[np.ix_(rows, rows)].sum(1).argmax()]]
        groups[f"{head} …" if len(rows) > 1 else head] = tuple(columns[i] for i in rows)
    return groups


def beside_published(importance: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Set an importance beside that of the published model.

    Parameters
    ----------
    importance : DataFrame
        As `Attributions.importance` gives it, of single features.

    Returns
    -------
    table : DataFrame
        The published features that the model has too: `mean`, `low`, `high`, `rank`,
        `published` and `published_rank`.
    correlation : float
        Spearman's ρ of the two rankings. With eight features |ρ| < 0.74 is no more than chance
        gives in one of twenty.

    Raises
    ------
    DataError
        Where fewer than three of the published features are in the model.
    """
    renamed = importance.rename(index={"mixing_entropy_published": "mixing_entropy"})
    shared = [name for name in PUBLISHED_IMPORTANCE if name in renamed.index]
    if len(shared) < 3:
        raise DataError(
            f"the importance holds {len(shared)} of the published features "
            f"({', '.join(PUBLISHED_IMPORTANCE)}); a ranking needs three"
        )
    published = pd.Series(PUBLISHED_IMPORTANCE)
    table = renamed.loc[shared, ["mean", "low", "high"]].assign(published=published[shared])
    table["rank"] = table["mean"].rank(ascending=False).astype(int)
    table["published_rank"] = table["published"].rank(ascending=False).astype(int)
    return table, float(spearmanr(table["mean"], table["published"]).statistic)


# The game.


class _Game:
    """Coalitions of one alloy's features, and what they are worth to each member.

    The first layer of a head is a sum over the embedded features, so its share of each player is
    worked out once, and a coalition picks shares instead of features.
    """

    def __init__(
        self,
        vae: DisentangledVAE,
        target: str,
        features: pd.DataFrame,
        background: Tensor,
        groups: dict[str, tuple[str, ...]],
    ) -> None:
        self.target, self.features, self.groups = target, features, groups
        self._embedding = vae.ensemble.model.embedding
        self._first, *rest = cast("Sequence[Any]", vae.ensemble.model.heads[target])
        self._rest = torch.nn.Sequential(*rest)
        columns = self._embedding.outputs // features.shape[1]
        own = [[float(f in members) for f in features] for members in groups.values()]
        self._of_player = torch.tensor(own).repeat_interleave(columns, 1).to(background)
        with torch.no_grad():
            self._absent = self._shares(background)

    def _shares(self, x: Tensor) -> Tensor:
        """What each player gives to the first layer, (K, N, players, H)."""
        embedded = self._embedding(x)[:, None] * self._of_player
        return torch.einsum("npf,kfh->knph", embedded, self._first.weight)

    @torch.no_grad()
    def __call__(self, rows: Floats) -> Floats:
        """Worth of coalitions of one alloy to every member, (R, K).

        Parameters
        ----------
        rows : array, shape (R, players + F)
            The mask of each coalition beside the features, which are those of one alloy.
        """
        players = len(self.groups)
        masks = torch.tensor(rows[:, :players]).to(self._absent)
        x = torch.tensor(rows[:1, players:]).to(self._absent)
        gained = self._shares(x) - self._absent
        nobody = self._absent.sum(-2, keepdim=True) + self._first.bias[:, None]
        worth = []
        for part in masks.split(max(1, _ROWS // self._absent.shape[1])):
            hidden = torch.matmul(part, gained).add_(nobody)
            logits = self._rest(hidden.flatten(1, 2))[..., 0]
            worth.append(logits.sigmoid().unflatten(1, hidden.shape[1:3]).mean(1).T)
        return torch.cat(worth).double().cpu().numpy()

    def play(self, *, interactions: bool, seed: int) -> tuple[Floats, Floats]:
        """Values (N, players, K), or (N, players, players, K), and the base (K,)."""
        shap, players = _shap(), len(self.groups)
        masker, rows = _Coalition(players, self.features.shape[1]), self.features.to_numpy(float)
        with _numpy_state():
            if players <= _EXACT:
                explainer = shap.explainers.Exact(self, masker)
                # True asks for pairs; 1, which equals it, for single players
                asked = {"interactions": True if interactions else 1}
            else:
                explainer = shap.explainers.Permutation(self, masker, seed=seed)
                asked = {"max_evals": _ORDERS * (2 * players + 1)}
            found = explainer(rows, silent=True, batch_size=2**_EXACT, **asked)
        # shap drops axes of one member, and joins those of a pair
        axes = (len(rows), *[players] * (1 + interactions), len(self._absent))
        base = np.reshape(found.base_values, (len(rows), -1))[0]
        return np.reshape(found.values, axes).astype(float), base.astype(float)


class _Coalition:
    """A shap masker that leaves the masking to the game: a row is the mask beside the alloy."""

    immutable_outputs = True

    def __init__(self, players: int, features: int) -> None:
        self.shape = (1, players)
        self.mask_shapes = lambda *_: [(players,)]
        self._features = features

    def __call__(self, mask: Any, x: Floats) -> tuple[Floats]:
        return (np.concatenate([mask, x])[None].astype(float),)


def _game(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    target: str | None,
    groups: Mapping[str, Sequence[str]] | None,
    background: AlloyDataset | Alloys | None,
    seed: int,
) -> _Game:
    ensemble = vae.ensemble
    target = ensemble.spec.target_names[0] if target is None else target
    ensemble.check_target(target)
    names = feature_names(ensemble.spec.features)
    if background is None:
        known = ensemble.known
        rows = np.random.default_rng(seed).permutation(len(known))[:_BACKGROUND]
        background = known.iloc[np.sort(rows)]
    players = _checked({n: (n,) for n in names} if groups is None else groups, names)
    features = features_of(vae, alloys)
    reference = torch.tensor(features_of(vae, background).to_numpy())
    return _Game(vae, target, features, reference.to(ensemble.model.embedding.edges), players)


def features_of(vae: DisentangledVAE, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
    """Declared features of alloys of any elements, (N, F), in the units of `FEATURES`.

    Warns
    -----
    UnseenElementWarning
        For elements that no training alloy holds: they have features, but no latent.
    """
    ensemble, fractions = vae.ensemble, as_fractions(alloys)
    unseen = [e for e in fractions.columns if e not in ensemble.elements and fractions[e].any()]
    if unseen:
        warnings.warn(
            f"no training alloy holds {', '.join(unseen)}: alloys with them are explained by their "
            "features, and have no latent",
            UnseenElementWarning,
            stacklevel=4,
        )
    names = feature_names(ensemble.spec.features)
    feature_map = FeatureMap(names, ensemble.tables, list(fractions.columns))
    batch = to_batch(fractions, feature_map, dtype=torch.float64)
    return pd.DataFrame(batch.features.numpy(), fractions.index, list(names))


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


@contextmanager
def _numpy_state() -> Iterator[None]:
    """Keep NumPy's global random state, which shap seeds."""
    state = np.random.get_state()  # noqa: NPY002 - the global state is what shap seeds
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002 - and what is put back


def _shap() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its colour maps, in newer releases of matplotlib
            import shap
    except ImportError as error:
        raise missing_extra("shap", "explain") from error
    return shap
