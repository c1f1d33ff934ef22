"""How far sources are right, against Gibbs sampling and against rates that are known."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small import small_spec

from pyro_hea import AlloyDataset, DisentangledVAE
from pyro_hea.errors import DataError, SpecError
from pyro_hea.fitting import TrainingRun
from pyro_hea.inference import elbo_loss, label_loss
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import AlloyBatch
from pyro_hea.posterior import Ensemble, doubted_reports, reliability

RATES = {"ann": (0.95, 0.85), "bob": (0.7, 0.9), "coin": (0.5, 0.5), "sure": (1.0, 1.0)}
"""How often a source is right where the truth is 0, and 1."""

SPEC = small_spec(
    targets={"single_phase": {"reports": {}}},
    head={"hidden": (16, 16), "dropout": 0.2},
    training__epochs=80,
    training__batch_size=64,
    training__learning_rate=0.003,
)


def simulated() -> tuple[AlloyDataset, pd.Series]:
    """Alloys whose truth a head can learn, each reported on by some of the sources."""
    rng = np.random.default_rng(0)
    parts = rng.dirichlet(np.ones(6), 600).round(2) + 0.01
    table = pd.DataFrame(parts, columns=["Al", "Co", "Cr", "Cu", "Fe", "Ni"])
    fractions = fraction_table(table.div(table.sum(axis=1), axis=0))
    true = (fractions["Al"] > 0.13).astype(int)
    reports = []
    for source, rates in RATES.items():
        told = rng.random(len(true)) < 0.5
        right = rng.random(len(true)) < np.take(rates, true)
        value = np.where(right, true, 1 - true)[told].astype(float)
        of_source = {"formula": true.index[told], "source": source, "value": value}
        reports.append(pd.DataFrame(of_source).assign(target="single_phase"))
    every = pd.concat(reports, ignore_index=True)
    data = AlloyDataset.from_reports(fractions, every, ["single_phase"], None, len(fractions))
    return data, true


DATA, TRUE = simulated()


@pytest.fixture(scope="module")
def run() -> TrainingRun:
    spec, cpu = SPEC, torch.device("cpu")
    run = TrainingRun.prepare(spec, DATA, None, seed=0, device=cpu, folder=None, resume=False)
    run.train(progress=False)
    return run


def gibbs(head, counts, prior, rng, draws=1500, warmup=300):
    """Rates of being right (draws, S, 2), given what a head says of each alloy (N, 2)."""
    rates, kept = prior / prior.sum(-1, keepdims=True), []
    for step in range(draws):
        log_odds = np.log(head) + np.einsum("stc,nsc->nt", np.log(rates + 1e-300), counts)
        one = rng.random(len(head)) < 1 / (1 + np.exp(log_odds[:, 0] - log_odds[:, 1]))
        shape = prior + np.einsum("nt,nsc->stc", np.eye(2)[one.astype(int)], counts)
        rates = rng.gamma(shape)
        rates /= rates.sum(-1, keepdims=True)
        if step >= warmup:
            kept.append(rates[:, [0, 1], [0, 1]])
    return np.array(kept)


def test_the_guide_finds_the_posterior_given_the_head_by_what_that_has_not_learnt_from(run):
    model, batch = run.ensemble.model, run.trainer.data
    channel = model.reliabilities["single_phase"]
    with torch.no_grad():
        outputs = model.head("single_phase", model.head_inputs(batch), None)
        heads = model.site("single_phase").log_classes(outputs, {}).exp().double().numpy()
        concentration = channel.concentration[:, 0].double().numpy()
    counts, prior = batch.reports["single_phase"].double().numpy(), channel.prior.double().numpy()
    for k, judged in enumerate(channel.judges(batch.report_half).numpy()):
        exact = gibbs(heads[k, judged], counts[judged], prior, np.random.default_rng(k))
        guide = torch.distributions.Dirichlet(torch.tensor(concentration[k]))
        mean = guide.mean.numpy()[:, [0, 1], [0, 1]]
        sd = guide.variance.numpy()[:, [0, 1], [0, 1]] ** 0.5
        assert mean == pytest.approx(exact.mean(0), abs=0.03)
        assert (sd > 0.75 * exact.std(0)).all()
        assert (sd < 2 * exact.std(0) + 0.005).all()


def test_the_intervals_hold_the_rates_behind_the_reports(run):
    table = reliability(run.ensemble)
    assert list(table["source"]) == sorted([*RATES, *RATES])
    for _, row in table.iterrows():
        known = RATES[row["source"]][int(row["true"])]
        assert row["right_low"] < min(known, 0.98)
        assert known < row["right_high"] + 0.02
        says = row[["says[0]", "says[1]"]].astype(float)
        assert says.sum() == pytest.approx(1)
        assert says[f"says[{row['true']}]"] == pytest.approx(row["right"])
        assert 0 < row["worth"] < 300
    right = table.groupby("source")["right"].min()
    assert right["sure"] > 0.95
    assert 0.3 < right["coin"] < 0.65


def test_reports_are_doubted_where_they_are_wrong(run):
    table = doubted_reports(run.ensemble, DATA)
    assert table["probability"].is_monotonic_increasing
    assert (table["probability"] < 0.5).all()
    assert (table["believed"] != table["reported"]).all()
    assert table["believed_probability"].to_numpy() == pytest.approx(1 - table["probability"])
    wrong = table["reported"].astype(int).to_numpy() != TRUE[table["formula"]].to_numpy()
    assert wrong.mean() > 0.9
    reports = DATA.reports
    lies = (reports["value"].to_numpy() != TRUE[reports["formula"]].to_numpy()).sum()
    assert wrong.sum() > 0.8 * lies
    assert "sure" not in set(table[wrong]["source"])
    fewer = doubted_reports(run.ensemble, DATA, below=0.1)
    pd.testing.assert_frame_equal(fewer, table[table["probability"] < 0.1])


def test_sources_in_another_order_get_the_same_answers(run):
    ensemble, order = run.ensemble, [2, 0, 3, 1]
    model = copy.deepcopy(ensemble.model)
    channel = model.reliabilities["single_phase"]
    channel.raw.data = channel.raw.data[:, :, order]
    names = tuple(model.statistics.sources["single_phase"][i] for i in order)
    model.statistics = replace(model.statistics, sources={"single_phase": names})
    permuted = Ensemble(model, ensemble.elements, ensemble.known, ensemble.seed)
    answers = [reliability(e, draws=20_000) for e in (ensemble, permuted)]
    first, second = (t.set_index(["source", "true"]).sort_index() for t in answers)
    numbers = first.columns.drop("target")
    assert second[numbers].to_numpy(float) == pytest.approx(
        first[numbers].to_numpy(float), abs=0.01
    )
    doubted = [
        doubted_reports(e, DATA).set_index(["formula", "source"]) for e in (ensemble, permuted)
    ]
    both = doubted[0].join(doubted[1].add_suffix("_permuted"), how="inner")
    assert len(both) > 0.98 * max(map(len, doubted))
    assert both["probability_permuted"].to_numpy() == pytest.approx(both["probability"], abs=0.03)


def test_a_head_learns_from_one_half_and_judges_by_the_other(run):
    model, batch = copy.deepcopy(run.ensemble.model), run.trainer.data
    judges = model.reliabilities["single_phase"].judges(batch.report_half)
    assert (judges[0] == ~judges[1]).all()
    assert 0.45 < judges.float().mean() < 0.55

    def gradients(changed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the head and of the sources, in member 0, with other reports on some alloys."""
        counts = batch.reports["single_phase"]
        flipped = torch.where(changed.view(-1, 1, 1), counts.flip(-1), counts)
        other: AlloyBatch = batch.replaced(reports={"single_phase": flipped})
        model.zero_grad()
        torch.manual_seed(0)
        (elbo_loss(model, other) + label_loss(model, other)["single_phase"].sum()).backward()
        head = next(model.heads["single_phase"].parameters()).grad[0].clone()
        return head, model.reliabilities["single_phase"].raw.grad[0].clone()

    nothing, learnt, judged = torch.zeros_like(judges[0]), ~judges[0], judges[0]
    head, sources = gradients(nothing)
    assert torch.equal(gradients(judged)[0], head)
    assert torch.allclose(gradients(learnt)[1], sources, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(gradients(learnt)[0], head)
    assert not torch.allclose(gradients(judged)[1], sources, rtol=1e-2)


def test_without_reports_there_is_nobody_to_judge(vae, alloys):
    for answer in (vae.reliability, lambda: vae.doubted_reports(alloys)):
        with pytest.raises(SpecError, match="takes its labels as reports"):
            answer()


def test_formulas_carry_no_reports(run):
    vae = DisentangledVAE(run.ensemble.spec)
    vae._ensemble = run.ensemble
    assert len(vae.reliability()) == 8
    with pytest.raises(DataError, match="give an AlloyDataset"):
        vae.doubted_reports(["CoCrFeNi"])
