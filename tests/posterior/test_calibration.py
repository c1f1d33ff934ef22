"""Fitted calibrations against optima found without the package, and what they are fitted to."""

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats
from sklearn.linear_model import LogisticRegression

from pyro_hea.inference import Measurements
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.posterior import calibrate, marginals
from pyro_hea.posterior.calibration import PRIOR_SD
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

K, FEATURES = 3, ["atomic_size_difference", "mixing_enthalpy"]
SHAPED = {"kind": "continuous", "prior": {"dist": "Normal", "loc": 6.0, "scale": 1.0}}
NUMBER = SHAPED | {"calibration": "temperature"}
TARGETS = {
    "binary": {"calibration": "temperature"},
    "skewed": {"calibration": "beta"},
    "class": {
        "kind": "categorical",
        "classes": ["fcc", "bcc", "hcp"],
        "calibration": "temperature",
    },
    "rating": {"kind": "ordinal", "levels": ["1", "2", "3"], "calibration": "temperature"},
    "hardness": NUMBER,
    "modulus": NUMBER | {"heteroscedastic": False},
    "plain": {},
    "raw": NUMBER | {"calibration": None},
    "tailed": SHAPED,
}


def model_of(name: str, members: int = K, seed: int = 0, **more) -> AlloyModel:
    spec = ModelSpec.from_mapping(
        {
            "targets": {name: TARGETS[name] | more},
            "latent": {"dim": 2, "flow": None},
            "features": {"names": FEATURES, "bins": 3},
            "head": {"hidden": [6]},
            "encoder": {"hidden": [4]},
            "decoder": {"hidden": [4]},
            "training": {"members": members},
        }
    )
    edges = torch.tensor([[-2.0, -0.7, 0.7, 2.0]]).expand(2, 4).contiguous()
    scales = dict.fromkeys(TARGETS, (6.0, 0.5))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = AlloyModel(spec, 3, Statistics(edges, torch.zeros(2), torch.ones(2), scales))
        for parameter in model.parameters():
            parameter.data.normal_(std=0.8)
    return model.double().eval().requires_grad_(False)


def batch_of(name: str, rows: int, labels=None) -> AlloyBatch:
    generator = torch.Generator().manual_seed(rows)
    features = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    fractions = torch.full((rows, 3), 1 / 3, dtype=torch.float64)
    if labels is None:
        classes = {"class": 3, "rating": 3}.get(name, 2)
        labels = torch.randint(classes, (rows,), generator=generator).double()
        if TARGETS[name].get("kind") == "continuous":
            noise = torch.randn(rows, generator=generator, dtype=torch.float64)
            labels = (6 + 0.5 * noise).exp()
    return AlloyBatch(fractions, features, {name: labels}, {})


def outputs_of(model: AlloyModel, batch: AlloyBatch, name: str) -> np.ndarray:
    return model.head(name, model.head_inputs(batch), None).numpy()


def factor(model: AlloyModel, name: str) -> np.ndarray:
    return model.site(name).calibration.numpy()


def likelihoods(model, batch, name, t) -> np.ndarray:
    """q of each label by each member at a temperature, (K, N), by numpy and scipy."""
    o, y = outputs_of(model, batch, name), batch.targets[name].numpy()
    site = model.site(name)
    if name in ("hardness", "modulus"):
        raw = o[..., 1] if name == "hardness" else site.raw_scale.numpy()
        scale = t * (np.log1p(np.exp(raw)) + 0.01)
        return stats.norm.pdf((np.log(y) - 6.0) / 0.5, o[..., 0], scale)
    if name == "binary":
        p = special.expit(o[..., 0] / t)
        return np.where(y == 1, p, 1 - p)
    if name == "class":
        p = special.softmax(o / t, -1)
    else:
        gaps = np.log1p(np.exp(site.raw_gaps.numpy()))
        cuts = np.concatenate([site.lowest_cut.numpy(), gaps], -1).cumsum(-1)
        below = special.expit((cuts - o) / t)
        p = np.diff(below, axis=-1, prepend=0.0, append=1.0)
    return np.take_along_axis(p, y.astype(int)[None, :, None].repeat(K, 0), -1)[..., 0]


@pytest.mark.parametrize("name", ["binary", "class", "rating", "hardness", "modulus"])
def test_a_temperature_is_the_optimum_that_scipy_finds(name):
    model, batch = model_of(name), batch_of(name, 40)

    def loss(log_t):
        q = likelihoods(model, batch, name, np.exp(log_t)).mean(0)
        return -np.log(q).sum() + log_t**2 / 2 / PRIOR_SD**2

    best = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    calibrate(model, batch, validation=batch)
    assert factor(model, name) == pytest.approx([np.exp(best.x)], rel=1e-4)
    assert factor(model, name) != pytest.approx([1.0], rel=0.005)


def sinh_arcsinh(at, loc, scale, w):
    """Density where scipy's standard normal is, once at / scale is w-th of a stretched arcsinh."""
    away = w * (at - loc) / scale
    u = np.sinh(np.arcsinh(away) / w)
    slope = np.cosh(np.arcsinh(away) / w) / np.sqrt(1 + away**2)
    return stats.norm.pdf(u) * slope / scale


def test_scale_and_tails_are_the_optimum_that_scipy_finds():
    model, rows = model_of("tailed"), 300
    o = outputs_of(model, batch_of("tailed", rows), "tailed")
    scale = np.log1p(np.exp(o[..., 1])) + 0.01
    by = np.arange(rows) % K, np.arange(rows)  # each label is one member's, with heavier tails
    away = stats.t.rvs(5, size=rows, random_state=0)
    away = np.where(away < 0, 1.3 * away, 0.8 * away)  # and the lower one the heavier
    y = o[..., 0][by] + scale[by] * away
    batch = batch_of("tailed", rows, torch.tensor(np.exp(6 + 0.5 * y)))

    def loss(x):
        weight = np.exp(np.where(y < o[..., 0], x[1], x[2]))
        q = sinh_arcsinh(y, o[..., 0], np.exp(x[0]) * scale, weight).mean(0)
        return -np.log(q).sum() + (x**2).sum() / 2 / PRIOR_SD**2

    tight = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000}
    best = optimize.minimize(loss, np.zeros(3), method="Nelder-Mead", options=tight).x
    calibrate(model, batch, validation=batch)
    assert factor(model, "tailed") == pytest.approx(np.exp(best), rel=1e-3)
    _, below, above = factor(model, "tailed")
    assert below > 1.2 > above


def test_of_heavy_tails_intervals_hold_at_every_level_only_where_tails_are_calibrated():
    rows, levels = 8000, np.array([0.5, 0.8, 0.95])

    def off(name: str) -> np.ndarray:
        model = model_of(name, members=1)
        o = outputs_of(model, batch_of(name, rows), name)[0]
        scale = np.log1p(np.exp(o[:, 1])) + 0.01
        heavy = stats.t.rvs(2.5, size=rows, random_state=1)
        labels = torch.tensor(np.exp(6 + 0.5 * (o[:, 0] + scale * heavy)))
        batch = batch_of(name, rows, labels)
        calibrate(model, batch, batch.take(torch.arange(rows // 2)))
        fresh = batch.take(torch.arange(rows // 2, rows))
        answer, y = marginals(model, fresh)[name], fresh.targets[name]
        low, high = answer.quantiles((1 - levels) / 2), answer.quantiles((1 + levels) / 2)
        return ((y > low) & (y < high)).double().mean(1).numpy() - levels

    assert np.abs(off("tailed")).max() < 0.03
    assert off("hardness")[0] > 0.05


def test_a_label_held_out_from_one_member_is_judged_around_that_member():
    """By hand: the members' differences, around the centre of the one, with its scatter."""
    model, batch = model_of("hardness"), batch_of("hardness", 50)
    part = torch.arange(50) % 10
    o, y = outputs_of(model, batch, "hardness"), batch.targets["hardness"].log().numpy()
    scale = np.log1p(np.exp(o[..., 1])) + 0.01
    at = (y - 6.0) / 0.5
    judged = [(i, int(part[i])) for i in range(50) if part[i] < K]  # others are shown to all three
    # One member has, on average, two thirds of the variance more than the mean of three.
    more = sum(o[:, i, 0].var(ddof=1) * (1 - 1 / K) for i, _ in judged)
    left = 1 - more / sum((at[i] - o[k, i, 0]) ** 2 for i, k in judged)
    assert 0.25 < left < 0.95

    def loss(log_t):
        total = log_t**2 / 2 / PRIOR_SD**2
        for i, k in judged:
            centres = o[k, i, 0] + o[:, i, 0] - o[:, i, 0].mean()
            label = o[k, i, 0] + left**0.5 * (at[i] - o[k, i, 0])
            each = stats.norm.logpdf(label, centres, np.exp(log_t) * scale[k, i])
            total -= special.logsumexp(each) - np.log(K)
        return total

    best = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    calibrate(model, batch.replaced(label_folds={"hardness": part}), None)
    assert factor(model, "hardness") == pytest.approx([np.exp(best.x)], rel=1e-4)


def test_reports_of_one_alloy_count_as_one_label():
    model, batch = model_of("tailed"), batch_of("tailed", 30)
    batch = batch.replaced(label_folds={"tailed": torch.arange(30) % K})
    calibrate(model, batch, None)
    once = factor(model, "tailed").copy()
    rows = torch.cat([torch.zeros(39, dtype=torch.long), torch.arange(30)])
    reports = Measurements(rows, torch.zeros(69, 0), batch.targets["tailed"][rows])
    calibrate(model, batch, None, {"tailed": reports})
    assert factor(model, "tailed") == pytest.approx(once, rel=1e-5)
    assert abs(once - 1).max() > 0.01


def test_intervals_of_all_hold_though_each_label_was_held_out_from_one_member():
    """Labels scatter around the mean of members that differ from it by half as much."""
    members, half, levels = 8, 4000, np.array([0.5, 0.8, 0.9])
    model, name = model_of("modulus", members=members), "modulus"
    model.site(name).raw_scale.zero_()
    centres = outputs_of(model, batch_of(name, 2 * half), name)[..., 0]
    noise = np.random.default_rng(0).normal(size=2 * half)
    labels = centres.mean(0) + 2 * centres.std(0).mean() * noise
    batch = batch_of(name, 2 * half, torch.tensor(np.exp(6 + 0.5 * labels)))
    judged = batch.take(torch.arange(half)).replaced(
        label_folds={name: torch.arange(half) % members}
    )
    calibrate(model, judged, None)
    fresh = batch.take(torch.arange(half, 2 * half))
    answer, y = marginals(model, fresh)[name], fresh.targets[name]
    low, high = answer.quantiles((1 - levels) / 2), answer.quantiles((1 + levels) / 2)
    covered = ((y > low) & (y < high)).double().mean(1).numpy()
    np.testing.assert_allclose(covered, levels, atol=0.02)


def test_the_calibrated_model_says_what_the_formula_says():
    for name in ("binary", "class", "rating"):
        model, batch = model_of(name), batch_of(name, 12)
        model.site(name).calibration.fill_(1.7)
        p = marginals(model, batch)[name].probabilities()
        y = batch.targets[name].long().expand(K, -1).unsqueeze(-1)
        expected = likelihoods(model, batch, name, 1.7)
        np.testing.assert_allclose(p.gather(-1, y)[..., 0].numpy(), expected, rtol=1e-9)


def test_a_beta_calibration_is_the_optimum_near_the_logistic_regression_on_both_logarithms():
    model = model_of("skewed", members=1)
    o = outputs_of(model, batch_of("skewed", 6000), "skewed")[0, :, 0]
    true = special.expit(0.6 * o + 0.5)
    y = (np.random.default_rng(0).random(len(o)) < true).astype(float)
    batch = batch_of("skewed", 6000, torch.tensor(y))
    inputs = np.stack([np.log(special.expit(o)), -np.log(special.expit(-o))], 1)
    exact = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(inputs, y)
    assert (exact.coef_ > 0).all()

    def loss(x):
        logit = inputs @ np.exp(x[:2]) + x[2]
        return (
            np.logaddexp(0, np.where(y == 1, -logit, logit)).sum() + (x**2).sum() / 2 / PRIOR_SD**2
        )

    tight = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000}
    best = optimize.minimize(loss, np.zeros(3), method="Nelder-Mead", options=tight).x
    calibrate(model, batch, batch)
    assert factor(model, "skewed") == pytest.approx([*np.exp(best[:2]), best[2]], rel=1e-3)
    ours = marginals(model, batch)["skewed"].probabilities()[0, :, 1].numpy()
    assert np.abs(ours - exact.predict_proba(inputs)[:, 1]).mean() < 0.01
    order = np.argsort(o)
    assert (np.diff(ours[order]) >= 0).all()


@pytest.mark.parametrize("name", ["hardness", "modulus"])
@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_scale_that_is_off_is_mended_and_intervals_hold(name, share):
    """Labels drawn from the model, whose scale is then halved or doubled."""
    model, rows = model_of(name, members=1), 4000
    q = model.site(name).posterior(torch.tensor(outputs_of(model, batch_of(name, rows), name)), {})
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        labels = q.sample()[0]
    model.site(name).calibration.fill_(share)  # what the true scale is multiplied by
    wrong = marginals(model, batch_of(name, rows))[name]
    low, high = wrong.quantiles([0.05, 0.95])
    covered = float(((labels > low) & (labels < high)).double().mean())
    assert covered == pytest.approx(2 * stats.norm.cdf(1.645 * share) - 1, abs=0.02)
    batch = batch_of(name, rows, labels)
    calibrate(model, batch, batch.take(torch.arange(rows // 2)))
    assert factor(model, name) == pytest.approx([1.0], abs=0.04)
    fresh = batch.take(torch.arange(rows // 2, rows))
    low, high = marginals(model, fresh)[name].quantiles([0.05, 0.95])
    y = fresh.targets[name]
    assert float(((y > low) & (y < high)).double().mean()) == pytest.approx(0.9, abs=0.02)


def test_a_handful_of_labels_moves_a_factor_little():
    model = model_of("hardness")
    wild = batch_of("hardness", 2, torch.tensor([20.0, 8000.0], dtype=torch.float64))
    calibrate(model, wild, wild)
    moved = factor(model, "hardness").item()
    assert 1 < moved < 3
    many = wild.take(torch.arange(2).repeat(100))
    calibrate(model, many, many)
    assert factor(model, "hardness").item() > 1.5 * moved


def test_separated_labels_stay_finite():
    model = model_of("skewed", members=1)
    batch = batch_of("skewed", 30)
    sure = torch.tensor((outputs_of(model, batch, "skewed").mean(0)[:, 0] > 0).astype(float))
    calibrate(model, batch, batch.replaced(targets={"skewed": sure}))
    a, b, c = factor(model, "skewed")
    assert 1 < max(a, b) < 20
    assert np.isfinite(c)


def test_without_labels_held_out_nothing_changes():
    for name in ("hardness", "binary"):
        model, batch = model_of(name), batch_of(name, 10)
        model.site(name).calibration.fill_(1.3)
        calibrate(model, batch, None)
        unlabelled = batch.replaced(labelled={name: torch.zeros(10, dtype=torch.bool)})
        calibrate(model, batch, unlabelled)
        assert factor(model, name) == 1.3


@pytest.mark.parametrize("name", ["plain", "raw"])
def test_without_a_declared_calibration_there_is_none(name):
    model, batch = model_of(name), batch_of(name, 30)
    before = outputs_of(model, batch, name)
    calibrate(model, batch, batch)
    assert model.site(name).calibration is None
    assert not [key for key in model.state_dict() if "calibration" in key]
    np.testing.assert_array_equal(outputs_of(model, batch, name), before)


@pytest.mark.parametrize("name", ["binary", "skewed", "class", "rating", "hardness", "modulus"])
def test_training_does_not_see_it(name):
    model, batch = model_of(name), batch_of(name, 12)
    site, y = model.site(name), batch.targets[name]
    outputs = torch.tensor(outputs_of(model, batch, name))
    before = site.train().log_loss(outputs, y, {})
    site.calibration.mul_(2.0)
    assert torch.equal(site.log_loss(outputs, y, {}), before)
    assert not torch.allclose(site.eval().log_loss(outputs, y, {}), before)


def test_one_member_has_the_calibration_of_all():
    model, batch = model_of("hardness"), batch_of("hardness", 9)
    model.site("hardness").calibration.fill_(2.5)
    alone = marginals(model.member(1), batch)["hardness"].moments()
    every = marginals(model, batch)["hardness"].moments()
    for one, all_of_them in zip(alone, every, strict=True):
        torch.testing.assert_close(one[0], all_of_them[1])
