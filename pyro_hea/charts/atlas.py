"""`Atlas`: a manifold learnt by a mixture of charts, the thin face."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.charts.archive import SavedAtlas, load_atlas, save_atlas
from pyro_hea.charts.descent import Descent, descend
from pyro_hea.charts.fitting import AtlasRun
from pyro_hea.charts.inverse import posterior_draws
from pyro_hea.charts.objectives import Objective
from pyro_hea.charts.points import (
    Points,
    as_given,
    as_numbers,
    check_finite,
    points_tensor,
    read_points,
)
from pyro_hea.charts.projection import project
from pyro_hea.devices import check_torch_settings, seeded
from pyro_hea.errors import (
    ChartWarning,
    DataError,
    NotFittedError,
    SpecError,
    excerpt,
    warn,
)
from pyro_hea.spec import AtlasSpec
from pyro_hea.trained import asks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from pyro_hea.program.charts import AtlasModel

_CHUNK = 2048
"""Points that are answered for at a time."""

_FLOOR = 0.001
"""Share of the projected training points below whose log weight nothing counts as on the atlas."""

_IDLE = 0.01
"""Share of the points, relative to an even share, below which a chart holds next to none."""

_HISTORY = ("epoch", "phase", "loss")


class Atlas:
    """A manifold, learnt from points by K small VAEs, each a chart of a part of it.

    Alberti, Hertrich, Santacesaria and Sciutto, Manifold Learning by Mixture Models of VAEs for
    Inverse Problems, JMLR 2024 (arXiv:2303.15244).

    Parameters
    ----------
    spec : AtlasSpec, optional
        The default has two charts of two dimensions.

    Examples
    --------
    >>> from pyro_hea import Atlas, AtlasSpec
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, 2 * np.pi, 500)
    >>> points = np.c_[np.cos(angle), np.sin(angle)] + 0.01 * rng.normal(size=(500, 2))
    >>> quick = {"seeding": {"steps": 100}, "training": {"epochs": 4}, "overlap": {"epochs": 1}}
    >>> spec = AtlasSpec(charts=2, dim=1, **quick)
    >>> atlas = Atlas(spec).fit(points, progress=False)
    >>> atlas.responsibilities(points).shape
    (500, 2)
    """

    def __init__(self, spec: AtlasSpec | None = None) -> None:
        if not isinstance(spec, AtlasSpec | None):
            raise SpecError(
                f"{excerpt(spec)} is no AtlasSpec; write AtlasSpec(charts=4, dim=1), or "
                "AtlasSpec.shipped('ring')"
            )
        self.spec = spec or AtlasSpec()
        self._saved: SavedAtlas | None = None
        self._run: AtlasRun | None = None

    def __repr__(self) -> str:
        of = f"{self.spec.charts} charts of {self.spec.dim} dimensions"
        if self._saved is None:
            return f"Atlas({of}; not fitted)"
        return f"Atlas({of}, of {self._saved.count} points with {len(self.columns)} coordinates)"

    def _repr_html_(self) -> str:
        if self._saved is None:
            return f"<p>{self!r}</p><pre>{self.spec!r}</pre>"
        alpha = self.model.log_alpha.exp().numpy()
        table = pd.DataFrame({"weight": alpha}).rename_axis("chart")
        return f"<p>{self!r}</p><pre>{self.spec!r}</pre>{table.round(3).to_html()}"

    @property
    def model(self) -> AtlasModel:
        """The trained Pyro program, in double precision; an error before `fit` or `load`."""
        return self._fitted.model

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the coordinates of a point."""
        return self._fitted.columns

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: `epoch`, `phase` and `loss` (nats per point).

        The phases are seeding, the mixture and the overlap, whose losses are of different kinds.
        """
        records = [] if self._run is None else self._run.records
        return pd.DataFrame(records, columns=pd.Index(_HISTORY))

    @property
    def _fitted(self) -> SavedAtlas:
        if self._saved is None:
            raise NotFittedError("this atlas is not fitted yet: call fit(points) or load(folder)")
        check_torch_settings()
        return self._saved

    # Training.

    @torch.inference_mode(False)
    def fit(
        self,
        points: Points,
        *,
        seed: int = 0,
        progress: bool = True,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        supports: ArrayLike | None = None,
        seeds: ArrayLike | None = None,
    ) -> Self:
        """Learn the manifold that points lie on or near.

        Parameters
        ----------
        points : array or DataFrame, shape (N, n)
        seed : int
        progress : bool
            Show a progress bar.
        checkpoint : path, optional
            Folder into which the state of the training is saved as it goes and when it is
            interrupted.
        resume : bool
            Continue from the state in `checkpoint`, to the same result as without interruption.
        supports : array of int, shape (K, s), optional
            The coordinates of which each chart knows; its points are 0 in the others.
        seeds : array of int, shape (K, m), optional
            Rows of the points that each chart learns first. By default the neighbours of random
            points that lie far apart.

        Returns
        -------
        Atlas
            Itself.

        Raises
        ------
        DataError
            For points that are not finite, fewer than charts, or of fewer coordinates than `dim`.
        CheckpointError
            Where another training is there to be resumed, or a damaged one.
        TrainingDivergedError

        Warns
        -----
        ChartWarning
            Where a chart is responsible for next to no point.
        """
        columns, values = read_points(points)
        run = AtlasRun.prepare(
            self.spec,
            values,
            seed=seed,
            folder=checkpoint,
            resume=resume,
            supports=None if supports is None else torch.as_tensor(supports),
            seeds=None if seeds is None else torch.as_tensor(seeds),
        )
        self._take(run, columns, isinstance(points, pd.DataFrame), seed)
        run.train(progress)
        self._take(run, columns, isinstance(points, pd.DataFrame), seed)
        share = np.asarray(self.responsibilities(points)).mean(0)
        idle = np.flatnonzero(share < _IDLE / self.spec.charts)
        if len(idle):
            warn(
                f"of {self.spec.charts} charts number {', '.join(map(str, idle))} holds next to no "
                "point: the others cover them. Fewer charts may do, or another seed",
                ChartWarning,
            )
        return self

    def _take(self, run: AtlasRun, columns: tuple[str, ...], named: bool, seed: int) -> None:
        """Answer with the weights that a run has now."""
        self._run = run
        self._saved = SavedAtlas.of(
            run.trainer.model, run.trainer.points, columns, named, seed, _FLOOR
        )

    # Answers.

    def responsibilities(self, points: Points) -> NDArray[np.float64] | pd.DataFrame:
        """Probability of each chart for points, γ_k(x), (N, K)."""
        parts = [self.model.encoded(x).log_weights.softmax(0).mT for x in self._split(points)]
        return self._given(torch.cat(parts), points, self._chart_names)

    def encode(self, points: Points, chart: int) -> NDArray[np.float64] | pd.DataFrame:
        """Coordinates z = E_k(x) of points in one chart, (N, d)."""
        chart = self._chart(chart)
        parts = [self.model.encode(x)[chart] for x in self._split(points)]
        return self._given(torch.cat(parts), points, [f"z{i}" for i in range(self.spec.dim)])

    def decode(self, z: ArrayLike, chart: int) -> NDArray[np.float64]:
        """Points x = D_k(z) at coordinates (N, d) of one chart, (N, n)."""
        chart = self._chart(chart)
        values = as_numbers(z, "coordinates")
        if values.ndim != 2 or values.shape[1] != self.spec.dim:
            raise DataError(
                f"coordinates have shape {values.shape}; this atlas takes (N, {self.spec.dim})"
            )
        check_finite(values, "coordinates")
        with torch.no_grad():
            return np.asarray(self.model.decode(torch.tensor(values))[chart])

    def project(self, points: Points) -> NDArray[np.float64] | pd.DataFrame:
        """Points of the manifold near those given, by the chart most responsible for each, (N, n).

        What is projected twice is where it was after the first time.
        """
        return self._given(self._projected(self._tensor(points)), points, self.columns)

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64] | pd.DataFrame:
        """Draw points of the manifold, without noise around it, (n, n_coordinates).

        A DataFrame where the atlas was fitted on one.
        """
        _check_number("n", n)
        model, parts = self.model, []
        with seeded(seed), torch.no_grad():
            chart = torch.multinomial(model.log_alpha.exp(), n, replacement=True)
            xi = model.density().sample(torch.Size([n]))
            for some, at in zip(xi.split(_CHUNK), chart.split(_CHUNK), strict=True):
                made = model.decode(model.from_xi(some))
                parts.append(made[at, torch.arange(len(at))])
        return self._named(torch.cat(parts))

    def log_prob(
        self, points: Points, *, draws: int = 64, seed: int = 0
    ) -> NDArray[np.float64] | pd.Series:
        """Log density of points, in nats, (N,).

        Estimated by importance sampling with the guide: a lower bound in expectation, which is
        close where σ_z is about the size of σ_x over the stretch of the chart.

        Parameters
        ----------
        points : array or DataFrame
        draws : int
        seed : int
        """
        _check_number("draws", draws)
        found = []
        with seeded(seed), torch.no_grad():
            for x in self._split(points):
                weights = [self.model.bound(x) for _ in range(draws)]
                found.append(torch.stack(weights).logsumexp(0) - np.log(draws))
        values = torch.cat(found).numpy()
        if isinstance(points, pd.DataFrame):
            return pd.Series(values, points.index, name="log_prob")
        return values

    # Inverse problems.

    @torch.inference_mode(False)
    def minimize(
        self,
        objective: Objective,
        start: Points | int = 10,
        steps: int = 500,
        constraints: Sequence[Objective] = (),
        seed: int = 0,
    ) -> Descent:
        """Riemannian gradient descent of an objective on the manifold; it never rises.

        Parameters
        ----------
        objective : callable
            From a tensor of points (M, n) to one value each, (M,), by torch operations that have a
            gradient; each value of its own point alone. For the data term of an inverse problem see
            `pyro_hea.charts.misfit`.
        start : array or DataFrame of shape (M, n), or int
            Points, which are projected first; a number draws so many from the atlas.
        steps : int
            At most; the descent ends earlier where no start moves any more.
        constraints : sequence of callable
            Like the objective; each holds where it is at most 0, at the start and at every step.
        seed : int
            Of the points that are drawn.

        Returns
        -------
        Descent

        Raises
        ------
        DataError
            For a start that is farther from the manifold than the manifold is wide, and an
            objective that is not finite, not differentiable or of another shape.
        ConstraintError
            For a constraint that does not hold at a start.
        """
        _check_number("steps", steps)
        if isinstance(start, Integral):
            start = self.sample(int(start), seed)
        given = self._tensor(start, "starts")
        x = self._projected(given)
        far = (given - x).norm(dim=1)
        if bool((far > self._fitted.extent).any()):
            row = int(far.argmax())
            raise DataError(
                f"start {row} is {float(far[row]):.3g} away from the manifold, which is "
                f"{self._fitted.extent:.3g} wide: start from a point near it"
            )
        path = descend(self.model, objective, x, steps, constraints, self._fitted.floor)
        last, values, charts = path[-1]
        trail = pd.concat(
            [self._trail(step, *found) for step, found in enumerate(path)], ignore_index=True
        )
        return Descent(
            self._given(last, start, self.columns), values.numpy(), charts.numpy(), trail
        )

    posterior = asks(posterior_draws, of="_fitted")

    # Figures.

    def plot(self, points: Points | int = 2000, ax: Axes | None = None) -> Axes:
        """Draw points of a manifold in two or three dimensions, by their chart.

        Parameters
        ----------
        points : points or int
            A number draws so many from the atlas.
        ax : Axes, optional
        """
        from pyro_hea import plots

        if isinstance(points, int):
            points = self.sample(points)
        gamma = np.asarray(self.responsibilities(points))
        return plots.atlas_charts(np.asarray(points, float), gamma, self.columns, ax)

    # Files.

    def save(self, directory: str | Path) -> None:
        """Write weights (safetensors) and manifest (JSON) into a folder."""
        save_atlas(self._fitted, directory)

    @classmethod
    @torch.inference_mode(False)
    def load(cls, directory: str | Path) -> Self:
        """Read a saved atlas, after checking that it is whole and fits this release.

        Raises
        ------
        MissingFileError, CheckpointError
        """
        saved = load_atlas(directory)
        atlas = cls(saved.model.spec)
        atlas._saved = saved
        return atlas

    # Helpers.

    @property
    def _chart_names(self) -> list[str]:
        return [f"chart{k}" for k in range(self.spec.charts)]

    def _chart(self, chart: int) -> int:
        if not isinstance(chart, Integral) or not 0 <= chart < self.spec.charts:
            raise DataError(
                f"there is no chart {chart!r}; this atlas has 0 to {self.spec.charts - 1}"
            )
        return chart

    def _tensor(self, points: Points, what: str = "points") -> Tensor:
        return points_tensor(points, self.columns, what)

    def _split(self, points: Points) -> list[Tensor]:
        return [*self._tensor(points).split(_CHUNK)]

    @torch.no_grad()
    def _projected(self, points: Tensor) -> Tensor:
        return torch.cat([project(self.model, x) for x in points.split(_CHUNK)])

    def _given(self, values: Tensor, like: Any, names: Sequence[str]) -> Any:
        return as_given(values, like, names)

    def _named(self, points: Tensor) -> NDArray[np.float64] | pd.DataFrame:
        if self._fitted.named:
            return pd.DataFrame(points.numpy(), columns=pd.Index(self.columns))
        return np.asarray(points)

    def _trail(self, step: int, x: Tensor, values: Tensor, charts: Tensor) -> pd.DataFrame:
        start = np.arange(len(x))
        found = {"start": start, "step": step, "chart": charts.numpy(), "value": values.numpy()}
        return pd.DataFrame(found | dict(zip(self.columns, x.numpy().T, strict=True)))


def _check_number(name: str, value: int) -> None:
    """Refuse a number of points, draws or steps that is none."""
    if not isinstance(value, Integral) or value < 1:
        raise DataError(f"{name}={value!r} is not allowed; it is a whole number, at least 1")
