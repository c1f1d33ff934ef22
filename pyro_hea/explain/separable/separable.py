"""`SeparableLatent`: coordinates in which clusters of alloys lie apart, and edits in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.counterfactual import CONFIDENCE
from pyro_hea.errors import DataError
from pyro_hea.explain.separable.augmentation import augment, draw
from pyro_hea.explain.separable.clusters import Clusters, read_clusters
from pyro_hea.explain.separable.edits import arithmetic, move
from pyro_hea.explain.separable.fitting import Fitted, fit_separation
from pyro_hea.explain.separable.member_latent import Encoded, MemberLatent
from pyro_hea.explain.separable.panel import edit_panel
from pyro_hea.explain.separable.scores import coordinates, kept_clusters, scores_of
from pyro_hea.explain.separable.walks import Interpolation, Walks, interpolate, walk
from pyro_hea.materials.alloys.dataset import AlloyDataset, composition_keys
from pyro_hea.posterior import as_fractions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from pyro_hea.design import Constraint, DesignResult
    from pyro_hea.explain.separable.clusters import Rule
    from pyro_hea.materials.alloys.amounts import Alloy, Alloys
    from pyro_hea.plots import Panels
    from pyro_hea.posterior import Ensemble
    from pyro_hea.program.separable import SeparableModel
    from pyro_hea.spec import Separation

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class SeparableLatent:
    """Coordinates u = T(w) of one member, in which clusters of alloys lie apart.

    Made by `separate`.

    Attributes
    ----------
    ensemble : Ensemble
        All members, which predict what is made here.
    member : int
        Whose latent it is.
    clusters : Clusters
    latent : MemberLatent
    alloys : AlloyDataset or DataFrame
        What T was trained on.
    trained : Encoded
        The same, encoded.
    codes : array of int, shape (N,)
        Positions of their clusters, -1 in none.
    fitted : Fitted
    seed : int
    """

    ensemble: Ensemble
    member: int
    clusters: Clusters
    latent: MemberLatent
    alloys: AlloyDataset | pd.DataFrame
    trained: Encoded
    codes: Codes
    fitted: Fitted
    seed: int

    def __repr__(self) -> str:
        return (
            f"SeparableLatent({self.clusters.about}: {', '.join(self.names)}; "
            f"member {self.member}, {len(self.trained)} alloys)"
        )

    def by(
        self,
        clusters: str | Mapping[str, Rule | Iterable[str]],
        *,
        only: Sequence[str] | None = None,
        spec: Separation | None = None,
    ) -> SeparableLatent:
        """Train another T on the same alloys, encoded once, for other clusters or another spec."""
        data = self.alloys if isinstance(self.alloys, AlloyDataset) else None
        found = read_clusters(clusters, self.ensemble, data)
        found = found if only is None else found.only(only)
        codes = found.of(self.alloys)
        fitted = fit_separation(
            spec or self.spec, self.latent, found, self.trained, codes, self.seed
        )
        return replace(self, clusters=found, codes=codes, fitted=fitted)

    # Its parts.

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the clusters."""
        return self.clusters.names

    @property
    def model(self) -> SeparableModel:
        """The Pyro program, trained."""
        return self.fitted.model

    @property
    def spec(self) -> Separation:
        """How T was trained."""
        return self.model.spec

    @property
    def means(self) -> Tensor:
        """Mean of each cluster in u, (C, d)."""
        return self.model.cluster_means

    @torch.no_grad()
    def u(self, w: Tensor) -> Tensor:
        """T of w (N, d)."""
        return self.model.encode(w)

    @torch.no_grad()
    def w(self, u: Tensor) -> Tensor:
        """The latent of the model at u (N, d)."""
        return self.model.decode(u)

    def name_of(self, code: int) -> str:
        """Name of a cluster by its position; "none" below 0."""
        return self.names[code] if code >= 0 else "none"

    def targets_in(self, alloys: Encoded, cluster: int) -> dict[str, Tensor]:
        """Targets of alloys, with the class of a cluster by a target, (N,) each."""
        y, target = dict(alloys.y), self.clusters.target
        if target is not None:
            value = self.ensemble.encode_value(target, self.clusters.values[cluster])
            y[target] = torch.full_like(y[target], float(value))
        return y

    def clusters_of(self, fractions: Floats) -> Codes:
        """Cluster of any compositions (N, E), (N,).

        By the rule; of a target, what all members predict together; of a column or a list, what T
        finds most probable of the encoded alloy.
        """
        table = pd.DataFrame(fractions, columns=list(self.ensemble.elements))
        if self.clusters.rule is not None:
            return np.asarray(self.clusters.rule(table))
        u = self.u(self.latent.encode(table).w)
        return np.asarray(self.model.log_clusters(u).argmax(-1).cpu().numpy())

    def cluster_or_likeliest(self, alloys: Encoded, u: Tensor) -> Codes:
        """Cluster of alloys, the most probable one given u where they are in none, (N,)."""
        codes = self.clusters_of(alloys.fractions.to_numpy(float))
        likeliest = self.model.log_clusters(u).argmax(-1).cpu().numpy()
        return np.where(codes >= 0, codes, likeliest)

    # Reading.

    def encode(self, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
        """U of alloys of the training elements, columns `u0`, `u1`, … by formula.

        No label is used: T reads what composition and predictions say.
        """
        encoded = self.latent.encode(alloys)
        u = self.u(encoded.w).cpu().numpy()
        return pd.DataFrame(u, encoded.fractions.index, [f"u{i}" for i in range(u.shape[1])])

    def probabilities(self, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
        """Probability of each cluster given u, (N, C)."""
        encoded = self.latent.encode(alloys)
        p = self.model.log_clusters(self.u(encoded.w)).exp().cpu().numpy()
        return pd.DataFrame(p, encoded.fractions.index, list(self.names))

    def decode(
        self, u: pd.DataFrame | ArrayLike, targets: Mapping[str, str | float]
    ) -> pd.DataFrame:
        """Fractions that the member decodes at u (N, d), with a value of each target.

        Raises
        ------
        DataError
            For a target without a value, or u of another width.
        """
        values = np.atleast_2d(np.asarray(u, float))
        if values.shape[1] != self.latent.dim:
            raise DataError(
                f"u has {values.shape[1]} coordinates; this latent has {self.latent.dim}"
            )
        missing = set(self.ensemble.spec.target_names) - set(targets)
        if missing:
            raise DataError(f"decoding needs a value of each target; missing: {sorted(missing)}")
        w = self.w(torch.as_tensor(values).to(self.means))
        encode = self.ensemble.encode_value
        y = {n: torch.full((len(w),), float(encode(n, v))).to(w) for n, v in targets.items()}
        return pd.DataFrame(self.latent.decode(w, y), columns=list(self.ensemble.elements))

    def plot(self, alloys: AlloyDataset | Alloys | None = None) -> Panels:
        """Draw alloys, by default those that T was trained on, before and after T.

        Draw held-out alloys to see what T says of clusters that it was not shown.
        """
        from pyro_hea import plots

        if alloys is None:
            encoded, codes = self.trained, self.codes
        else:
            encoded, codes = self.held_out(alloys)
        tables = [pd.DataFrame(coordinates(encoded, model)) for model in (None, self.model)]
        return plots.separation_panels(tables[0], tables[1], [self.name_of(c) for c in codes])

    def scores(
        self, alloys: AlloyDataset | Alloys, *, shuffled: bool = True, seed: int = 0
    ) -> pd.DataFrame:
        """How well classifiers tell the clusters apart, before and after T.

        Each classifier learns from the alloys that T was trained on.

        Parameters
        ----------
        alloys : alloys of the training elements
            Held out: those that T was trained on are left out.
        shuffled : bool
            Also train T, and the classifiers, on clusters dealt anew among the alloys: what they
            then score on the held-out ones is chance.
        seed : int
            Of the bootstrap.

        Returns
        -------
        DataFrame
            By `latent` ("before" or "after" T), `classifier` and `measure` (macro F1 and
            accuracy): the columns `seen` (the alloys of the training), `held_out` and `shuffled`,
            each with its 95 % interval over alloys as `_low` and `_high`. Seen and held-out scores
            do not compare: T and the classifiers were shown the clusters of the former.

        Raises
        ------
        DataError
            Where no alloy with a cluster is left.
        """
        return scores_of(self, alloys, shuffled, seed)

    def held_out(self, alloys: AlloyDataset | Alloys) -> tuple[Encoded, Codes]:
        """Alloys that T was not trained on, encoded, with their clusters.

        Raises
        ------
        DataError
            Where none with a cluster is left.
        """
        table = alloys if isinstance(alloys, AlloyDataset) else as_fractions(alloys)
        fractions = table.fractions if isinstance(table, AlloyDataset) else table
        trained = set(composition_keys(self.trained.fractions))
        new = np.array([key not in trained for key in composition_keys(fractions)])
        codes = self.clusters.of(table)
        kept = new & (codes >= 0)
        if not kept.any():
            raise DataError(
                f"no alloy is left to score: of {len(new)}, T was trained on {int((~new).sum())}"
                f", and {int((codes < 0).sum())} are in no cluster. Give alloys that were held out"
            )
        some = table.take(kept) if isinstance(table, AlloyDataset) else table.loc[kept]
        return self.latent.encode(some), codes[kept]

    @cached_property
    def shuffled(self) -> tuple[SeparableModel, Codes]:
        """T trained on shuffled clusters, and those."""
        rng = np.random.default_rng(self.seed + 1)
        codes = self.codes.copy()
        known = np.flatnonzero(codes >= 0)
        codes[known] = codes[rng.permutation(known)]
        fitted = fit_separation(
            self.spec, self.latent, self.clusters, self.trained, codes, self.seed, shuffled=True
        )
        return fitted.model, codes

    # Moving.

    def invertibility(self, alloys: AlloyDataset | Alloys) -> pd.Series:
        """Share of the alloys whose decoding stays in its cluster, by cluster and in all.

        Alloys in no cluster are left out.
        """
        return kept_clusters(self, alloys)

    def draw(self, cluster: str, n: int, *, spread: float = 1.0, seed: int = 0) -> pd.DataFrame:
        """Decode draws from the normal of a cluster, (n, E) fractions.

        Targets are those of training alloys of the cluster, chosen at random.

        Parameters
        ----------
        cluster : str
        n : int
        spread : float
            Of the draws, in standard deviations of the cluster.
        seed : int
        """
        return draw(self, self.clusters.position(cluster), n, spread, seed)

    def interpolate(self, a: Alloy, b: Alloy, steps: int = 11) -> Interpolation:
        """Go straight from one alloy to another in u.

        Parameters
        ----------
        a, b : alloys of the training elements
        steps : int
            Alloys, the two ends among them.

        Returns
        -------
        Interpolation
            Alloys as the member decodes them, with predictions by all members; the ends are
            reconstructions.
        """
        return interpolate(self, a, b, steps)

    def walk(
        self, starts: Encoded, ends: Encoded, steps: int = 11, *, plain: bool = False
    ) -> Walks:
        """Interpolations of P pairs at once, in u or with `plain` in the latent of the model."""
        return walk(self, starts, ends, steps, plain)

    def move(
        self,
        alloy: Alloy,
        toward: str,
        by: float | None = None,
        *,
        constraints: Sequence[Constraint] = (),
        trim: bool = True,
        confidence: float = CONFIDENCE,
    ) -> DesignResult:
        """Move an alloy toward another cluster.

        It goes in u along the line between the two means, and without `by` also toward the nearest
        alloys of the other cluster; the alloy that reaches the cluster with the fewest atoms moved
        is taken.

        Parameters
        ----------
        alloy : alloy of the training elements
        toward : str
            A cluster.
        by : float, optional
            Share of the way from the mean of its own cluster to that of the other. By default 0.05,
            0.1, … 1.5 are tried.
        constraints : sequence of Constraint
            That the alloy is to satisfy.
        trim : bool
            Undo the parts of the change that the cluster does not need, or only say how much that
            is, in `needed`.
        confidence : float
            Of a target's class, as in `pyro_hea.design.invert`.

        Returns
        -------
        DesignResult
            One alloy, rounded, with predictions of all members. What the member does not
            reconstruct of the alloy is carried along. Columns beside the usual ones: `cluster`
            that it is in, `cluster_probability` of the one asked for given u, `moved` (at.% that
            differ from the start) and `needed` (at.% of the smallest part of that change that was
            found to reach the cluster; NaN where it is not reached). `changes` says what moved by
            element, and `attributes["met"]` whether the cluster was reached. The trail has the
            alloys on the way, and where parts of the change were undone (`trimmed`).

        Raises
        ------
        DataError
            For a cluster that there is not, or in which the alloy is.
        ConstraintError
            Where no alloy on the way satisfies the constraints.

        Warns
        -----
        DesignWarning
            Where the cluster is not reached.
        """
        position = self.clusters.position(toward)
        if by is not None and not 0 < by <= 10:
            raise DataError(f"by={by} is not allowed; it is a share of the way, such as 0.5")
        return move(self, alloy, position, by, constraints, trim, confidence)

    def arithmetic(
        self,
        a: Alloy,
        *,
        minus: Alloy,
        plus: Alloy,
        constraints: Sequence[Constraint] = (),
    ) -> DesignResult:
        """Change an alloy in u by what differs between two others: u(a) − u(minus) + u(plus).

        Parameters
        ----------
        a : alloy of the training elements
        minus, plus : alloys, or names of clusters
            A cluster stands for its mean.
        constraints : sequence of Constraint

        Returns
        -------
        DesignResult
            As of `move`; `needed` is NaN.
        """
        return arithmetic(self, a, self._point(minus), self._point(plus), constraints)

    def _point(self, what: Alloy) -> Tensor:
        if isinstance(what, str) and what in self.names:
            return self.means[self.names.index(what)]
        return self.u(self.latent.encode([what]).w)[0]

    def augment(
        self,
        cluster: str,
        n: int,
        *,
        constraints: Sequence[Constraint] = (),
        seed: int = 0,
    ) -> DesignResult:
        """New alloys of a cluster: middles of two of its alloys, with coordinates drawn anew.

        Parameters
        ----------
        cluster : str
        n : int
        constraints : sequence of Constraint
        seed : int

        Returns
        -------
        DesignResult
            At most n alloys, rounded, in the cluster, and more than 1 at.% from any training alloy
            of the model. `attributes["discarded"]` is the share of the decoded alloys that is not
            returned, and `attributes["kept_cluster"]` the share of all decoded ones that is in the
            cluster.

        Warns
        -----
        DesignWarning
            Where there are fewer than n.
        """
        return augment(self, self.clusters.position(cluster), n, constraints, seed)

    def panel(self) -> Any:
        """Widgets that move an alloy toward a cluster, in a notebook.

        Returns
        -------
        ipywidgets.VBox
            To be shown by itself, or as a tab of the explorer: `explorer.add_tab("edit", …)`.

        Raises
        ------
        MissingExtraError
            Without ipywidgets.
        """
        return edit_panel(self)
