"""A spec shows what differs from the default, and gives it back."""

import pyro.distributions as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_hea import ModelSpec
from pyro_hea.spec import Binary, Continuous


def test_the_default_is_shown_as_such():
    assert repr(ModelSpec()) == str(ModelSpec()) == "ModelSpec()"


def test_what_differs_is_shown_and_nothing_else():
    spec = ModelSpec(
        targets=(Continuous("hardness", unit="HV", prior=dist.Normal(6.0, 0.5)),),
        training={"members": 2},
        head={"hidden": [8], "dropout": 0.2},
        likelihood={"kind": "dirichlet"},
    )
    assert repr(spec) == (
        "ModelSpec().with_(targets={'hardness': {'kind': 'continuous', 'unit': 'HV', 'prior': "
        "{'dist': 'Normal', 'loc': 6.0, 'scale': 0.5}}}, "
        "likelihood={'kind': 'dirichlet', 'smoothing': 0.01}, head__hidden=[8], "
        "training__members=2)"
    )


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(spec=st.from_type(ModelSpec))
def test_the_text_makes_the_same_spec(spec):
    assert eval(repr(spec), {"ModelSpec": ModelSpec}) == spec


def test_html_folds_and_is_escaped():
    spec = ModelSpec(targets=(Binary("a"), Continuous("hardness", unit="a & b")))
    html = spec.with_(training__members=3)._repr_html_()
    assert html.count("<details") == 2
    assert "a &amp; b" in html
    assert "training.members" in html
    assert "training.epochs" not in html
