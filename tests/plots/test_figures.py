"""What holds for every figure."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyro_hea import DisentangledVAE, ModelSpec, plots
from pyro_hea.evaluate.simulation import rank_data
from pyro_hea.plots.ternary import ternary_compositions
from pyro_hea.posterior.idata import ALLOY_DIMS, to_inference_data


def made_idata(chain_is, chains):
    """Draws of three alloys of four elements in two latent coordinates."""
    rng = np.random.default_rng(chains)
    z = rng.normal(size=(chains, 60, 3, 2)) @ [[1, 0.6], [0, 0.5]] + [[0, 0], [3, 1], [-2, 4]]
    return to_inference_data(
        {
            "posterior": {"z": z},
            "posterior_predictive": {"composition": rng.dirichlet([9, 3, 1, 5], (chains, 60, 3))},
        },
        observed={"composition": np.array([[0.5, 0.2, 0.0, 0.3]] * 3)},
        constant={},
        dims=ALLOY_DIMS,
        default_dims=["alloy"],
        coords={
            "alloy": ["CoNi", "Al0.5CoCrFeNi", "AlNi"],
            "element": ["Al", "Co", "Cr", "Ni"],
            "latent": ["z0", "z1"],
        },
        attributes={"chain_is": chain_is},
    )


@pytest.fixture(scope="module")
def figures(designs, predictions):
    return drawn(designs, predictions)


def drawn(designs, predictions):
    """A figure of each function, by name."""
    p = predictions["single_phase"].to_numpy()
    y = np.arange(len(p)) % 2.0
    y[::5] = np.nan
    latent = pd.DataFrame({f"z{i}": np.sin((i + 1) * np.arange(24)) for i in range(8)})
    latent["single_phase"], latent["number_of_elements"] = y, np.arange(24) % 4 + 2
    history = pd.DataFrame({"epoch": [0, 0, 1, 1], "member": [0, 1, 0, 1], "loss": [4.0, 5, 3, 3]})
    history["validation_elbo_loss"] = history["loss"] + 1
    history["validation_log_loss"] = [0.6, 0.7, 0.5, np.nan]
    return {
        "training_curve": plots.training_curve(history)[0].figure,
        "roc": plots.roc(y, p, latent["number_of_elements"]).figure,
        "reliability": plots.reliability(y, p).figure,
        "latent_map": plots.latent_map(latent, "single_phase").figure,
        "latent_map, counts": plots.latent_map(latent, "number_of_elements").figure,
        "reconstruction": plots.reconstruction(designs, designs).figure,
        "composition_bars": plots.composition_bars(designs, probability=predictions).figure,
        "predictions_forest": plots.predictions_forest(predictions, "single_phase").figure,
        **explanations(designs, predictions),
        **uncertainty(),
        **benchmarks(),
        **declarations(),
        **designed(),
        **of_charts(),
        **of_disorder(),
        **of_separation(designs),
    }


def designed():
    """Figures of designs, of the way to one, and of their chains."""
    rng = np.random.default_rng(4)
    novelty = rng.uniform(0.02, 0.4, 24)
    table = pd.DataFrame({"novelty": novelty, "all_wishes": 1 - novelty})
    table = table.assign(all_wishes_low=table["all_wishes"] - 0.2, all_wishes_high=1.0)
    trail = pd.DataFrame({"step": range(6), "Al": np.linspace(0.5, 0.1, 6)})
    chains = to_inference_data(
        {"posterior": {"z": rng.normal(size=(4, 50, 2, 2))}},
        observed={},
        constant={},
        dims={"z": ["member", "latent"]},
        default_dims=[],
        coords={"latent": ["z0", "z1"], "member": [0, 1]},
        attributes={"inference": "nuts"},
    )
    objectives = table.assign(hardness=rng.normal(500, 60, 24), density=rng.normal(8, 0.5, 24))
    best = objectives["hardness"] > 520
    return {
        "design_pareto": plots.design_pareto(objectives, "hardness", "density", best).figure,
        "design_novelty": plots.design_novelty(table).figure,
        "design_judgement": plots.design_judgement(novelty, novelty**2).figure,
        "design_trail": plots.design_trail(trail.assign(Ni=1 - trail["Al"]), ["Al", "Ni"]).figure,
        "design_chains, ranks": plots.design_chains(chains, 1, "z1").figure,
        "design_chains, trace": plots.design_chains(chains, kind="trace").figure,
    }


def three_elements():
    """Fractions of twelve alloys of three elements."""
    parts = np.random.default_rng(6).dirichlet(np.ones(3), 12)
    return pd.DataFrame(parts, columns=["Co", "Fe", "Ni"])


def of_charts():
    """Figures of an atlas over a curve, and of descents on it."""
    angle = np.linspace(0, 2 * np.pi, 40)
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    names = ["hardness (HV)", "density (g/cm³)"]
    shares = np.stack([(1 + np.cos(angle)) / 2, (1 - np.cos(angle)) / 2], 1)
    trail = pd.DataFrame(points[:8], columns=names).assign(
        start=[0, 1] * 4, step=np.arange(8) // 2, value=np.linspace(2, 1, 8)
    )
    parts = three_elements()
    return {
        "alloy_families": plots.alloy_families(parts, np.arange(12) % 3).figure,
        "atlas_charts": plots.atlas_charts(points, shares, names).figure,
        "atlas_responsibilities": plots.atlas_responsibilities(points, shares, names)[0].figure,
        "descent_trail": plots.descent_trail(trail, points, names).figure,
        "descent_values": plots.descent_values(trail).figure,
    }


def of_disorder():
    """Figures of a partition function against temperature."""
    t = np.array([300.0, 600, 900, 1200])
    columns = {"ln_Z": 50 + 1000 / t, "heat_capacity": 300 / t, "E_eff": 1.6 + t / 1e4}
    table = pd.DataFrame({"temperature_K": t, **columns, "mean": 1.75})
    for name in columns:
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.1, table[name] + 0.1
    table = table.assign(trusted=[False, True, True, True], ln_Z_second_sd=0.05)
    table["ln_Z_second"] = table["ln_Z"] + 0.05
    table.attrs["units"] = {"heat_capacity": "k/site"}
    pairs = {"Co-Cr": -0.1, "Co-Ni": 0.05, "Cr-Ni": -0.2, "Cr-Cr": 0.3}
    order = pd.DataFrame(
        [
            {"temperature_K": k, "shell": 1, "distance": 2.5, "pair": pair, "alpha": a * 300 / k}
            for k in t
            for pair, a in pairs.items()
        ]
    )
    order = order.assign(alpha_low=order["alpha"] - 0.02, alpha_high=order["alpha"] + 0.02)
    factors = pd.DataFrame({"factor": ["count of Cr", "pairs Cr-Cr"], "where": "shell 1"})
    factors = factors.assign(share=[0.8, 0.1], alone=[0.8, 0.4], effect=[-0.08, 0.01])
    return {
        "thermodynamics": plots.thermodynamics(table).figure,
        "formation_energy": plots.formation_energy(table).figure,
        "short_range_order": plots.short_range_order(order).figure,
        "energy_factors": plots.energy_factors(factors).figure,
        "two_estimates": plots.two_estimates(table).figure,
    }


def of_separation(designs):
    """Figures of clusters that were separated, of an edit, and of a walk."""
    rng = np.random.default_rng(6)
    clusters = np.array(["fcc", "bcc", "none"])[np.arange(24) % 3]
    before = pd.DataFrame(rng.normal(size=(24, 5)))
    walk = designs.head(5).set_axis(np.linspace(0, 1, 5))
    return {
        "separation_panels": plots.separation_panels(before, 2 * before, clusters)[0].figure,
        "edit_bars": plots.edit_bars(designs.head(2), list(designs.columns)).figure,
        "interpolation_strips": plots.interpolation_strips(walk, clusters[:5]).figure,
    }


def declarations():
    """Figures of priors, of specs beside each other, and of sources."""
    vae = DisentangledVAE(ModelSpec.shipped("properties").with_(training__members=2))
    formulas = ["CoCrFeMnNi", "AlNi", "MoNbTaW"]
    priors = vae.prior_table(formulas), vae.prior_predictive(40, formulas)
    index = pd.MultiIndex.from_product([["composition", "single_phase"], ["flat", "expert"]])
    below = pd.DataFrame(
        {"elpd_diff": [0.0, 8.0] * 2, "dse": [0.0, 3.0] * 2}, index.set_names(["about", "spec"])
    )
    right = {"right": [0.9, 0.8], "right_low": [0.8, 0.6], "right_high": [0.95, 0.9]}
    sources = pd.DataFrame(
        {"target": "single_phase", "source": "borg2020", "true": ["0", "1"], **right}
    )
    return {
        "prior": plots.prior(ModelSpec.shipped("expert"), formulas, draws=20)[0].figure,
        "prior_panels": plots.prior_panels(*priors)[0].figure,
        "comparison_panels": plots.comparison_panels(below)[0].figure,
        "source_reliability": plots.source_reliability(sources, "single_phase").figure,
    }


def benchmarks():
    """Measures of models, and how they change with a size."""
    rows = [
        {"measure": m, "name": name, "group": group, "mean": 0.05, "low": -0.01, "high": 0.1}
        for m in ("AUC, pyro_hea minus baseline", "log loss (nats), pyro_hea minus baseline")
        for name in ("extra_trees", "logistic_regression")
        for group in ("all", "≥ 4 elements")
    ]
    names = ["pyro_hea", "extra_trees", "random_forest", "gradient_boosting", "mlp_ensemble"]
    curves = [
        {"x_label": "labels", "y_label": y, "name": n, "x": x, "mean": x**-0.1, "low": 0, "high": 1}
        for y in ("AUC", "log loss (nats)")
        for n in names
        for x in (25, 50, 100, 200, 400)
    ]
    growth = [
        {"x_label": x, "y_label": y, "name": "", "x": size, "mean": size}
        for y in ("epoch (s)", "memory (MiB)")
        for x, sizes in {"alloys": (1_000, 1_000_000), "elements": (30, 50, 70)}.items()
        for size in sizes
    ]
    return {
        "interval_panels": plots.interval_panels(pd.DataFrame(rows), 0.0)[0].figure,
        "curve_panels": plots.curve_panels(pd.DataFrame(curves))[0].figure,
        "curve_panels, growth": plots.curve_panels(pd.DataFrame(growth), True)[0].figure,
    }


def uncertainty():
    """Figures of draws and of their checks."""
    rng = np.random.default_rng(3)
    grid = ternary_compositions(["Al", "Co", ("Fe", "Ni")], 0.1)
    mean = pd.Series(grid["Al"] * grid["Co"] * 4, name="single_phase")
    corners = ["Al", "Co", ("Fe", "Ni")]
    members, chains = made_idata("member", 8), made_idata("Markov chain", 4)
    tails = pd.DataFrame(
        {"k_hat": rng.gamma(4, 0.2, 24), "evidence_k_hat": rng.normal(0.3, 0.1, 24)}
    )
    ranks = pd.DataFrame(rng.integers(0, 100, (300, 9)), columns=[f"z{i}" for i in range(9)])
    return {
        "ternary_map": plots.ternary_map(grid, mean, corners).figure,
        "ternary_map, sd": plots.ternary_map(grid, mean.rename("sd"), corners, unit="sd").figure,
        "latent_ellipses": plots.latent_ellipses(chains).figure,
        "draws_bars": plots.draws_bars(members, "CoNi").figure,
        "chain_ranks": plots.chain_ranks(chains, "CoNi").figure,
        "chain_ranks, members": plots.chain_ranks(members, "CoNi", "z1").figure,
        "k_hat_plot": plots.k_hat_plot(tails).figure,
        "cross_validation_panels": held_out().figure,
        "condition_curve": plots.condition_curve(
            conditions(), "hardness", "test_temperature_C", unit="HV"
        ).figure,
        "simulation_rank_plot": plots.simulation_rank_plot(rank_data([ranks])).figure,
    }


def held_out():
    """Figure of a cross-validation of a number and of a class."""
    rng = np.random.default_rng(5)
    y = rng.normal(500, 120, 60)
    number = {"label": y, "prediction": 0.8 * y + 100 + rng.normal(0, 40, 60)}
    rows = pd.DataFrame({"target": "hardness", "model": "pyro_hea", **number})
    rows = rows.assign(low=rows["prediction"] - 80, high=rows["prediction"] + 100)
    about = {"target": "single_phase", "label": 1.0, "prediction": 1.0}
    classes = [
        pd.DataFrame({"model": name, "probability": rng.beta(a, 1, 40), **about})
        for name, a in (("pyro_hea", 5), ("extra_trees", 4), ("logistic_regression", 2))
    ]
    index = pd.MultiIndex.from_tuples([("hardness", "pyro_hea")], names=["target", "model"])
    table = pd.DataFrame({"mae": 45.0, "r2": 0.81, "coverage": 0.93}, index)
    return plots.cross_validation_panels(table, pd.concat([rows, *classes]), {"hardness": "HV"})


def conditions():
    """Hardness of three alloys at several temperatures."""
    at = np.array([25, 200, 400, 600, 800])
    tables = [
        pd.DataFrame({"test_temperature_C": at, "hardness": top - at / 4}, [name] * 5)
        for name, top in (("AlCoCrFeNi", 520), ("HfNbTaTiZr", 390), ("CoCrFeMnNi", 210))
    ]
    table = pd.concat(tables)
    return table.assign(hardness_low=0.8 * table["hardness"], hardness_high=table["hardness"] + 60)


def explanations(designs, predictions):
    """Figures of what predictions rest on."""
    names = [f"feature_{i}" for i in range(22)]
    rng = np.random.default_rng(0)
    means = pd.DataFrame(rng.normal(size=(24, 22)) / 9, designs.index, names)
    table = pd.DataFrame({"value": 1234.5, "mean": means.iloc[0]}, names)
    table["low"], table["high"] = table["mean"] - 0.05, table["mean"] + 0.02
    groups = {"feature_0 …": names[:20], "feature_20": names[20:]}
    moves = pd.DataFrame(
        {"mean": means.iloc[0, :6].to_numpy(), "low": -0.1, "high": 0.2},
        pd.MultiIndex.from_product(
            [["CoNi"], ["Co", "Ni"], ["Al", "Co", "Ni"]], names=["formula", "from", "to"]
        ),
    ).drop(("CoNi", "Ni", "Ni"))
    rules = pd.DataFrame({"balanced_accuracy": [0.6, 0.8], "fidelity": [0.7, 1]}, ["Ω > 1", "head"])
    way = np.linspace(-3, 3, 24)
    fractions, predictions = designs.set_axis(way), predictions.set_axis(way)
    return {
        "importance_bars": plots.importance_bars(table.assign(published=0.1)).figure,
        "beeswarm": plots.beeswarm(means, means[names[3:]]).figure,
        "waterfall": plots.waterfall(table, 0.5, "CoNi", "single_phase").figure,
        "element_map": plots.element_map(moves, "CoNi", "single_phase").figure,
        "interaction_map": plots.interaction_map(means.abs().head(8)).figure,
        "axis_map": plots.axis_map(means.head(4)).figure,
        "correlation_map": plots.correlation_map(means, groups).figure,
        "rules_plot": plots.rules_plot(rules).figure,
        "traversal_plot": plots.traversal_plot(fractions, predictions, "single_phase", "z0")[
            0
        ].figure,
    }


def test_every_function_is_drawn_here(figures):
    assert {name.partition(",")[0] for name in figures} == set(plots.__all__) - {"Panels"}


def test_nothing_reaches_beyond_the_figure_or_covers_other_text(figures):
    for name, figure in figures.items():
        figure.draw_without_rendering()
        renderer = FigureCanvasAgg(figure).get_renderer()
        width, height = figure.bbox.size
        box = figure.get_tightbbox(renderer)
        assert box.x0 * figure.dpi > -1, name
        assert box.y0 * figure.dpi > -1, name
        assert box.x1 * figure.dpi < width + 1, name
        assert box.y1 * figure.dpi < height + 1, name
        texts = [
            (text.get_text(), text.get_window_extent(renderer).padded(-1))
            for ax in figure.axes
            for text in [*ax.texts, ax.xaxis.label, ax.yaxis.label, *_tick_labels(ax)]
            if text.get_visible() and text.get_text()
        ]
        for i, (text, extent) in enumerate(texts):
            for other, beside in texts[:i]:
                assert not extent.overlaps(beside), (name, text, other)


def _tick_labels(ax):
    return [
        tick.label1
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks()
        if axis.get_view_interval().min() <= tick.get_loc() <= axis.get_view_interval().max()
        and tick.label1.get_visible()
    ]


def test_drawing_keeps_the_users_settings_and_no_pyplot_figure(designs, predictions):
    with mpl.rc_context({"font.size": 13.0, "axes.grid": False}):
        before, open_before = dict(mpl.rcParams), set(Gcf.figs)
        drawn(designs, predictions)
        changed = {key for key, value in mpl.rcParams.items() if value != before[key]}
    assert changed <= {"backend"}
    assert set(Gcf.figs) == open_before


def test_importing_the_figures_loads_neither_torch_nor_pyplot():
    code = (
        "import sys, pyro_hea.plots; print({'torch', 'pyro', 'matplotlib.pyplot'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
