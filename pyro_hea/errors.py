"""Exceptions and warnings of the package, and hints for their messages.

Each exception derives from `PyroHEAError` and from the builtin that a caller would expect.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches


class PyroHEAError(Exception):
    """Base of every exception that the package raises on purpose."""


class FormulaError(PyroHEAError, ValueError):
    """A composition cannot be read.

    Attributes
    ----------
    position : int or None
        Where in the formula, counted from 0.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class UnknownElementError(FormulaError):
    """An element does not exist, or lies outside the elements that are allowed here."""


class DataError(PyroHEAError, ValueError):
    """A table, or a value in it, is not valid."""


class StructureError(PyroHEAError, ValueError):
    """A crystal structure cannot be read, or cannot exist."""


class SpecError(PyroHEAError, ValueError):
    """A declaration (a target, a prior, a setting) is malformed."""


class CheckpointError(PyroHEAError, ValueError):
    """A saved model is damaged, incomplete or of another version."""


class UnknownTargetError(PyroHEAError, KeyError):
    """A target of that name does not exist.

    Examples
    --------
    >>> print(UnknownTargetError("'hardnes' is not a target"))
    'hardnes' is not a target
    """

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError would print the repr of its message


class NotFittedError(PyroHEAError, RuntimeError):
    """A model is used before it was fitted."""


class TrainingDivergedError(PyroHEAError, RuntimeError):
    """The loss or a gradient stopped being finite."""


class TorchSettingsError(PyroHEAError, RuntimeError):
    """A global setting of torch does not allow what is asked."""


class ConstraintError(PyroHEAError, ValueError):
    """Constraints are malformed, or no alloy satisfies them."""


class EngineError(PyroHEAError, RuntimeError):
    """An engine of energies gives none, or not the number that was asked for."""


class ExecutorError(PyroHEAError, RuntimeError):
    """The workers of an executor end, or it takes no more tasks."""


class OutputError(PyroHEAError, OSError):
    """A file cannot be written."""


class MissingFileError(PyroHEAError, FileNotFoundError):
    """A file that is needed does not exist."""


class MissingExtraError(PyroHEAError, ImportError):
    """An optional dependency is not installed."""


class PyroHEAWarning(UserWarning):
    """Base of every warning that the package gives."""


class FormulaWarning(PyroHEAWarning):
    """A formula may have been meant in another way than it is read."""


class TableWarning(PyroHEAWarning):
    """A part of a table is not used, or may have been meant in another way than it is read."""


class ConflictingReportsWarning(PyroHEAWarning):
    """Reports on one alloy disagree."""


class UnseenElementWarning(PyroHEAWarning):
    """A prediction is asked for an element that no training alloy holds."""


class StructureWarning(PyroHEAWarning):
    """Some structures were left out, or something about them was ignored."""


class ExtrapolationWarning(PyroHEAWarning):
    """A prediction is asked at a condition outside the range that was measured."""


class LeakWarning(PyroHEAWarning):
    """An alloy of a test part is also among the training alloys."""


class FewLabelsWarning(PyroHEAWarning):
    """A target has fewer labels than can be learnt from with any trust."""


class ChartWarning(PyroHEAWarning):
    """A chart of an atlas is responsible for next to no point."""


class ResumeWarning(PyroHEAWarning):
    """There is no training to resume, and a new one starts."""


class DesignWarning(PyroHEAWarning):
    """A design run returned fewer alloys, or worse ones, than requested."""


class FormerKeyWarning(PyroHEAWarning, FutureWarning):
    """A spec names a key as an earlier release did."""


class GuideWarning(PyroHEAWarning):
    """The guide is too far from the posterior to be trusted, or the chains have not mixed."""


class EngineWarning(PyroHEAWarning):
    """An engine gave no energy of some configurations, which are left out."""


class EstimateWarning(PyroHEAWarning):
    """An estimate by importance sampling is not to be trusted."""


class CacheWarning(PyroHEAWarning):
    """A default model cannot be kept in, or read from, the user's cache folder."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Suggest the allowed word that is nearest to `word`.

    Parameters
    ----------
    word : str
        What was written.
    allowed : iterable of str
        What could have been written; case is ignored.

    Returns
    -------
    str
        A sentence with a leading space, to be appended to a message; empty if nothing is close.

    Examples
    --------
    >>> nearest("hardnes", ["hardness", "elongation"])
    " Did you mean 'hardness'?"
    >>> nearest("price", ["price_USD_kg", "hardness"])
    " Did you mean 'price_USD_kg'?"
    >>> nearest("colour", ["hardness", "elongation"])
    ''
    """
    by_lower = {name.lower(): name for name in allowed}
    written = str(word).lower()
    close = get_close_matches(written, by_lower, n=1)
    close = close or [name for name in by_lower if name.startswith(f"{written}_")]
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def excerpt(value: object, position: int = 0, length: int = 60) -> str:
    """Quote a value in a message of bounded length.

    Parameters
    ----------
    value : object
        Text, or anything with a `repr`.
    position : int
        The character that has to be seen.
    length : int
        Characters shown at most.

    Returns
    -------
    str
        The value as Python writes it, with `…` where something is left out.

    Examples
    --------
    >>> print(excerpt("CoCrFeNi"), excerpt("A" * 100, length=5))
    'CoCrFeNi' 'AAAAA…'
    """
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= length:
        return repr(value)
    start = max(0, min(position - length // 2, len(text) - length))
    shown = "…" * (start > 0) + text[start : start + length]
    shown += "…" * (start + length < len(text))
    return repr(shown) if isinstance(value, str) else shown


def listing(names: Iterable[object], limit: int = 12) -> str:
    """List names in a message of bounded length.

    Examples
    --------
    >>> listing(["a", "b", "c"], limit=2)
    'a, b, … (3 in all)'
    """
    every = list(names)
    shown = [excerpt(str(name), length=40)[1:-1] for name in every[:limit]]
    return ", ".join([*shown, f"… ({len(every)} in all)"] if len(every) > limit else shown)


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """Make the error for a missing optional dependency.

    Parameters
    ----------
    package : str
        The package that failed to import.
    extra : str
        The extra of this distribution that installs it.

    Returns
    -------
    MissingExtraError
        To be raised by the caller, from the `ImportError`.

    Examples
    --------
    >>> print(missing_extra("shap", "explain"))
    This needs the package 'shap', which is not installed: pip install "pyro-hea[explain]"
    """
    return MissingExtraError(
        f"This needs the package '{package}', which is not installed: "
        f'pip install "pyro-hea[{extra}]"',
        name=package,
    )


_PASSED_OVER = ("pyro_hea", "torch", "contextlib", "functools")
"""Modules whose calls a warning does not point at."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside the package from which it was called.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("three labels", FewLabelsWarning)
    >>> print(caught[0].message)
    three labels
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _PASSED_OVER:
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
