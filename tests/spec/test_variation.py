import pytest

from pyro_hea.errors import SpecError
from pyro_hea.spec import HumeRothery, Latent, Mixture, ModelSpec, Prior, Training

SPEC = ModelSpec.from_mapping(
    {
        "targets": {
            "single_phase": {},
            "hardness": {
                "kind": "continuous",
                "unit": "HV",
                "prior": {"dist": "Normal", "loc": 6, "scale": 1},
            },
        },
        "latent": {"dim": 4, "flow": None},
    }
)


class TestWith:
    def test_changes_what_is_named_and_nothing_else(self):
        spec = ModelSpec().with_(latent__dim=4, training__epochs=10)
        assert spec == ModelSpec(latent=Latent(dim=4), training=Training(epochs=10))
        assert spec.with_(latent__dim=8, training__epochs=160) == ModelSpec()

    def test_leaves_the_spec_itself_as_it_is(self):
        before = SPEC.to_mapping()
        SPEC.with_(latent__dim=2)
        assert SPEC.to_mapping() == before

    def test_without_changes_is_the_same(self):
        assert SPEC.with_() == SPEC

    def test_leads_into_a_target_and_its_prior(self):
        spec = SPEC.with_(targets__hardness__prior__scale=0.5, targets__hardness__unit="GPa")
        assert spec.target("hardness").prior == Prior(dist="Normal", loc=6, scale=0.5)
        assert spec.target("hardness").unit == "GPa"
        assert spec.target("single_phase") == SPEC.target("single_phase")

    def test_takes_a_declaration_a_mapping_or_nothing(self):
        declared = SPEC.with_(latent=Latent(dim=2, prior=Mixture(components=3)))
        assert declared == SPEC.with_(
            latent={"dim": 2, "prior": {"dist": "Mixture", "components": 3}}
        )
        assert ModelSpec().with_(latent__flow=None).latent.flow is None

    def test_adds_a_target(self):
        assert SPEC.with_(targets__ductile={}).target_names == (
            "single_phase",
            "hardness",
            "ductile",
        )

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"latnt__dim": 2}, "latnt__dim: unknown key 'latnt'. Did you mean 'latent'?"),
            ({"latent__dims": 2}, "latent: unknown key 'dims'. Did you mean 'dim'?"),
            ({"latnt": {}}, "top level: unknown key 'latnt'. Did you mean 'latent'?"),
            ({"targets__hardnes__unit": "GPa"}, "'hardnes'. Did you mean 'hardness'?"),
            ({"latent__flow__layers": 2}, "'flow' is None, with nothing within; set latent__flow"),
            ({"latent__dim__x": 2}, "'dim' is 4, with nothing within; set latent__dim"),
            ({"latent__dim": 0}, "latent.dim: Input should be greater than or equal to 1"),
            ({"latent__prior__scale": -1}, "latent.prior.scale: must be greater than 0"),
            ({"latent": 3}, "latent: Input should be a valid dictionary"),
        ],
    )
    def test_refuses_what_cannot_be(self, change, said):
        with pytest.raises(SpecError) as caught:
            SPEC.with_(**change)
        assert said in str(caught.value)


class TestWithPrior:
    @pytest.mark.parametrize(
        "prior", [{"dist": "Bernoulli", "probs": 0.25}, Prior(dist="Bernoulli", probs=0.25)]
    )
    def test_of_a_target(self, prior):
        spec = SPEC.with_prior("single_phase", prior)
        assert spec.target("single_phase").prior == Prior(dist="Bernoulli", probs=0.25)
        assert spec.target("hardness") == SPEC.target("hardness")
        assert spec.latent == SPEC.latent

    def test_of_a_target_by_an_expert(self):
        spec = SPEC.with_prior("single_phase", {"rule": "hume_rothery", "delta_max": 6.0})
        assert spec.target("single_phase").prior == HumeRothery(delta_max=6.0)

    @pytest.mark.parametrize("prior", [{"dist": "Mixture", "components": 3}, Mixture(components=3)])
    def test_of_z(self, prior):
        spec = SPEC.with_prior("z", prior)
        assert spec.latent == Latent(dim=4, flow=None, prior=Mixture(components=3))

    @pytest.mark.parametrize(
        ("name", "prior", "said"),
        [
            ("hardnes", {}, "'hardnes' has no prior. Did you mean 'hardness'? There are z, single"),
            (
                "hardness",
                {"dist": "LogNormal", "loc": 6, "scale": 1},
                "`hardness` is declared by its logarithm (transform: log): LogNormal has positive "
                "support; use Normal, StudentT or Laplace of the logarithm, or `transform: ident",
            ),
            ("z", {"dist": "Beta", "concentration1": 1, "concentration0": 1}, "`z` is real"),
            ("single_phase", {"dist": "Bernouli", "probs": 1}, "Did you mean 'Bernoulli'?"),
            ("single_phase", 0.5, "a dictionary such as"),
        ],
    )
    def test_refuses_what_cannot_be(self, name, prior, said):
        with pytest.raises(SpecError) as caught:
            SPEC.with_prior(name, prior)
        assert said in str(caught.value)
