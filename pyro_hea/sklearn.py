"""scikit-learn estimators: `AlloyRegressor` for a number, `AlloyClassifier` for classes.

They work in `cross_val_score`, `GridSearchCV` and pipelines. X is the amounts of elements, one
column an element, in atomic fractions or percent; the features of the field are computed within.

Examples
--------
>>> from pyro_hea import ModelSpec, load_alloys
>>> data = load_alloys("borg2020").take(range(60))
>>> quick = {"steps": 300, "synthetic_alloys": 500}
>>> spec = ModelSpec(training={"members": 2, "epochs": 2, "distillation": quick})
>>> AlloyRegressor(spec).fit(data.fractions, data.labels["hardness"]).predict(
...     data.fractions.head(3)
... ).shape
(3,)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d, validate_data

from pyro_hea.errors import DataError, TableWarning, warn
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.spec import ModelSpec
from pyro_hea.spec.inferred import has_few_numbers
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TARGET = "label"


class _AlloyEstimator:
    """Settings, input and training, which both estimators share."""

    n_features_in_: int

    def __init__(
        self,
        spec: ModelSpec | None = None,
        elements: Sequence[str] | None = None,
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.spec = spec
        self.elements = elements
        self.random_state = random_state
        self.device = device

    def __sklearn_tags__(self) -> Any:
        after: Any = super()  # BaseEstimator, which this class stands before
        tags = after.__sklearn_tags__()
        tags.input_tags.positive_only = True
        for own in (tags.classifier_tags, tags.regressor_tags):
            if own is not None:
                own.poor_score = True  # on numbers that are no compositions
        return tags

    def _fit(self, x: ArrayLike, labels: pd.Series, target: dict[str, Any]) -> None:
        fractions = self._fractions(x, reset=True)
        if len(fractions) != len(labels):
            raise DataError(f"X has {len(fractions)} rows, y has {len(labels)}")
        if len(fractions) < 2:
            raise DataError(f"n_samples = {len(fractions)} is too few to learn from")
        labels.index = fractions.index
        columns = {"formula": labels.index, "target": _TARGET, "value": labels.to_numpy()}
        reports = pd.DataFrame(columns)
        data = AlloyDataset.from_reports(fractions, reports.dropna(), [_TARGET])
        spec = (self.spec or ModelSpec()).with_(targets=[{"name": _TARGET, **target}])
        if self.spec is None and has_few_numbers(spec.targets, data):
            spec = spec.with_(training__distillation__numbers=True)
        self.vae_ = DisentangledVAE(spec).fit(
            data, seed=self.random_state, device=self.device, progress=False
        )

    def _predicted(self, x: ArrayLike) -> pd.DataFrame:
        check_is_fitted(self)
        return self.vae_.predict(self._fractions(x, reset=False))

    def _fractions(self, x: ArrayLike, *, reset: bool) -> pd.DataFrame:
        """Rows of X as atomic fractions by element, each with a name of its own."""
        fewest = 2 if reset else 0  # afterwards the number of columns is checked to be the same
        amounts = validate_data(self, x, reset=reset, dtype=np.float64, ensure_min_features=fewest)
        if (amounts < 0).any():
            raise DataError("Negative values in data passed to X: amounts of elements are positive")
        if reset:
            self.elements_, self._named = self._columns()
        empty = amounts.sum(axis=1) == 0
        if empty.any() and self._named:
            raise DataError(f"row {int(empty.argmax())} of X holds no element")
        amounts = np.where(empty[:, None], 1.0, amounts)
        total = amounts.sum(axis=1, keepdims=True)
        names = pd.Index([f"row {i}" for i in range(len(amounts))], name="formula")
        return pd.DataFrame(amounts / total, names, list(self.elements_))

    def _columns(self) -> tuple[tuple[str, ...], bool]:
        """The element of each column, and whether it is given or named, or guessed."""
        known, count = load_tables("field").elements, self.n_features_in_
        named = tuple(getattr(self, "feature_names_in_", ()))
        if self.elements is not None:
            if len(self.elements) != count:
                raise DataError(f"{len(self.elements)} elements for the {count} columns of X")
            return tuple(self.elements), True
        if named and set(named) <= set(known):
            return named, True
        if count > len(known):
            raise DataError(f"X has {count} columns, and the tables hold {len(known)} elements")
        first = tuple(known[:count])
        warn(
            f"the columns of X are not named by elements and are taken for {', '.join(first)}, a "
            "row of zeros for equal amounts: pass a DataFrame with a column an element, or "
            "elements=",
            TableWarning,
        )
        return first, False


class AlloyRegressor(_AlloyEstimator, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types: its classes are Any
    """Predict a number from compositions.

    Parameters
    ----------
    spec : ModelSpec, optional
        All settings but the targets, which are replaced by the one that is fitted.
    elements : sequence of str, optional
        Element of each column of X. A DataFrame's columns say it themselves.
    random_state : int
    device : str

    Attributes
    ----------
    vae_ : DisentangledVAE
        The trained model.
    elements_ : tuple of str
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on amounts (N, E), not negative, and numbers (N,), NaN where there is none."""
        values = column_or_1d(_required(y), dtype=np.float64, warn=True)
        assert_all_finite(values, allow_nan=True, input_name="y")
        if np.isnan(values).all():
            raise DataError("y has no label: every value is NaN")
        positive = bool(np.nanmin(values) > 0)
        target = {"kind": "continuous", "unit": "", "positive": positive}
        target["transform"] = "log" if positive else "identity"
        self._fit(X, pd.Series(values), target)
        return self

    def predict(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Mean (N,) and, on request, standard deviation (N,)."""
        table = self._predicted(X)
        mean = table[_TARGET].to_numpy()
        return (mean, table[f"{_TARGET}_sd"].to_numpy()) if return_std else mean


class AlloyClassifier(_AlloyEstimator, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types: its classes are Any
    """Predict a class from compositions.

    Parameters and attributes are those of `AlloyRegressor`; `classes_` are the classes.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on amounts (N, E), not negative, and classes (N,), NaN where unlabelled.

        Beside two other classes or more, -1 marks an unlabelled row too.
        """
        given = column_or_1d(_required(y), warn=True)
        if given.dtype.kind == "f":
            assert_all_finite(given, allow_nan=True, input_name="y")
        known = pd.notna(given)
        if given.dtype.kind in "if" and len(set(given[known]) - {-1}) > 1:
            known &= given != -1
        check_classification_targets(given[known])
        self.classes_, codes = np.unique(given[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has {len(self.classes_)} class; at least two are needed")
        names = [f"class {i}" for i in range(len(self.classes_))]
        labels = pd.Series(np.nan, range(len(given)), dtype=object)
        if len(names) == 2:
            labels[known] = codes
            target: dict[str, Any] = {"kind": "binary"}
        else:
            labels[known] = np.array(names)[codes]
            target = {"kind": "categorical", "classes": names}
        self._fit(X, labels, target)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, (N, classes), to five digits.

        Further ones depend on what else is asked, in single precision.
        """
        table = self._predicted(X)
        if len(self.classes_) == 2:
            of_second = table[_TARGET].to_numpy().round(5)
            return np.stack([1 - of_second, of_second], 1)
        columns = [f"{_TARGET}[class {i}]" for i in range(len(self.classes_))]
        rounded = table[columns].to_numpy().round(5)
        return np.asarray(rounded / rounded.sum(1, keepdims=True))

    def predict(self, X: ArrayLike) -> Any:
        """The most probable class, (N,)."""
        likeliest = self.predict_proba(X).argmax(1)
        return self.classes_[likeliest]


def _required(y: ArrayLike | None) -> ArrayLike:
    if y is None:
        raise DataError("requires y to be passed, but the target y is None")
    return y
