"""Exceptions and warnings of the package, and the hints that go into their messages.

Each exception derives from `PyroHEAError` and from the builtin that a caller would expect, so
both ``except PyroHEAError`` and ``except ValueError`` read naturally.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PyroHEAError(Exception):
    """Base of every exception that the package raises on purpose."""


class FormulaError(PyroHEAError, ValueError):
    """A composition cannot be read."""


class UnknownElementError(FormulaError):
    """An element does not exist, or lies outside the elements that are allowed here."""


class DataError(PyroHEAError, ValueError):
    """A table holds something that it must not hold."""


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
    """A model is asked for something before it was fitted."""


class TrainingDivergedError(PyroHEAError, RuntimeError):
    """The loss or a gradient stopped being finite."""


class ConstraintError(PyroHEAError, ValueError):
    """Constraints are malformed, or no alloy satisfies them."""


class OutputError(PyroHEAError, OSError):
    """Nothing can be written to that place."""


class MissingFileError(PyroHEAError, FileNotFoundError):
    """A file that is needed does not exist."""


class MissingExtraError(PyroHEAError, ImportError):
    """An optional dependency is not installed."""


class PyroHEAWarning(UserWarning):
    """Base of every warning that the package gives."""


class ConflictingReportsWarning(PyroHEAWarning):
    """Reports on one alloy tie, and the alloy is left without a label."""


class UnseenElementWarning(PyroHEAWarning):
    """A prediction is asked for an element that no training alloy holds."""


class StructureWarning(PyroHEAWarning):
    """Some structures were left out, or something about them was ignored."""


class LeakWarning(PyroHEAWarning):
    """An alloy of a test part is also among the training alloys."""


class DesignWarning(PyroHEAWarning):
    """A design run returned less, or worse, than it was asked for."""


class GuideWarning(PyroHEAWarning):
    """The guide is too far from the posterior to be trusted, or the chains have not mixed."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Hint at the allowed word that `word` was probably meant to be.

    Parameters
    ----------
    word : str
        What was written.
    allowed : iterable of str
        What could have been written; case is not held against `word`.

    Returns
    -------
    str
        A sentence with a leading space, to be appended to a message; empty if nothing is close.

    Examples
    --------
    >>> nearest("hardnes", ["hardness", "elongation"])
    " Did you mean 'hardness'?"
    >>> nearest("colour", ["hardness", "elongation"])
    ''
    """
    by_lower = {name.lower(): name for name in allowed}
    close = get_close_matches(str(word).lower(), by_lower, n=1)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """Make the error for a package that comes with an optional extra.

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
