from collections.abc import Iterator

import pytest
from small import small_spec

from pyro_hea.evaluate import Runner, experts, paired, semisupervised


@pytest.fixture(scope="module")
def few_labels_runner() -> Iterator[Runner]:
    """Of models that are trained in a moment, beside one baseline."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("synthetic_alloys", 100), ("trees", 4), ("steps", 5)):
            patch.setitem(paired.LEARNT_ALONE, f"training__distillation__{name}", value)
        for module in (paired, semisupervised, experts):
            patch.setattr(module, "TREES", ("logistic_regression",))
        yield Runner(small_spec(), progress=False)
