"""The declaration of a model of crystals."""

import pytest

from pyro_hea.errors import SpecError
from pyro_hea.spec import CrystalSpec
from pyro_hea.spec.crystals import ConditionalFlow, PrototypeMixture


def test_the_shipped_spec_is_the_default():
    assert CrystalSpec.shipped("crystals") == CrystalSpec()


def test_a_round_trip_through_yaml_changes_nothing(tmp_path):
    spec = CrystalSpec(
        structure={"prior": {"kind": "flow", "layers": 3}}, log_volume={"dist": "Laplace"}
    )
    spec.to_yaml(tmp_path / "crystals.yaml")
    back = CrystalSpec.from_yaml(tmp_path / "crystals.yaml")
    assert back == spec
    assert hash(back) == hash(spec)
    assert isinstance(back.structure.prior, ConditionalFlow)
    assert isinstance(CrystalSpec().structure.prior, PrototypeMixture)


def test_priors_and_likelihoods_are_swapped():
    spec = CrystalSpec().with_prior("gap", {"dist": "StudentT", "df": 4, "loc": 2, "scale": 1})
    assert spec.target("gap").prior.dist == "StudentT"
    assert spec.with_(shape__dist="Normal").shape.dist == "Normal"


def test_other_targets_have_no_undefined_values_unless_declared():
    spec = CrystalSpec(targets={"metal": {}})
    assert dict(spec.undefined_if) == {}
    assert dict(CrystalSpec().undefined_if) == {"gap": "metal", "hole_mass": "metal"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": {}}, "unknown key 'latent'"),
        ({"structure": {"dim": 3}}, r"structure\.dim"),
        ({"structure": {"prior": {"kind": "flows"}}}, "Did you mean 'flow'"),
        ({"structure": {"decoder": {"kind": "wyckof"}}}, "Did you mean 'wyckoff'"),
        ({"shape": {"dist": "Cauchy"}}, r"shape\.dist"),
        ({"undefined_if": {"gap": "metals"}}, "no target 'metals'. Did you mean 'metal'"),
        ({"undefined_if": {"metal": "metal"}}, "'metal' has to be a number"),
        ({"targets": {"metal": {"prior": {"rule": "hume_rothery"}}}}, "reads features of alloys"),
    ],
)
def test_what_is_malformed_is_named(changes, message):
    with pytest.raises(SpecError, match=message):
        CrystalSpec.from_mapping(changes)
