"""Wishes for targets of every kind, and their probability together."""

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import norm

from pyro_hea.cli import main
from pyro_hea.design import (
    MaxElements,
    Novel,
    chains,
    guide,
    inversion,
    invert,
    nearest_alloy,
    samplers,
    scan_path,
    screen,
)
from pyro_hea.design.decoder_targets import decoder_targets, drawn_targets, nearest_targets
from pyro_hea.design.problem import Problem
from pyro_hea.design.wishes import fulfilment
from pyro_hea.errors import ConstraintError, UnknownTargetError

pytestmark = pytest.mark.filterwarnings("ignore:.*less likely than not")

INF = np.inf


def test_a_wish_becomes_the_event_that_fulfils_it(many):
    wishes = {
        "single_phase": 1,
        "lattice": "close",
        "mix": "rich",
        "hardness": (">", 300),
    }
    events = Problem.of(many.ensemble, wishes).targets
    expected = {"single_phase": (1,), "lattice": (1,), "mix": (2,), "hardness": (300, INF)}
    assert dict(events) == expected
    for wish, event in {
        ("<", 400): (-INF, 400),
        ("<=", np.int64(400)): (-INF, 400),
        (">=", 250): (250, INF),
        (250, 400): (250, 400),
        (-5, 9): (-INF, 9),
    }.items():
        assert Problem.of(many.ensemble, {"hardness": wish}).targets["hardness"] == event


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"lattice": "hexagonal"}, "cannot be 'hexagonal'.*Allowed: open, close"),
        ({"lattice": "clos"}, "Did you mean 'close'"),
        ({"mix": 2}, "Allowed: plain, mixed, rich"),
        ({"hardness": 300}, r"wish for an inequality, as \('>', 500\)"),
        ({"hardness": ("≥", 300)}, "wish for an inequality"),
        ({"hardness": "maximum"}, "or 'max' or 'min'"),
        ({"hardness": (400, 300)}, "lower bound 400 is not below"),
        ({"hardness": (-9, -3)}, "between 0 and inf.*is outside"),
        ({"hardness": ("<", 0)}, "is outside"),
        ({"hardness": (float("nan"), 3)}, "is not below"),
        ({"single_phase": (">", 0)}, "is 0 or 1"),
        ({"single_phase": "yes"}, "is 0 or 1"),
    ],
)
def test_what_a_target_cannot_be_is_refused(many, wish, message):
    with pytest.raises(ConstraintError, match=message):
        many.design(wish, n=3)


def test_an_unknown_target_is_named(many):
    with pytest.raises(UnknownTargetError, match=r"hardnes.*Did you mean 'hardness'"):
        many.design({"hardnes": (1, 2)}, n=3)


def test_wishes_are_judged_together_where_one_is_given_another(many):
    """Against the sum over the class, written out with the heads alone."""
    ensemble, model = many.ensemble, many.ensemble.model
    known = torch.tensor(ensemble.known.to_numpy(float)[:7])
    batch = ensemble.batch(ensemble.known.iloc[:7])
    read, site = model.head_inputs(batch), model.site("hardness")
    one = torch.ones(ensemble.members, 7)
    q = model.head("single_phase", read, None)[..., 0].sigmoid()
    outputs = model.head("hardness", read, model.given("hardness", {"single_phase": one}, batch))
    bound = (np.log(400) - site.centre) / site.spread
    above = norm.sf(site.deviations(outputs.detach(), bound))
    events = Problem.of(ensemble, {"single_phase": 1, "hardness": (">", 400)}).targets
    got = fulfilment(ensemble, known, events)
    np.testing.assert_allclose(got, q.detach().numpy() * above, rtol=1e-3, atol=1e-5)


def test_designs_fulfil_wishes_of_every_kind(many):
    wishes = {"lattice": "close", "hardness": (300, 450)}
    designs = many.design(wishes, [MaxElements(5)], n=30, seed=0)
    easy = many.design({"single_phase": 1}, [MaxElements(5)], n=30, seed=0)
    table = designs.table
    assert (table["lattice"] == "close").mean() > 0.9
    assert table["hardness"].between(280, 480).mean() > 0.8
    assert table["all_wishes"].mean() > fulfil(many, easy, wishes).mean()
    assert set(designs.idata.posterior.data_vars) >= {"lattice[close]", "hardness", "mix[rich]"}
    again = many.design(wishes, [MaxElements(5)], n=30, seed=0)
    pd.testing.assert_frame_equal(again.table, table)


def fulfil(vae, designs, wishes):
    x = torch.tensor(designs.table[list(vae.ensemble.elements)].to_numpy(float))
    return fulfilment(vae.ensemble, x, Problem.of(vae.ensemble, wishes).targets).mean(0)


def test_the_decoder_is_given_values_within_the_wishes(many):
    problem = Problem.of(many.ensemble, {"lattice": "close", "hardness": (300, 400)})
    names = drawn_targets(problem)
    assert names == ["single_phase", "mix", "hardness"]
    like = torch.zeros(2, 500, 1)
    torch.manual_seed(0)
    values = decoder_targets(problem, {name: torch.randn(2, 500) for name in names}, like)
    assert values["lattice"].unique().tolist() == [1]
    assert 0.4 < values["single_phase"].mean() < 0.6  # its prior
    np.testing.assert_allclose(np.bincount(values["mix"].flatten().int()) / 1000, 1 / 3, atol=0.06)
    assert 300 <= values["hardness"].min() < values["hardness"].max() <= 400
    # of a log-normal between these bounds
    q = norm(5.5, 0.5).cdf(np.log([300, 350, 400]))
    share = (values["hardness"] < 350).double().mean()
    assert share == pytest.approx((q[1] - q[0]) / (q[2] - q[0]), abs=0.06)
    own = {"single_phase": torch.ones(2, 1), "lattice": torch.zeros(2, 1), "mix": torch.ones(2, 1)}
    changed = nearest_targets(problem, own | {"hardness": torch.full((2, 1), 900.0)})
    assert {name: value[0].item() for name, value in changed.items()} == {
        "single_phase": 1,
        "lattice": 1,
        "mix": 1,
        "hardness": 400,
    }


@pytest.mark.filterwarnings("ignore::pyro_hea.errors.DesignWarning")
@pytest.mark.parametrize("method", ["svi", "nuts"])
def test_a_bound_on_one_side_is_sampled_by_gradients_too(many, method, monkeypatch):
    monkeypatch.setattr(samplers, "_GUIDED", 500)
    monkeypatch.setattr(guide, "_STEPS", 30)
    monkeypatch.setattr(chains, "_PARTICLES", 64)
    short = {"draws": 5, "warmup": 3, "chains": 2}
    for wish in [(">", 300), ("<", 430)]:
        wishes = {"lattice": "close", "hardness": wish}
        table = many.design(wishes, n=10, seed=0, method=method, **short).table
        assert table["all_wishes"].mean() > 0.5


def test_every_workflow_takes_them(many, monkeypatch):
    monkeypatch.setattr(inversion, "_WALKS", 10)
    wishes, start = {"hardness": (">", 250), "lattice": "close"}, "AlCoCrFeNiTi"
    path = scan_path(many.ensemble, [start, "CoNi"], wishes, points=4)
    assert path.table["all_wishes"].between(0, 1).all()
    rows = screen(many.ensemble, wishes, [Novel(0)], candidates=["TiCr", "CoNi"], progress=False)
    assert rows.formulas == ["CoNi", "CrTi"]
    for change in (nearest_alloy, invert):
        result = change(many.ensemble, start, wishes, confidence=0.3)
        assert result.table["all_wishes"].item() >= 0.3


def test_they_can_be_asked_on_the_command_line(many, tmp_path):
    many.save(tmp_path / "model")
    wishes = ["--target", "hardness>300", "--target", "lattice=close", "--target", "mix=mixed"]
    result = CliRunner().invoke(
        main, ["design", "--model", str(tmp_path / "model"), *wishes, "-n", "3"]
    )
    assert result.exit_code == 0, result.output
    assert "all_wishes" in result.output
    for text, message in {
        "hardness=300:400:500": "is no range",
        "hardness": "NAME=VALUE",
        "hardness=soft": "wish for an inequality",
    }.items():
        arguments = ["design", "--model", str(tmp_path / "model"), "--target", text]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code != 0
        assert message in result.output


@pytest.mark.parametrize("wishes", ["hardness>300", [("hardness", 300)], None])
def test_wishes_that_name_no_target_are_refused(many, wishes):
    with pytest.raises(ConstraintError, match="wishes are a mapping from target to wish, as"):
        many.design(wishes)
