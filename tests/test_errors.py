import inspect
import warnings

import pytest

from pyro_hea import errors

EXCEPTIONS = {
    "FormulaError": ValueError,
    "UnknownElementError": ValueError,
    "DataError": ValueError,
    "SpecError": ValueError,
    "StructureError": ValueError,
    "CheckpointError": ValueError,
    "UnknownTargetError": KeyError,
    "NotFittedError": RuntimeError,
    "TorchSettingsError": RuntimeError,
    "TrainingDivergedError": RuntimeError,
    "ConstraintError": ValueError,
    "EngineError": RuntimeError,
    "ExecutorError": RuntimeError,
    "OutputError": OSError,
    "MissingFileError": FileNotFoundError,
    "MissingExtraError": ImportError,
}


def test_every_exception_is_listed_here():
    found = [
        name
        for name, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, Exception) and not issubclass(member, Warning)
    ]
    assert sorted(found) == sorted([*EXCEPTIONS, "PyroHEAError"])


@pytest.mark.parametrize(("name", "builtin"), EXCEPTIONS.items())
def test_exception_is_caught_by_base_and_builtin_and_prints_its_message(name, builtin):
    error = getattr(errors, name)("what went wrong")
    assert isinstance(error, errors.PyroHEAError)
    assert isinstance(error, builtin)
    assert str(error) == "what went wrong"


@pytest.mark.parametrize(
    "warning",
    [
        errors.ConflictingReportsWarning,
        errors.UnseenElementWarning,
        errors.LeakWarning,
        errors.DesignWarning,
    ],
)
def test_warnings_can_be_filtered_together(warning):
    with pytest.warns(errors.PyroHEAWarning, match="look here"):
        warnings.warn("look here", warning, stacklevel=1)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("hardnes", " Did you mean 'hardness'?"),
        ("Hardness", " Did you mean 'hardness'?"),
        ("VEC", ""),
        ("", ""),
    ],
)
def test_nearest_names_the_closest_word_or_nothing(word, hint):
    assert errors.nearest(word, ["hardness", "single_phase"]) == hint


def test_missing_extra_says_what_to_install():
    error = errors.missing_extra("shap", "explain")
    assert error.name == "shap"
    with pytest.raises(ImportError, match=r'pip install "pyro-hea\[explain\]"'):
        raise error
