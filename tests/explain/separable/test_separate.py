"""T on the latent of a model: exact, and without a change of the model; its scores are honest."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from pyro_hea.errors import DataError
from pyro_hea.explain import SeparableLatent, separate
from pyro_hea.explain.separable.scores import bootstrap_scores
from pyro_hea.spec import Separation

QUICK_STEPS = Separation(layers=2, hidden=8, steps=5, drawn=50)
PLANTED = Separation(
    layers=8,
    hidden=32,
    steps=300,
    drawn=0,
    batch_size=200,
    learning_rate=0.01,
    bending=0.0,
    straightening=0.0,
)


def f1(scores: pd.DataFrame, latent: str, column: str) -> pd.Series:
    return scores[column].xs((latent, "macro F1"), level=("latent", "measure"))


@pytest.fixture(scope="module")
def some(many) -> pd.DataFrame:
    return many[:60]


@pytest.fixture(scope="module")
def first(vae, some) -> SeparableLatent:
    """T of a few steps."""
    return separate(vae, "holds Al", alloys=some, spec=QUICK_STEPS)


def test_there_and_back_gives_the_latent_of_the_model(holds_al, encoded):
    w = encoded.w
    assert (holds_al.w(holds_al.u(w)) - w).abs().max() <= 1e-5


def test_the_log_determinant_is_that_of_autograd(holds_al, encoded):
    w = encoded.w[:10]
    flow = holds_al.model.flow(w[None, :, :0])
    said = flow.log_abs_det_jacobian(w[None], flow(w[None]))[0]
    encode = holds_al.model.encode
    each = [torch.autograd.functional.jacobian(lambda x: encode(x[None])[0], row) for row in w]
    true = torch.linalg.slogdet(torch.stack(each)).logabsdet
    torch.testing.assert_close(said, true, atol=1e-4, rtol=0)


def test_the_model_itself_is_unchanged_to_the_bit(vae, some, new):
    def error() -> pd.DataFrame:
        return vae.reconstruct(new[:5]).sub(vae.ensemble.fractions(new[:5])).abs()

    before, weights = error(), [p.detach().clone() for p in vae.ensemble.model.parameters()]
    separate(vae, "holds Al", alloys=some, spec=QUICK_STEPS)
    pd.testing.assert_frame_equal(before, error(), check_exact=True)
    after = vae.ensemble.model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))


def test_the_same_seed_gives_the_same_t_and_each_member_has_its_own(
    vae, holds_al, first, some, new
):
    new = new[:5]
    again = separate(vae, "holds Al", alloys=some, spec=QUICK_STEPS)
    pd.testing.assert_frame_equal(again.encode(new), first.encode(new), check_exact=True)
    other = separate(vae, "holds Al", member=1, alloys=some, spec=QUICK_STEPS)
    assert not np.allclose(other.latent.encode(new).w, again.latent.encode(new).w)
    assert not np.allclose(first.by("holds Al").encode(new), holds_al.encode(new))


def test_encode_and_decode_are_the_parts_of_a_reconstruction(holds_al, new, rebuilt):
    formulas = new.index[:3].tolist()
    u = holds_al.encode(formulas)
    assert u.columns.tolist() == ["u0", "u1"]
    for formula in formulas:
        y = float(holds_al.latent.encode([formula]).y["single_phase"])
        made = holds_al.decode(u.loc[[formula]], {"single_phase": y})
        raw = made.where(made >= 0.01, 0)
        kept = raw.div(raw.sum(axis=1), axis=0).to_numpy()
        np.testing.assert_allclose(kept, rebuilt([formula]).to_numpy(), atol=1e-4)


def test_probabilities_are_those_of_the_mixture(holds_al, new):
    u = holds_al.encode(new[:5]).to_numpy()
    apart = u[:, None] - holds_al.means.numpy()
    odds = holds_al.model.weights.numpy() * np.exp(-np.square(apart).sum(-1) / 2)
    found = holds_al.probabilities(new[:5])
    np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), atol=1e-5)
    assert found.columns.tolist() == ["no Al", "holds Al"]


def test_planted_clusters_are_found_in_held_out_alloys(holds_al, encoded, many, new):
    # a checkerboard of the latent: no classifier of straight lines tells it
    w = torch.cat([holds_al.trained.w, encoded.w])
    code = (w > holds_al.trained.w.median(0).values).sum(1).numpy() % 2
    both = many.index.append(new.index)
    lists = {name: both[code == c].tolist() for c, name in enumerate(("even", "odd"))}
    found = holds_al.by(lists, spec=PLANTED)
    scores = found.scores(new, shuffled=False)
    assert f1(scores, "before", "held_out")["linear SVM"] < 0.7
    after = f1(scores, "after", "held_out")
    assert after["naive Bayes"] > 0.9
    assert after["linear SVM"] > 0.9
    said = found.model.log_clusters(found.u(encoded.w)).argmax(1).numpy()
    assert np.mean(said == code[len(many) :]) > 0.9


def test_clusters_that_nothing_tells_are_read_at_chance_where_they_are_held_out(
    holds_al, many, new
):
    both = many.index.append(new.index)
    code = np.random.default_rng(0).integers(2, size=len(both))
    lists = {name: both[code == c].tolist() for c, name in enumerate(("heads", "tails"))}
    short = PLANTED.model_copy(update={"layers": 4, "steps": 150, "learning_rate": 0.02})
    found = holds_al.by(lists, spec=short)
    scores = found.scores(new)
    # three standard deviations of the accuracy of a coin that is tossed for each alloy
    chance = 0.5 + 3 * 0.5 / len(new) ** 0.5
    for latent in ("before", "after"):
        assert (f1(scores, latent, "held_out") < chance).all()
        assert (f1(scores, latent, "shuffled") < chance).all()
    assert f1(scores, "after", "seen").max() > chance


def test_alloys_that_t_was_trained_on_are_not_held_out(holds_al, many, new):
    pd.testing.assert_frame_equal(
        holds_al.scores(new[:5], shuffled=False),
        holds_al.scores(pd.concat([many[:50], new[:5]]), shuffled=False),
    )
    with pytest.raises(DataError, match="no alloy is left to score: of 200, T was trained on 200"):
        holds_al.scores(many)


def test_seen_held_out_and_shuffled_scores_have_their_columns_and_intervals(first, new):
    scores = first.scores(new[:40])
    columns = [c + end for c in ("seen", "held_out", "shuffled") for end in ("", "_low", "_high")]
    assert scores.columns.tolist() == columns
    for name in ("seen", "held_out", "shuffled"):
        assert (scores[f"{name}_low"] <= scores[name]).all()
        assert (scores[name] <= scores[f"{name}_high"]).all()


@pytest.mark.parametrize("clusters", [2, 4])
def test_scores_are_those_of_scikit_learn(clusters):
    rng = np.random.default_rng(0)
    truth = rng.integers(clusters, size=60)
    said = np.where(rng.random(60) < 0.6, truth, rng.integers(clusters, size=60))
    scores = bootstrap_scores(truth, said, draws=10)
    macro = f1_score(truth, said, average="macro")
    assert scores["macro F1"][0] == pytest.approx(macro)
    assert scores["accuracy"][0] == pytest.approx(accuracy_score(truth, said))
    assert len(scores["accuracy"]) == 11


def test_another_t_of_the_same_alloys_is_as_if_it_was_made_anew(vae, first, some, new):
    above = 0.05
    rules = {"W": lambda x: x["W"] > above, "no W": lambda x: x["W"] <= above}
    anew = separate(vae, rules, alloys=some, spec=QUICK_STEPS)
    other = first.by(rules)
    assert other.names == ("W", "no W")
    pd.testing.assert_frame_equal(other.encode(new[:5]), anew.encode(new[:5]), check_exact=True)
