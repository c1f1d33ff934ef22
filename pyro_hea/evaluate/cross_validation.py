"""Cross-validation: predictions of alloys that were held out, beside those of baselines."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, roc_auc_score
from tqdm.auto import tqdm

from pyro_hea.errors import DataError, FewLabelsWarning, UnseenElementWarning, warn
from pyro_hea.evaluate.baselines import predict_probabilities
from pyro_hea.evaluate.folds import assign_folds
from pyro_hea.evaluate.regressors import predict_quantiles
from pyro_hea.materials.alloys.dataset import encode_values, labels_by_processing
from pyro_hea.spec import Binary, Continuous
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.plots import Panels
    from pyro_hea.spec import ModelSpec, Target

MODEL = "pyro_hea"

CLASSIFIERS = ("extra_trees", "gaussian_process", "logistic_regression")
"""What the model is compared with on classes."""

REGRESSORS = ("extra_trees", "gaussian_process", "ridge")
"""What the model is compared with on numbers."""

INTERVAL = 0.94

MEASURES = ("n", "mae", "r2", "coverage", "width", "auc", "accuracy", "log_loss")


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """Held-out predictions of a spec and of baselines, and their scores.

    Attributes
    ----------
    table : DataFrame
        By `target` and `model`. Of a number: `n` labels, `mae` and the mean `width` of the 94 %
        interval in the number's unit, `r2`, and `coverage`, the share of the labels in their
        94 % interval. Of a class: `auc` (binary), `accuracy` and `log_loss` (nats per label).
        NaN where a measure does not apply, or a baseline could not be fitted.
    predictions : DataFrame
        One row per target, model and held-out alloy: `fold`, `formula`, `label`, and
        `prediction`, `low`, `high` of a number or `probability` of the label of a class
        (`prediction` is then the most probable class).
    by : str
        How the folds were made.
    units : dict
        Unit of each number.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    by: str
    units: dict[str, str]

    def summary(self) -> pd.DataFrame:
        """One row per target: the model's scores beside those of the best baseline.

        The best baseline has the least `log_loss`, or of a number the least `mae`.
        """
        rows = []
        for target in self.table.index.unique("target"):
            scores, number = self.table.loc[target], target in self.units
            measure = "mae" if number else "log_loss"
            own, others = scores.loc[MODEL], scores.drop(index=MODEL)[measure].dropna()
            unit = f" {self.units[target]}" if number else " nats"
            row: dict[str, Any] = {"target": target, "labels": round(own["n"])}
            row |= {"measure": measure, "value": f"{own[measure]:.3g}{unit}", "best baseline": "–"}
            if len(others):
                row["best baseline"] = f"{others.min():.3g}{unit} ({others.idxmin()})"
            for name in ("r2", "coverage") if number else ("auc", "accuracy"):
                row[name] = own.get(name, np.nan)
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> Panels:
        """Draw each target: measured against predicted numbers, or the log loss of each model."""
        from pyro_hea.plots import cross_validation_panels

        return cross_validation_panels(self.table, self.predictions, self.units)

    def __repr__(self) -> str:
        return f"CrossValidation(folds by {self.by})\n{self.table.round(3)}"

    def _repr_html_(self) -> str:
        return f"<p>Folds by {escape(self.by)}</p>{self.table.round(3).to_html()}"


def cross_validate(
    spec: ModelSpec,
    data: AlloyDataset,
    folds: int = 5,
    by: Literal["random", "element_set"] = "random",
    seed: int = 0,
    *,
    baselines: bool = True,
    device: str = "auto",
    progress: bool = True,
) -> CrossValidation:
    """Train a spec on all folds but one, and predict the alloys of that one; each in turn.

    Parameters
    ----------
    spec : ModelSpec
    data : AlloyDataset
        Every target of the spec has at least as many labels as there are folds.
    folds : int
    by : {"random", "element_set"}
        Random folds say how well alloys like these are predicted; folds of whole element sets,
        how well alloys of other elements are.
    seed : int
        Of the folds and of the training.
    baselines : bool
        Fit extra trees, a Gaussian process and a linear model on the same folds.
    device : str
        As of `DisentangledVAE.fit`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    CrossValidation

    Raises
    ------
    DataError
        For too many folds, a target with too few labels, or one whose labels are all alike in
        the training part of a fold.

    Warns
    -----
    UnseenElementWarning
        Counting the held-out alloys with an element that their training folds lack.

    Examples
    --------
    >>> from pyro_hea import ModelSpec, cross_validate, load_alloys
    >>> spec = ModelSpec(training={"members": 2, "epochs": 5, "distillation": None})
    >>> data = load_alloys("zeng2024")
    >>> common = data.fractions[["Al", "Co", "Cr", "Fe", "Ni"]].sum(axis=1) > 0.99
    >>> data = data.take(common.to_numpy())
    >>> result = cross_validate(spec, data, 2, progress=False)
    >>> result.table.loc["single_phase"].index.tolist()
    ['pyro_hea', 'extra_trees', 'gaussian_process', 'logistic_regression']
    """
    _check_labels(spec, data, folds)
    fold_of = assign_folds(data, spec.targets, folds, by, seed)
    rows: list[pd.DataFrame] = []
    unseen = 0
    with tqdm(total=folds, disable=not progress, desc="cross-validation", unit="fold") as bar:
        for fold in range(folds):
            train, test = data.take(fold_of != fold), data.take(fold_of == fold)
            answers, strange = predict_held_out(spec, train, test, seed, baselines, device)
            if len(answers):
                rows.append(answers.assign(fold=fold))
            unseen += strange
            bar.update()
    if unseen:
        warn(
            f"{unseen} held-out alloys have an element that no training alloy of their fold "
            "has; they are predicted from their features alone, and wider",
            UnseenElementWarning,
        )
    predictions = pd.concat(rows, ignore_index=True)
    units = {t.name: t.unit for t in spec.targets if isinstance(t, Continuous)}
    return CrossValidation(score_held_out(spec.targets, predictions), predictions, by, units)


def predict_held_out(
    spec: ModelSpec,
    train: AlloyDataset,
    test: AlloyDataset,
    seed: int,
    baselines: bool = True,
    device: str = "auto",
) -> tuple[pd.DataFrame, int]:
    """Train on some alloys and predict others, with the model and the baselines.

    Returns
    -------
    DataFrame
        As `CrossValidation.predictions`, without `fold`; empty where no test alloy has a label.
    int
        Test alloys with an element that no training alloy has.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewLabelsWarning)  # the table counts them
        vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    rows: list[pd.DataFrame] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenElementWarning)  # counted below
        predicted = vae.predict(test)
        for target in spec.targets:
            labels, processing = labels_by_processing(test, target)
            known = labels.notna().to_numpy()
            if not known.any():
                continue
            own = predicted if processing.empty else _predicted(vae, test, processing)
            answers = {MODEL: _of_model(target, own)}
            for name in _baselines(target) if baselines else ():
                answers[name] = _of_baseline(target, name, train, test, seed)
            rows += [_rows(target, name, labels[known], a[known]) for name, a in answers.items()]
    answered = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return answered, int(_with_unseen_elements(vae, test).sum())


def _check_labels(spec: ModelSpec, data: AlloyDataset, folds: int) -> None:
    for target in spec.targets:
        count = int(data.labels[target.name].notna().sum()) if target.name in data.labels else 0
        if count < max(folds, 2):
            raise DataError(
                f"{folds} folds need at least {folds} labels of '{target.name}'; there are "
                f"{count}. Use fewer folds, or take the target out of the spec"
            )


def _with_unseen_elements(vae: DisentangledVAE, alloys: AlloyDataset) -> pd.Series:
    known = list(vae.ensemble.elements)
    return alloys.fractions.drop(columns=known, errors="ignore").sum(axis=1) > 0


def _predicted(vae: DisentangledVAE, test: AlloyDataset, processing: pd.DataFrame) -> pd.DataFrame:
    """Each alloy as it was processed when it was measured."""
    parts = []
    for rows in processing.groupby(list(processing), sort=False).indices.values():
        at = {str(name): each for name, each in processing.iloc[rows[0]].items()}
        parts.append(vae.predict(test.take(rows), conditions=at))
    return pd.concat(parts).loc[test.formulas]


def _inputs(data: AlloyDataset, target: Target, processing: pd.DataFrame) -> np.ndarray:
    """What baselines read: features, and a column of 0 and 1 for each class of a condition."""
    of_class = [
        (processing[name] == each).to_numpy(float)[:, None]
        for name in processing
        for each in cast("tuple[str, ...]", target.conditions[str(name)])[1:]
    ]
    return np.hstack([data.features.to_numpy(), *of_class])


def _baselines(target: Target) -> tuple[str, ...]:
    return REGRESSORS if isinstance(target, Continuous) else CLASSIFIERS


def _of_model(target: Target, predicted: pd.DataFrame) -> pd.DataFrame:
    """Columns `prediction`, `low` and `high` of a number; else of each class its probability."""
    name = target.name
    if isinstance(target, Continuous):
        columns = {"prediction": name, "low": f"{name}_low", "high": f"{name}_high"}
        return pd.DataFrame({key: predicted[column] for key, column in columns.items()})
    if isinstance(target, Binary):
        return pd.DataFrame({0: 1 - predicted[name], 1: predicted[name]})
    classes = [predicted[f"{name}[{c}]"].rename(i) for i, c in enumerate(target.classes)]
    return pd.concat(classes, axis=1)


def _of_baseline(
    target: Target, name: str, train: AlloyDataset, test: AlloyDataset, seed: int
) -> pd.DataFrame:
    """The same columns from a baseline, all NaN where it cannot be fitted."""
    labels, processing = labels_by_processing(train, target)
    known = labels.notna().to_numpy()
    x = _inputs(train, target, processing)[known]
    new = _inputs(test, target, labels_by_processing(test, target)[1])
    y = encode_values(labels[known], target).to_numpy(float)
    if isinstance(target, Continuous):
        link, inverse = (np.log, np.exp) if target.positive else (np.asarray, np.asarray)
        levels = (0.5, (1 - INTERVAL) / 2, (1 + INTERVAL) / 2)
        quantiles = inverse(predict_quantiles(name, x, link(y), new, levels, seed))
        columns = dict(zip(("prediction", "low", "high"), quantiles, strict=True))
        return pd.DataFrame(columns, test.fractions.index)
    classes = 2 if isinstance(target, Binary) else len(target.classes)
    try:
        probability = predict_probabilities(name, x, y.astype(int), new, classes, seed)
    except DataError:  # a class with fewer labels than it needs
        probability = np.full((len(new), classes), np.nan)
    return pd.DataFrame(probability, test.fractions.index)


def _rows(target: Target, model: str, labels: pd.Series, answer: pd.DataFrame) -> pd.DataFrame:
    label = encode_values(labels, target)
    if not isinstance(target, Continuous):
        each = answer.to_numpy(float)
        of_label = each[np.arange(len(each)), label.to_numpy(int)]
        answer = pd.DataFrame({"prediction": each.argmax(1), "probability": of_label})
    about = {"target": target.name, "model": model, "formula": labels.index}
    return pd.DataFrame({**about, "label": label.to_numpy()}).join(answer.reset_index(drop=True))


def score_held_out(targets: Sequence[Target], predictions: pd.DataFrame) -> pd.DataFrame:
    """The scores of `CrossValidation.table`, from its predictions."""
    scores = {}
    of_target = {target.name: target for target in targets}
    for (name, model), rows in predictions.groupby(["target", "model"], sort=False):
        target, y = of_target[str(name)], rows["label"].to_numpy(float)
        row: dict[str, float] = {"n": len(rows)}
        if isinstance(target, Continuous):
            inside = rows["label"].between(rows["low"], rows["high"])
            row |= {
                "mae": mean_absolute_error(y, rows["prediction"]),
                "r2": r2_score(y, rows["prediction"]) if len(rows) > 1 else np.nan,
                "coverage": inside.mean(),
                "width": (rows["high"] - rows["low"]).mean(),
            }
        elif rows["probability"].notna().all():
            p = rows["probability"].clip(np.finfo(float).eps)
            row |= {
                "accuracy": accuracy_score(y, rows["prediction"]),
                "log_loss": float(-np.log(p).mean()),
            }
            if isinstance(target, Binary):
                of_one = np.where(y == 1, rows["probability"], 1 - rows["probability"])
                row["auc"] = roc_auc_score(y, of_one)
        scores[name, model] = row
    table = pd.DataFrame.from_dict(scores, orient="index").reindex(columns=list(MEASURES))
    return table.rename_axis(index=["target", "model"]).dropna(axis=1, how="all")
