"""Training that goes on with new labels."""

import numpy as np
import pandas as pd
import pytest
from small import small_spec

from pyro_hea import AlloyDataset, DisentangledVAE
from pyro_hea.errors import DataError, NotFittedError
from pyro_hea.materials.alloys.composition import fraction_table

SPEC = small_spec(
    features__bins=3,
    head__hidden=(16,),
    training__epochs=30,
    training__batch_size=16,
    training__mixup=0.0,
)
FORMULAS = [f"Al{a}Co{b}Cr{5 - a}Fe{6 - b}" for a in range(1, 5) for b in range(1, 6)]
NEW = "Al2Co3Cr2Ni3"


def reported(labels: dict[str, float], also: tuple[str, ...] = ()) -> AlloyDataset:
    fractions = fraction_table([*labels, *also])
    values = list(labels.values())
    reports = pd.DataFrame(
        {"formula": fractions.index[: len(labels)], "target": "single_phase", "value": values}
    )
    return AlloyDataset.from_reports(fractions, reports, ["single_phase"])


OLD = reported({f: float(i % 5 < 2) for i, f in enumerate(FORMULAS)}, also=("CoCrFeNi",))


@pytest.fixture
def vae() -> DisentangledVAE:
    return DisentangledVAE(SPEC).fit(OLD, seed=0, progress=False)


def test_a_new_label_is_learnt_and_the_old_ones_stay(vae):
    before = vae.predict([*FORMULAS, NEW])["single_phase"].to_numpy()
    answer = float(before[-1] < 0.5)  # the opposite of what it thinks
    vae.update(reported({NEW: answer}), seed=0, progress=False, epochs=60)
    after = vae.predict([*FORMULAS, NEW])["single_phase"].to_numpy()
    assert abs(after[-1] - answer) < abs(before[-1] - answer)
    labels = OLD.labels["single_phase"].dropna().to_numpy()
    assert np.mean((after[:-1] > 0.5) == labels) >= np.mean((before[:-1] > 0.5) == labels) - 0.1


def test_the_new_alloy_is_known_afterwards(vae):
    vae.update(reported({NEW: 1.0}), progress=False, epochs=1)
    assert len(vae.ensemble.known) == len(OLD) + 1
    assert vae.history["epoch"].max() == 1


def test_a_loaded_model_needs_its_data(vae, tmp_path):
    vae.save(tmp_path)
    loaded = DisentangledVAE.load(tmp_path)
    with pytest.raises(DataError, match="pass update\\(new, data=old\\)"):
        loaded.update(reported({NEW: 1.0}), progress=False)
    one = loaded.update(reported({NEW: 1.0}), OLD, epochs=2, progress=False)
    two = vae.update(reported({NEW: 1.0}), epochs=2, progress=False)
    pd.testing.assert_frame_equal(one.predict([NEW]), two.predict([NEW]))


def test_it_is_as_it_was_after_a_refusal(vae):
    before = vae.predict([NEW])
    with pytest.raises(DataError, match=r"holds Ti.*Train anew with fit to add an element"):
        vae.update(reported({"AlTi": 1.0}), progress=False)
    pd.testing.assert_frame_equal(vae.predict([NEW]), before)


def test_an_untrained_model_is_not_updated():
    with pytest.raises(NotFittedError, match="not trained yet"):
        DisentangledVAE(SPEC).update(OLD, OLD, progress=False)
