"""Each protocol on a tiny model: what is counted and shown, not how good it is."""

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from sklearn.metrics import roc_auc_score
from small import small_spec

from pyro_hea import ModelSpec, load_alloys
from pyro_hea.evaluate import Runner, benchmark, few_labels
from pyro_hea.evaluate import separable as measured
from pyro_hea.evaluate.benchmark import (
    ablations,
    campaigns,
    comparisons,
    designs,
    latent,
    ranks,
)
from pyro_hea.evaluate.comparison import MODEL
from pyro_hea.evaluate.measures import composition_metrics, label_from_latent
from pyro_hea.evaluate.published import cached_vae
from pyro_hea.spec import Separation

SPEC = small_spec(
    training__batch_size=512,
    training__distillation={"trees": 4, "synthetic_alloys": 100, "steps": 5},
)


@pytest.fixture
def runner(tmp_path, few_trees):
    return Runner(SPEC, tmp_path, "cpu", progress=False)


def few_baselines_and_folds(monkeypatch, function):
    original = getattr(comparisons, function)
    monkeypatch.setattr(comparisons, function, partial(original, baselines=["logistic_regression"]))
    monkeypatch.setattr("pyro_hea.evaluate.comparison.FOLDS", 2)


@pytest.mark.parametrize(
    ("protocol", "function", "seeds"),
    [("published", "published_benchmark", 1), ("grouped", "folds_benchmark", 1)],
)
def test_comparisons_show_the_model_beside_the_baselines(
    protocol, function, seeds, runner, monkeypatch
):
    few_baselines_and_folds(monkeypatch, function)
    result = getattr(benchmark, protocol)(runner, seeds)
    assert result.protocol == result.content["protocol"] == protocol
    (first,) = [table for name, table in result.tables.items() if name.startswith("Alloys: all")]
    assert first["model"].tolist() == [MODEL, "logistic_regression"]
    scores = result.content["models"][MODEL]["all"]
    assert first.set_index("model").loc[MODEL, "auc"] == pytest.approx(scores["auc"])
    assert len(result.figure.axes) == 2


@pytest.mark.slow
def test_intervals_of_each_number_stand_beside_the_baselines(runner, monkeypatch):
    monkeypatch.setattr(few_labels, "NUMBERS", ("hardness",))
    monkeypatch.setattr(few_labels, "LABELS", (35,))
    monkeypatch.setattr(few_labels, "DRAWS", 1)
    result = benchmark.intervals(runner, 1)
    tasks = [path.stem for path in sorted(runner.folder.glob("intervals-seed*.json"))]
    assert len(tasks) == 5
    done = runner.run({name: lambda: pytest.fail("ran again") for name in tasks})
    rows = pd.concat([pd.DataFrame(part) for part in done.values()])
    labels = load_alloys(["zeng2024", "borg2020"]).labels
    assert list(result.content["targets"]) == ["hardness", "yield_strength"]
    for target, models in result.content["targets"].items():
        assert list(models) == [MODEL, "extra_trees", "ridge"]
        for name, scores in models.items():
            told = rows[(rows["target"] == target) & (rows["model"] == name)]
            known = labels.index[labels[target].notna()]
            assert sorted(told["formula"]) == sorted(known)  # each alloy is held out once
            assert scores["coverage"]["0.9"]["mean"] == pytest.approx(told["0.9"].mean())
            assert scores["crps"] == pytest.approx(told["crps"].mean())
    *all_labels, few = result.tables.values()
    for table in all_labels:
        assert table["model"].tolist() == [MODEL, "extra_trees", "ridge"]
    assert few["model"].tolist() == [MODEL, "extra_trees", "gaussian_process", "ridge"]
    scores = result.content["few_labels"]["35"]["hardness"]
    gap = scores[MODEL]["r2"]["mean"] - scores["extra_trees"]["r2"]["mean"]
    assert scores[MODEL]["r2 over extra_trees"]["mean"] == pytest.approx(gap)
    (draw,) = runner.run({"intervals-35-hardness-draw0": lambda: pytest.fail("ran")}).values()
    (count,) = {row["n"] for row in draw}
    assert 150 < count <= labels["hardness"].notna().sum() - 35
    assert len(result.figure.axes) == 2


def test_the_budget_is_drawn_by_number_of_labels(runner, monkeypatch):
    original = comparisons.label_budget
    few = {"budgets": (25, 50), "baselines": ["logistic_regression"]}
    monkeypatch.setattr(
        comparisons, "label_budget", lambda b, seeds: original(b, seeds=seeds, **few)
    )
    result = benchmark.budget(runner, 1)
    assert result.tables["AUC by number of labels, mean over 1 seeds"]["labels"].tolist() == [
        "25",
        "50",
    ]
    assert [ax.get_ylabel() for ax in result.figure.axes] == ["AUC", "log loss (nats)"]


def test_ranks_of_both_inferences_are_counted_and_drawn(runner, monkeypatch):
    monkeypatch.setattr(ranks, "SIMULATIONS", {"guide": 60, "importance": 20})
    result = benchmark.calibration(runner, 2)
    tasks = [path.stem for path in sorted(runner.folder.glob("calibration-*.json"))]
    assert len(tasks) == 2 * 2
    done = runner.run({name: lambda: pytest.fail("ran again") for name in tasks})
    sites = {"guide": ["z0", "z1"], "importance": ["z0", "z1", "single_phase"]}
    assert [table["seed"].tolist() for table in result.tables.values()] == [[0, 1]] * 2
    for (method, names), ax in zip(sites.items(), result.figure.axes, strict=True):
        told = result.content["methods"][method]
        assert list(told["p_values"]) == names
        kept = pd.DataFrame(done[f"calibration-seed1-{method}"])
        assert len(kept) == told["simulations"]
        counts = np.bincount(kept["z0"] // 10, minlength=10)
        assert told["p_values"]["z0"][1] == pytest.approx(chisquare(counts).pvalue)
        assert ax.get_title() == f"{method}; seeds: 2"
        assert len(ax.lines) == len(names)


@pytest.mark.slow
def test_the_latent_is_measured_member_by_member_on_both_parts(runner):
    result = benchmark.disentanglement(runner, 1)
    (run,) = result.content["runs"]
    vae = cached_vae(0, SPEC, "cpu", runner.folder)
    test = load_alloys("zeng2024").split("published")["test"]
    test = test.take(test.labels["single_phase"].notna().to_numpy())
    true, y = vae.ensemble.fractions(test), test.labels["single_phase"]
    read = [label_from_latent(vae.encode(test, k), y)["worse_auc"] for k in range(2)]
    errors = [composition_metrics(true, vae.reconstruct(test, k)) for k in range(2)]
    told = run["held-out alloys"]
    # Members that climb together take other steps to the same modes.
    assert told["worse_auc"] == pytest.approx(np.mean(read), abs=0.02)
    assert told["mae_at_pct"] == pytest.approx(np.mean([e["mae_at_pct"] for e in errors]), rel=0.02)
    assert told["kl"] > 0
    assert set(run["training alloys"]) == set(told)
    assert set(run["axes"]) == set(latent._AXES)


def test_designs_of_both_wishes_are_told_seed_by_seed(runner, monkeypatch):
    def judged(vae, wish, *, seed=0, n=10, agreement=10.0):
        right = np.arange(n) < n - seed
        table = pd.DataFrame({"predicted": 0.5, "judged": np.where(right == wish, 0.9, 0.1)})
        table = table.assign(elements="Al-Ni", novelty=0.1, violates=False)
        table.attrs["discarded"] = 0.0
        return table

    def changed(vae, alloys, workflow):
        assert len(alloys) == len(load_alloys("zeng2024").split("published")["test"])
        moved = {"nearest": 0.1, "invert": 0.2}[workflow]
        return pd.DataFrame(
            {"formula": ["a", None], "judged": [0.9, 0.0], "moved": [moved, np.nan]}
        )

    monkeypatch.setattr(designs, "judged_designs", judged)
    monkeypatch.setattr(designs, "judged_changes", changed)
    result = benchmark.design(runner, 2)
    assert result.content["runs"]["wish 1"]["judged single phase"] == [1.0, 0.9]
    assert result.content["runs"]["wish 0"]["judged single phase"] == [0.0, 0.1]
    assert result.content["changes"]["invert"]["atoms moved, median"] == 0.2
    assert result.content["changes"]["nearest"]["judged single phase"] == 0.5
    assert len(result.content["agreement"]["judged"]) == 500
    first, second, changes = result.tables.values()
    for table in (first, second):
        assert table["seed"].tolist() == [0, 1]
        assert (table["violations"] == 0).all()
    assert changes["workflow"].tolist() == ["nearest", "invert"]


def test_rediscovery_is_a_mean_over_sets_of_all_groups_and_seeds(runner, monkeypatch):
    def group_of(group, spec, *, seed, **settings):
        near = {"designs": 0.1 * (group + seed), "uniform": 0.05, "equimolar": 1.0, "found": 1.0}
        sets = [f"set {group}", f"set {group + 4}"]
        return pd.DataFrame({"set": sets, "alloys": 3, **near, "group": group})

    monkeypatch.setattr(campaigns, "rediscovery_group", group_of)
    result = benchmark.rediscovery(runner, 2)
    assert len(result.content["sets"]) == 8
    designs = [row["designs"] for row in result.content["sets"]]
    np.testing.assert_allclose(designs, [0.05, 0.15, 0.25, 0.35] * 2)
    assert result.content["summary"]["times uniform"]["mean"] == pytest.approx(0.2 / 0.05)
    assert len(result.tables["Each set"]) == 8
    monkeypatch.setattr(campaigns, "rediscovery_group", lambda *_, **__: pytest.fail("ran again"))
    assert benchmark.rediscovery(runner, 2).content == result.content


def test_a_campaign_is_told_by_strategy_and_round(runner, monkeypatch):
    def play(name, seed, *, spec):
        assert spec.training.members == 2
        assert spec.head == SPEC.head
        found = np.cumsum([len(name), seed])
        return pd.DataFrame(
            {"seed": seed, "strategy": name, "round": [1, 2], "labels": 9, "found": found}
        )

    monkeypatch.setattr(campaigns, "play_strategy", play)
    result = benchmark.campaign(runner, 3)
    (last,) = result.tables.values()
    assert last["strategy"].tolist() == list(campaigns.STRATEGIES)
    assert last["mean"].tolist() == [len(name) + 1 for name in campaigns.STRATEGIES]
    tasks = {path.stem for path in runner.folder.glob("campaign-*.json")}
    assert len(tasks) == 3 * len(campaigns.STRATEGIES)


@pytest.mark.slow
def test_levers_are_compared_with_the_default_on_alloys_that_no_test_part_holds(
    runner, monkeypatch
):
    monkeypatch.setattr(
        ablations, "VARIANTS", {"teacher off": {"training": {"distillation": None}}}
    )
    result = benchmark.ablation(runner, 1)
    tasks = [path.stem for path in sorted(runner.folder.glob("ablation-*.json"))]
    assert len(tasks) == 2 * 5
    done = runner.run({name: lambda: pytest.fail("ran again") for name in tasks})
    pooled = {
        name: pd.concat(
            pd.DataFrame({key: unit[key] for key in ("formula", "label", "prediction")})
            for unit_name, unit in done.items()
            if name in unit_name
        )
        for name in (MODEL, "teacher_off")
    }
    labelled = load_alloys("zeng2024").split("published")["labelled"]
    known = sorted(labelled.labels["single_phase"].dropna().index)
    for table in pooled.values():
        assert sorted(table["formula"]) == known
    aucs = [roc_auc_score(table["label"], table["prediction"]) for table in pooled.values()]
    told = result.content["differences"]["teacher off"]
    assert told["auc, all"]["mean"] == pytest.approx(aucs[0] - aucs[1])
    assert told["composition MAE (at.%)"]["low"] <= told["composition MAE (at.%)"]["high"]


def test_every_lever_makes_another_model_that_can_be_declared():
    default = ablations.changed(ModelSpec(), {})
    assert default.training.members == ablations.MEMBERS
    variants = [ablations.changed(ModelSpec(), change) for change in ablations.VARIANTS.values()]
    assert len({default, *variants}) == 1 + len(ablations.VARIANTS)


@pytest.mark.slow
def test_separable_latents_have_seen_and_held_out_scores_apart(runner, monkeypatch):
    module = sys.modules[benchmark.separable.__module__]
    original = module.measure_separable
    quick = Separation(layers=2, hidden=8, steps=20, drawn=200, straightening=0.0)
    judge = SimpleNamespace(predict=lambda table: table["Al"].to_numpy())  # the real one is slow
    monkeypatch.setattr(measured, "embedded_judge", lambda: judge)
    monkeypatch.setattr(measured, "_PAIRS", 20)
    monkeypatch.setattr(measured, "UNSUPERVISED", quick.model_copy(update={"prior": None}))
    monkeypatch.setattr(Separation, "published", classmethod(lambda cls: quick))
    monkeypatch.setattr(
        module,
        "measure_separable",
        lambda *args, seed: original(*args, seed=seed, spec=quick, edits=2),
    )
    result = benchmark.separable(runner, 1)
    (run,) = result.content["runs"]
    rows = pd.DataFrame(run["clusters"]["family"]["scores"])
    f1 = rows[(rows["measure"] == "macro F1") & (rows["classifier"] == "KNN")].set_index("latent")
    for name, column in (("were shown", "seen"), ("F1, held-out alloys", "held_out")):
        (table,) = [t for title, t in result.tables.items() if title.endswith(name)]
        shown = table[table["clusters"] == "family"].set_index("latent")["KNN"]
        for of in ("before", "supervised", "unsupervised", "published"):
            assert shown[of].startswith(f"{f1.loc[of, column]:.3f}")
    assert {"family", "holds Al"} == set(run["clusters"])
    assert run["exact"]["round trip"] < 1e-5
    assert len(result.figure.axes) == 2
