from copy import deepcopy
from typing import ClassVar

import pyro.distributions as dist
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy import stats

from pyro_hea.errors import SpecError
from pyro_hea.materials.alloys.features import FEATURES, PHASE_PARAMETERS, RICH_FEATURES
from pyro_hea.spec import Binary, Categorical, Continuous, ModelSpec, Training, distributions
from pyro_hea.spec.declaration import Declaration
from pyro_hea.spec.distributions import DISTRIBUTIONS, parameters, register_distribution
from pyro_hea.spec.experts import HumeRothery, Logistic, PhaseRule, TargetPrior
from pyro_hea.spec.priors import FlowPrior, LatentPrior, Mixture, Prior, VampPrior, check_support


class Target(Declaration):
    prior: TargetPrior


class Latent(Declaration):
    prior: LatentPrior


def read(text, place=Target):
    return place.model_validate({"prior": yaml.safe_load(text)}).prior


def refused(text, place=Target):
    with pytest.raises(SpecError) as caught:
        place(prior=yaml.safe_load(text))
    return str(caught.value).removeprefix(f"{place.__name__}: ")


def assert_reads_back(declared, place):
    written = place(prior=declared).model_dump(mode="json")["prior"]
    text = yaml.safe_dump(written, sort_keys=False)
    back = read(text, place)
    assert type(back) is type(declared)
    assert back == declared
    assert hash(back) == hash(declared)
    assert yaml.safe_dump(back.model_dump(mode="json"), sort_keys=False) == text


class TestPrior:
    @settings(deadline=None, max_examples=200)
    @given(st.one_of(*map(st.from_type, (Prior, HumeRothery, PhaseRule, Logistic))))
    def test_of_a_target_reads_back_from_yaml(self, declared):
        assert_reads_back(declared, Target)

    @settings(deadline=None, max_examples=40)
    @given(st.from_type(Mixture) | st.from_type(VampPrior) | st.from_type(FlowPrior))
    def test_of_z_reads_back_from_yaml(self, declared):
        assert_reads_back(declared, Latent)

    def test_is_the_same_in_yaml_and_in_python(self):
        declared = Prior(dist="Normal", scale=1, loc=0)
        assert read("{dist: Normal, loc: 0, scale: 1}") == declared
        assert declared.model_dump() == {"dist": "Normal", "loc": 0.0, "scale": 1.0}
        assert list(declared.model_dump()) == ["dist", "loc", "scale"]
        assert repr(declared) == "Prior(dist='Normal', loc=0.0, scale=1.0)"

    def test_is_a_frozen_value(self):
        declared = Prior(dist="Categorical", probs=[0.5, 0.25, 0.25])
        assert {declared: 1}[Prior(dist="Categorical", probs=(0.5, 0.25, 0.25))] == 1
        assert deepcopy(declared) == declared
        with pytest.raises(ValueError, match="frozen"):
            declared.dist = "Normal"
        assert declared != Prior(dist="Categorical", probs=[0.25, 0.5, 0.25])

    def test_reads_the_numbers_that_yaml_reads_as_text(self):
        assert read("{dist: HalfNormal, scale: 1e-4}") == Prior(dist="HalfNormal", scale=1e-4)

    @pytest.mark.parametrize(
        ("declared", "expected"),
        [
            (Prior(dist="Normal", loc=1, scale=2), stats.norm(1, 2)),
            (Prior(dist="LogNormal", loc=1, scale=0.5), stats.lognorm(0.5, scale=torch.e)),
            (Prior(dist="StudentT", df=4, scale=3), stats.t(4, scale=3)),
            (Prior(dist="Gamma", concentration=2, rate=3), stats.gamma(2, scale=1 / 3)),
            (Prior(dist="HalfCauchy", scale=2), stats.halfcauchy(scale=2)),
            (Prior(dist="Beta", concentration1=2, concentration0=5), stats.beta(2, 5)),
            (Prior(dist="Uniform", low=-1, high=3), stats.uniform(-1, 4)),
        ],
    )
    def test_is_the_distribution_of_that_name(self, declared, expected):
        density = declared.distribution().log_prob(torch.tensor([0.25, 0.75]))
        assert density.dtype == torch.float32
        assert density.tolist() == pytest.approx(expected.logpdf([0.25, 0.75]), rel=1e-5)

    def test_follows_the_precision_of_a_tensor(self):
        like = torch.zeros(2, dtype=torch.float64)
        assert Prior(dist="Normal", loc=0.1, scale=1).distribution(like).loc.item() == 0.1

    @pytest.mark.parametrize("name", DISTRIBUTIONS)
    def test_of_any_name_draws_one_number_or_class_of_its_support(self, name):
        moderate = {"probs": 0.3, "low": 0.5, "high": 3, "stability": 1.5, "skew": 0.1}
        needed = [k for k, required in parameters(name).items() if required or k == "probs"]
        given = {key: moderate.get(key, 2.5) for key in needed}
        declared = Prior(
            dist=name, **given | ({"probs": [0.2, 0.8]} if name == "Categorical" else {})
        )
        distribution = declared.distribution()
        assert distribution.shape() == ()
        drawn = distribution.sample((100,))
        assert drawn.shape == (100,)
        assert declared.support.check(drawn).all()
        assert distribution.log_prob(drawn).isfinite().all()

    def test_every_distribution_of_one_number_is_known(self):
        """What Pyro has and no spec may name has another reason than having been forgotten."""
        others = {
            "ContinuousBernoulli": "an approximation of Beta for pixels",
            "RelaxedBernoulli": "a relaxation, no prior",
            "RelaxedBernoulliStraightThrough": "a relaxation, no prior",
            "VonMises": "an angle",
            "Stable": "has no density",
            "NanMaskedNormal": "a Normal",
            "GaussianScaleMixture": "a vector",
            "CoalescentTimes": "a tree",
            "CoalescentTimesWithRate": "a tree",
            "GroupedNormalNormal": "groups of data",
            "ProjectedNormal": "a direction",
            "Unit": "no value",
        }
        found = set()
        for name in dist.__all__:
            kind = getattr(dist, name)
            if not (isinstance(kind, type) and issubclass(kind, TorchDistributionMixin)):
                continue
            support = getattr(kind, "support", None)
            if isinstance(support, type(constraints.real) | constraints.greater_than):
                found.add(name)
            if isinstance(support, constraints.greater_than_eq | constraints.interval):
                found.add(name)
        made_of_others = {"Empirical", "FoldedDistribution", "TruncatedPolyaGamma"}
        assert found - made_of_others - others.keys() <= DISTRIBUTIONS.keys()


class TestRefusal:
    @pytest.mark.parametrize(
        ("text", "place", "said"),
        [
            ("{dist: Norml, loc: 0}", "prior.dist", "known here. Did you mean 'Normal'?"),
            ("{dist: normal, loc: 0}", "prior.dist", "Did you mean 'Normal'?"),
            ("{dist: Mine}", "prior.dist", "@pyro_hea.spec.register_distribution before"),
            ("{dist: Poisson, rate: 1}", "prior.dist", "Allowed: Bernoulli, Categorical, "),
            ("{dist: Mixture}", "prior.dist", "'Mixture' is a prior of z only"),
            ("{dist: [Normal]}", "prior.dist", "no distribution known here"),
            ("{loc: 0, scale: 1}", "prior", "`dist` is missing: name a distribution"),
            ("{}", "prior", "`dist` is missing"),
            ("Normal", "prior", "a dictionary such as {dist: Normal, loc: 0, scale: 1}"),
            ("3", "prior", "a dictionary such as"),
            ("", "prior", "a dictionary such as"),
            ("{dist: Normal, loc: 0}", "prior", "Normal needs scale; it takes loc, scale"),
            ("{dist: Gamma}", "prior", "Gamma needs concentration, rate; it takes"),
            (
                "{dist: Normal, loc: 0, scale: 1, scal: 1}",
                "prior",
                "unknown key 'scal'. Did you mean 'scale'? Allowed: dist, loc, scale",
            ),
            (
                "{dist: Normal, loc: 0, scale: 1, validate_args: false}",
                "prior",
                "unknown key 'validate_args'. Allowed: dist, loc, scale",
            ),
            ("{dist: Normal, loc: 0, scale: 1, 1: 2}", "prior", "unknown key '1'"),
            ("{dist: Normal, loc: 0, scale: -1}", "prior.scale", "must be greater than 0"),
            ("{dist: Normal, loc: 0, scale: 0}", "prior.scale", "greater than 0 (given: 0)"),
            ("{dist: Normal, loc: .inf, scale: 1}", "prior.loc", "a finite number"),
            ("{dist: Normal, loc: .nan, scale: 1}", "prior.loc", "a finite number"),
            ("{dist: Normal, loc: 1.0e300, scale: 1}", "prior.loc", "single precision"),
            ("{dist: Normal, loc: 0, scale: 1.0e-300}", "prior.scale", "single precision"),
            ("{dist: Normal, loc: true, scale: 1}", "prior.loc", "a number is needed, not a bool"),
            ("{dist: Normal, loc: null, scale: 1}", "prior.loc", "needed, not a NoneType"),
            ("{dist: Normal, loc: {}, scale: 1}", "prior.loc", "needed, not a dict"),
            ("{dist: Normal, loc: high, scale: 1}", "prior.loc", "a number is needed"),
            ("{dist: Normal, loc: [], scale: 1}", "prior.loc", "at least one number"),
            ("{dist: Normal, loc: [[0]], scale: 1}", "prior.loc", "needed, not a list"),
            ("{dist: Bernoulli}", "prior", "Bernoulli needs either probs or logits"),
            ("{dist: Bernoulli, probs: 0.5, logits: 0}", "prior", "either probs or logits"),
            ("{dist: Bernoulli, probs: 1.5}", "prior.probs", "must be from 0 to 1"),
            ("{dist: Categorical, probs: [0.5, 0.6]}", "prior.probs", "that sum to 1"),
            ("{dist: Categorical, probs: 0.5}", "prior.probs", "a list of numbers is needed"),
            ("{dist: Uniform, low: 2, high: 1}", "prior", "Uniform refuses its arguments"),
            ("{dist: Normal, loc: [0, 1], scale: [1, 1, 1]}", "prior", "refuses its arguments"),
        ],
    )
    def test_of_a_prior_says_where_and_what_is_needed(self, text, place, said):
        message = refused(text)
        assert message.startswith(f"{place}: ")
        assert said in message
        assert len(message.splitlines()) == 1

    def test_tells_every_fault(self):
        lines = refused("{dist: StudentT, dff: 1, loc: x, scale: -1}").splitlines()
        assert len(lines) == 4

    @pytest.mark.parametrize(
        ("text", "place", "said"),
        [
            ("{dist: Mixtur}", "prior.dist", "Did you mean 'Mixture'?"),
            ("{dist: Mixture, component: 3}", "prior", "Did you mean 'components'?"),
            ("{dist: Mixture, components: 0}", "prior.components", "equal to 1"),
            ("{dist: VampPrior, components: x}", "prior.components", "valid integer"),
            ("{dist: Flow, layer: 3}", "prior", "Allowed: dist, layers, hidden"),
            (
                "{dist: LogNormal, loc: 0, scale: 1}",
                "prior",
                "`z` is real: LogNormal has positive support; use Normal, StudentT or Laplace",
            ),
            ("{dist: Bernoulli, probs: 0.5}", "prior", "`z` is real: Bernoulli has boolean"),
            ("{dist: Uniform, low: 0, high: 1}", "prior", "Uniform has unit-interval support"),
            (
                "{dist: Normal, loc: [0, 1], scale: 1}",
                "prior",
                "`z` is real: Normal draws (2,) of them; give one number for loc",
            ),
        ],
    )
    def test_of_a_prior_of_z(self, text, place, said):
        message = refused(text, Latent)
        assert message.startswith(f"{place}: ")
        assert said in message

    @pytest.mark.parametrize(
        ("text", "place", "said"),
        [
            ("{rule: hume_rothary}", "prior.rule", "Did you mean 'hume_rothery'?"),
            ("{rule: sing}", "prior.rule", "Did you mean 'singh'?"),
            ("{rule: 3}", "prior.rule", "Rules: hume_rothery, king, singh, wang, ye"),
            ("{rule: [king]}", "prior.rule", "is no rule"),
            ("{rule: king, limit: 2}", "prior", "limit"),
            ("{rule: hume_rothery, delta: 6}", "prior", "Did you mean 'delta_max'?"),
            ("{rule: hume_rothery, delta_max: 0}", "prior.delta_max", "greater than 0"),
            (
                "{rule: hume_rothery, mixing_enthalpy: [5, -15]}",
                "prior.mixing_enthalpy",
                "lower bound comes first",
            ),
            ("{rule: hume_rothery, mixing_enthalpy: 5}", "prior.mixing_enthalpy", "tuple"),
            ("{rule: hume_rothery, strength: true}", "prior.strength", "not a boolean"),
            (
                "{logistic: {mixing_entrpy: 1}}",
                "prior.logistic.mixing_entrpy",
                "'mixing_entrpy' is no feature. Did you mean 'mixing_entropy'?",
            ),
            ("{logistic: {}}", "prior.logistic", "name at least one feature"),
            ("{logistic: [omega]}", "prior.logistic", "dictionary"),
            ("{logistic: {omega: 1}, intercpt: 0}", "prior", "Did you mean 'intercept'?"),
            ("{logistic: {omega: true}}", "prior.logistic.omega", "not a boolean"),
            ("{logistic: {omega: much}}", "prior.logistic.omega", "valid number"),
            ("{logistic: {omega: {dist: Norml}}}", "prior.logistic.omega.dist", "'Normal'?"),
            (
                "{logistic: {omega: {dist: Normal, loc: 0, scale: -1}}}",
                "prior.logistic.omega.scale",
                "greater than 0",
            ),
            (
                "{logistic: {omega: {dist: Bernoulli, probs: 0.5}}}",
                "prior.logistic.omega",
                "`coefficient` is a number: Bernoulli has boolean support; use Normal",
            ),
            ("{logistic: {omega: 1}, scale: 0}", "prior.scale", "greater than 0"),
        ],
    )
    def test_of_an_experts_prior(self, text, place, said):
        message = refused(text)
        assert message.startswith(f"{place}: ")
        assert said in message


class TestSupport:
    @pytest.mark.parametrize(
        ("prior", "needed"),
        [
            ("{dist: Bernoulli, probs: 0.3}", "boolean"),
            ("{dist: Bernoulli, logits: -2}", "boolean"),
            ("{rule: hume_rothery}", "boolean"),
            ("{rule: wang}", "boolean"),
            ("{logistic: {omega: 1}}", "boolean"),
            ("{dist: Categorical, probs: [0.2, 0.3, 0.5]}", "classes"),
            ("{dist: Cauchy, loc: 0, scale: 1}", "real"),
            ("{dist: Gamma, concentration: 1, rate: 1}", "positive"),
            ("{dist: Beta, concentration1: 1, concentration0: 1}", "probability"),
            ("{dist: Uniform, low: -1, high: 1}", "number"),
            ("{dist: HalfNormal, scale: 1}", "number"),
        ],
    )
    def test_that_fits_is_let_through(self, prior, needed):
        check_support(read(prior), "site", needed, 3)

    @pytest.mark.parametrize(
        ("prior", "needed", "said"),
        [
            (
                "{dist: Normal, loc: 0, scale: 1}",
                "positive",
                "`site` is positive: Normal has real support; use LogNormal or `transform: log`",
            ),
            (
                "{dist: Beta, concentration1: 1, concentration0: 1}",
                "boolean",
                "`site` is 0 or 1: Beta has unit-interval support; use Bernoulli",
            ),
            (
                "{dist: Categorical, probs: [0.5, 0.5]}",
                "boolean",
                "`site` is 0 or 1: Categorical has 2-class support; use Bernoulli",
            ),
            (
                "{dist: Categorical, probs: [0.5, 0.5]}",
                "classes",
                "`site` is one of 3 classes: Categorical has 2-class support; use Categorical "
                "with 3 probs",
            ),
            ("{dist: Pareto, scale: 1, alpha: 1}", "positive", "Pareto has bounded support"),
            ("{dist: Gamma, concentration: 1, rate: 1}", "real", "Gamma has positive support"),
            ("{dist: Normal, loc: 0, scale: 1}", "probability", "real support; use Beta"),
            (
                "{rule: hume_rothery}",
                "classes",
                "`site` is one of 3 classes: HumeRothery gives the log odds of 0 or 1; use Cat",
            ),
            ("{logistic: {omega: 1}}", "positive", "Logistic gives the log odds of 0 or 1"),
            ("{dist: Normal, loc: 0, scale: [1, 2]}", "real", "give one number for scale"),
            ("{dist: Bernoulli, probs: 1}", "boolean", "greater than 0 and less than 1"),
            ("{dist: Bernoulli, probs: 0}", "boolean", "rules a class out"),
            ("{dist: Categorical, probs: [0.5, 0.5, 0]}", "classes", "rules a class out"),
        ],
    )
    def test_that_does_not_fit_says_what_the_site_needs(self, prior, needed, said):
        with pytest.raises(SpecError) as caught:
            check_support(read(prior), "site", needed, 3)
        assert said in str(caught.value)


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(distributions, "DISTRIBUTIONS", dict(DISTRIBUTIONS))
    monkeypatch.setattr("pyro_hea.spec.priors.DISTRIBUTIONS", distributions.DISTRIBUTIONS)


def triangle():
    """A new class with each call, as a notebook's cell makes one whenever it runs."""

    class Triangle(dist.TorchDistribution):
        arg_constraints: ClassVar = {"width": constraints.positive}
        support = constraints.real

        def __init__(self, width):
            self.width = width
            super().__init__(width.shape)

        def log_prob(self, value):
            return ((1 - value.abs() / self.width) / self.width).log()

    return Triangle


@pytest.mark.usefixtures("registry")
class TestOwnDistribution:
    def test_can_be_named_once_it_is_registered(self):
        assert "make one of your own known with" in refused("{dist: Triangle, width: 2}").lower()
        register_distribution(triangle())
        prior = read("{dist: Triangle, width: 2}")
        assert prior.distribution().log_prob(torch.tensor(1.0)).exp() == pytest.approx(0.25)
        assert_reads_back(prior, Target)
        assert read("{dist: Triangle, width: 2}", Latent) == prior

    def test_is_returned_by_the_decorator(self):
        kind = triangle()
        assert register_distribution(kind) is kind

    def test_is_checked_like_pyros(self):
        register_distribution(triangle())
        assert "Triangle needs width; it takes width" in refused("{dist: Triangle}")
        assert "must be greater than 0" in refused("{dist: Triangle, width: -1}")
        assert "Did you mean 'Triangle'?" in refused("{dist: Triangel}")
        with pytest.raises(SpecError, match="`site` is positive: Triangle has real support"):
            check_support(Prior(dist="Triangle", width=1), "site", "positive")

    def test_that_fails_in_its_constructor_is_refused_in_one_line(self):
        class Broken(dist.Normal):
            def __init__(self, loc):
                raise KeyError(f"no\n{loc}")

        register_distribution(Broken)
        assert "prior: Broken refuses its arguments: " in refused("{dist: Broken, loc: 1}")

    def test_replaces_itself_when_a_cell_runs_twice(self):
        first, second = register_distribution(triangle()), register_distribution(triangle())
        assert first is not second
        assert type(Prior(dist="Triangle", width=1.0).distribution()) is second

    @pytest.mark.parametrize("name", ["Normal", "Bernoulli", "Mixture", "VampPrior", "Flow"])
    def test_may_not_take_a_name_that_is_taken(self, name):
        with pytest.raises(SpecError, match=f"named '{name}' exists already; name the class"):
            register_distribution(type(name, (dist.Normal,), {}))

    @pytest.mark.parametrize("thing", [3, "Normal", torch.distributions.Normal, dist.Normal(0, 1)])
    def test_has_to_be_a_class_of_distribution(self, thing):
        with pytest.raises(SpecError, match="no class of TorchDistribution"):
            register_distribution(thing)


ALLOYS = {  # δ %, ΔH kJ/mol, ΔS J/(mol K), Ω
    "CoCrFeMnNi": (1.0, -4.2, 13.4, 5.8),
    "large misfit": (8.0, -4.2, 13.4, 5.8),
    "at every limit": (6.6, -15.0, 11.0, 1.1),
    "ordering": (1.0, -20.0, 13.4, 5.8),
    "demixing": (1.0, 6.0, 13.4, 5.8),
    "too few elements": (1.0, -4.2, 5.8, 5.8),
    "enthalpy wins": (1.0, -4.2, 13.4, 1.0),
}
NAMES = ("atomic_size_difference", "mixing_enthalpy", "mixing_entropy", "omega")


class TestHumeRothery:
    def columns(self):
        values = torch.tensor(list(ALLOYS.values()))
        return dict(zip(NAMES, values.T, strict=True))

    def signs(self, rule):
        odds = rule.log_odds(self.columns())
        assert (odds.abs() == abs(rule.strength)).all()
        return dict(zip(ALLOYS, (odds > 0).tolist(), strict=True))

    def test_asks_for_size_and_enthalpy(self):
        met = {name for name, sign in self.signs(HumeRothery(strength=3)).items() if sign}
        assert met == ALLOYS.keys() - {"large misfit", "ordering", "demixing"}

    def test_asks_for_more_where_told_to(self):
        rule = HumeRothery(mixing_entropy=(11, 19.5), omega_min=1.1)
        met = {name for name, sign in self.signs(rule).items() if sign}
        assert met == {"CoCrFeMnNi", "at every limit"}

    def test_a_negative_strength_turns_it_round(self):
        signs = self.signs(HumeRothery(strength=-1))
        assert (signs["CoCrFeMnNi"], signs["large misfit"]) == (False, True)

    def test_names_the_features_that_it_reads(self):
        assert HumeRothery().features == NAMES[:2]
        assert HumeRothery(mixing_entropy=(11, 19.5), omega_min=1.1).features == NAMES
        assert set(NAMES) <= FEATURES.keys()

    def test_keeps_the_shape_and_the_precision_of_the_columns(self):
        columns = {name: torch.zeros(2, 1, 3) for name in NAMES}
        odds = HumeRothery().log_odds(columns)
        assert (odds.shape, odds.dtype) == ((2, 1, 3), torch.float32)


class TestPhaseRule:
    @pytest.mark.parametrize(
        ("rule", "within", "outside"),
        [("king", 1.0, 0.99), ("singh", 0.96, 0.95), ("wang", 1.175, 1.18), ("ye", 20.0, 19.9)],
    )
    def test_is_the_published_limit(self, rule, within, outside):
        prior = read(f"{{rule: {rule}, strength: 1.5}}")
        (feature,) = prior.features
        assert feature in PHASE_PARAMETERS
        odds = prior.log_odds({feature: torch.tensor([within, outside])})
        assert odds.tolist() == [1.5, -1.5]

    def test_asks_for_its_feature(self):
        with pytest.raises(SpecError, match="'singh_lambda', which is not among the features"):
            ModelSpec().with_prior("single_phase", {"rule": "singh"})
        both = ModelSpec().with_(
            features__names=[*RICH_FEATURES, "singh_lambda"],
            targets__single_phase__prior={"rule": "singh"},
        )
        assert both.target("single_phase").prior == PhaseRule(rule="singh")


class TestLogistic:
    PRIOR = "{logistic: {omega: -0.8, mixing_entropy: {dist: Laplace, loc: 1, scale: 2}}"

    def test_a_number_is_the_mean_of_a_normal(self):
        prior = read(self.PRIOR + ", intercept: 0.5, scale: 0.25}")
        assert prior.coefficients == {
            "omega": Prior(dist="Normal", loc=-0.8, scale=0.25),
            "mixing_entropy": Prior(dist="Laplace", loc=1, scale=2),
            "intercept": Prior(dist="Normal", loc=0.5, scale=0.25),
        }
        assert list(prior.coefficients)[-1] == "intercept"
        assert prior.features == ("omega", "mixing_entropy")

    def test_the_intercept_may_have_a_prior_of_its_own(self):
        prior = read(self.PRIOR + ", intercept: {dist: Cauchy, loc: 0, scale: 1}}")
        assert prior.coefficients["intercept"] == Prior(dist="Cauchy", loc=0, scale=1)

    def test_is_equal_and_hashed_by_value_in_whatever_order(self):
        one = Logistic(logistic={"omega": 1, "largest_fraction": 2})
        same = Logistic(logistic={"largest_fraction": 2, "omega": 1})
        assert one == same
        assert hash(one) == hash(same)
        assert one != Logistic(logistic={"omega": 1, "largest_fraction": 3})

    def test_its_coefficients_cannot_be_changed(self):
        prior = Logistic(logistic={"omega": 1})
        with pytest.raises(TypeError):
            prior.logistic["omega"] = 2

    def test_does_not_follow_a_dictionary_that_changes(self):
        given_ = {"omega": 1.0}
        prior = Logistic(logistic=given_)
        given_["omega"] = 2.0
        assert prior.coefficients["omega"] == Prior(dist="Normal", loc=1, scale=0.5)


def test_every_argument_of_every_distribution_is_in_the_schema():
    kinds = {kind["title"]: kind for kind in Prior.model_json_schema()["anyOf"]}
    assert list(kinds) == list(DISTRIBUTIONS)
    assert kinds["StudentT"]["required"] == ["dist", "df"]
    assert kinds["Categorical"]["properties"]["probs"]["type"] == "array"
    for name, kind in kinds.items():
        assert list(kind["properties"]) == ["dist", *parameters(name)]


class TestPyroDistributions:
    """A distribution of Pyro stands wherever a prior is declared."""

    @pytest.mark.parametrize(
        "given",
        [
            dist.Normal(6.0, 0.5),
            torch.distributions.Normal(6.0, 0.5),
            Prior("Normal", 6.0, 0.5),
            Prior("Normal", 6.0, scale=0.5),
            Prior(dist.Normal, loc=6.0, scale=0.5),
            {"dist": dist.Normal, "loc": 6.0, "scale": 0.5},
        ],
    )
    def test_of_a_number(self, given):
        expected = Prior(dist="Normal", loc=6.0, scale=0.5)
        assert Continuous("hardness", prior=given).prior == expected
        spec = ModelSpec(targets={"hardness": {"kind": "continuous"}})
        assert spec.with_prior("hardness", given).target("hardness").prior == expected
        assert ModelSpec().with_prior("z", given).latent.prior == expected

    @settings(max_examples=80, deadline=None)
    @given(prior=st.from_type(Prior))
    def test_each_gives_back_its_arguments(self, prior):
        taken = prior.distribution()
        again = Target(prior=taken).prior
        assert again.dist == prior.dist
        for key, _ in again.arguments:
            ours = getattr(again.distribution(), key), getattr(taken, key)
            torch.testing.assert_close(*ours, rtol=1e-3, atol=1e-4)

    def test_of_classes(self):
        prior = dist.Categorical(probs=torch.tensor([0.25, 0.75]))
        target = Categorical("phase", classes=("fcc", "bcc"), prior=prior)
        assert target.prior == Prior(dist="Categorical", probs=(0.25, 0.75))
        assert Binary("a", prior=dist.Bernoulli(logits=1.0)).prior == Prior("Bernoulli", logits=1)

    def test_of_an_experts_coefficient(self):
        prior = Logistic(logistic={"omega": dist.HalfNormal(2.0)})
        assert prior.logistic["omega"] == Prior(dist="HalfNormal", scale=2.0)

    def test_one_that_no_spec_names_is_refused(self):
        with pytest.raises(SpecError, match=r"prior.dist: no distribution known"):
            ModelSpec(
                targets={"hardness": {"kind": "continuous", "prior": dist.VonMises(0.0, 1.0)}}
            )

    def test_by_position_there_is_the_name_alone(self):
        with pytest.raises(SpecError, match="Binary: 2 values by position, and at most 1"):
            Binary("a", "b")
        with pytest.raises(SpecError, match="Training: 1 values by position, and at most 0"):
            Training(8)
        with pytest.raises(SpecError, match="Prior: loc: given twice, by position and by name"):
            Prior("Normal", 0.0, loc=1.0)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Gausian", "Normal"),
        ("gaussian", "Normal"),
        ("lognormal", "LogNormal"),
        ("norml", "Normal"),
    ],
)
def test_a_word_for_a_distribution_is_understood(word, meant):
    with pytest.raises(SpecError, match=rf"Did you mean '{meant}'\?"):
        Prior(dist=word, loc=0.0, scale=1.0)


@pytest.mark.parametrize(
    ("only", "hint"),
    [
        ({"singl_phase": {}}, "Did you mean 'single_phase'"),
        ({"single_phase": {0: ["fc"], 1: ["bcc"]}}, "Did you mean 'fcc'"),
    ],
)
def test_nearest_words_within_only(only, hint):
    phase = {"kind": "categorical", "classes": ["fcc", "bcc"], "given": ["single_phase"]}
    with pytest.raises(SpecError, match=hint):
        ModelSpec(targets={"single_phase": None, "phase": {**phase, "only": only}})
