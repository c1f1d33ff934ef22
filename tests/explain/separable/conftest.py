"""One small separable latent, of alloys that the small model was not trained on."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from pyro_hea.explain import SeparableLatent, separate
from pyro_hea.explain.separable.member_latent import Encoded
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.spec import Separation

QUICK = Separation(layers=4, hidden=16, steps=120, drawn=500, batch_size=256)


def random_alloys(elements: list[str], n: int, seed: int) -> pd.DataFrame:
    """Quaternary alloys, (n, E) fractions."""
    rng = np.random.default_rng(seed)
    formulas: dict[str, None] = {}
    while len(formulas) < n:
        some = sorted(rng.choice(elements, 4, replace=False))
        parts = zip(some, rng.integers(1, 6, 4), strict=True)
        formulas["".join(f"{e}{k}" for e, k in parts)] = None
    return fraction_table(list(formulas), elements)


@pytest.fixture(scope="session")
def many(vae) -> pd.DataFrame:
    return random_alloys(list(vae.ensemble.elements), 200, seed=1)


@pytest.fixture(scope="session")
def new(vae, many) -> pd.DataFrame:
    """Alloys that are not among them."""
    table = random_alloys(list(vae.ensemble.elements), 150, seed=2)
    return table[~table.index.isin(many.index)]


@pytest.fixture(scope="session")
def holds_al(vae, many) -> SeparableLatent:
    return separate(vae, "holds Al", alloys=many, spec=QUICK)


@pytest.fixture(scope="session")
def encoded(holds_al, new) -> Encoded:
    """The new alloys in the latent of the member."""
    return holds_al.latent.encode(new)


@pytest.fixture(scope="session")
def without_al(new) -> str:
    """An alloy without Al."""
    return str(new.index[new["Al"] == 0][0])


@pytest.fixture(scope="session")
def rebuilt(holds_al) -> Callable[[list[str]], pd.DataFrame]:
    """Gives alloys as the member reconstructs them, without T."""

    def decode(formulas: list[str]) -> pd.DataFrame:
        latent = holds_al.latent
        encoded = latent.encode(formulas)
        return latent.table(latent.decode(encoded.w, encoded.y))

    return decode
