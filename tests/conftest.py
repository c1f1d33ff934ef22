import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return Path(__file__).resolve().parents[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _global_state_unchanged() -> Iterator[None]:
    """Fail the test that leaves the globals of torch, pyro or matplotlib changed.

    Only what is imported already is looked at; everything is put back for the next test.
    """
    torch, pyro, mpl = (sys.modules.get(name) for name in ("torch", "pyro", "matplotlib"))
    dtype = torch.get_default_dtype() if torch else None
    settings = pyro.settings.get() if pyro else None
    rc = _rc_params(mpl) if mpl else None

    yield

    changed = []
    if torch and torch.get_default_dtype() != dtype:
        changed.append(f"torch's default dtype is {torch.get_default_dtype()}, was {dtype}")
        torch.set_default_dtype(dtype)
    if pyro and pyro.settings.get() != settings:
        changed.append(f"pyro's settings are {pyro.settings.get()}, were {settings}")
        pyro.settings.set(**settings)
    if mpl and _rc_params(mpl) != rc:
        now = _rc_params(mpl)
        changed.append(f"matplotlib's rcParams {[k for k in now if now[k] != rc[k]]} changed")
        mpl.rcParams.update(rc)
    if (pyro := sys.modules.get("pyro")) and (names := list(pyro.get_param_store())):
        changed.append(f"pyro's parameter store holds {names}")
        pyro.clear_param_store()
    assert not changed, "; ".join(changed)


def _rc_params(mpl) -> dict[str, object]:
    # `backend` is settled by the first figure, which is no change of ours.
    return {key: value for key, value in mpl.rcParams.copy().items() if key != "backend"}
