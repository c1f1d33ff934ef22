import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def designs():
    """Atomic fractions of 24 alloys of five elements, one of them never present."""
    fractions = np.random.default_rng(1).dirichlet(np.ones(4), 24)
    table = pd.DataFrame(fractions, columns=["Al", "Co", "Cr", "Ni"])
    table.insert(2, "Hf", 0.0)
    table.index = pd.Index([f"Alloy{i}" for i in range(24)], name="formula")
    return table


@pytest.fixture(scope="session")
def predictions(designs):
    """A binary target of those alloys, as `predict` gives it."""
    mean = np.random.default_rng(2).uniform(0.2, 0.8, len(designs))
    columns = {"single_phase": mean, "single_phase_sd": 0.1}
    columns |= {"single_phase_low": mean - 0.2, "single_phase_high": mean + 0.1}
    return pd.DataFrame(columns, index=designs.index)
