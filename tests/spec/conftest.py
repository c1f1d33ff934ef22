"""Every declaration, generated: `st.from_type(Prior)` draws one of any kind there is."""

from hypothesis import strategies as st

from pyro_hea.features import FEATURES
from pyro_hea.spec.distributions import DISTRIBUTIONS, parameters, ranges_of
from pyro_hea.spec.priors import FlowPrior, HumeRothery, Logistic, Mixture, Prior, VampPrior

REAL = ("AsymmetricLaplace", "Cauchy", "Gumbel", "Laplace", "Logistic", "Normal", "StudentT")
POSITIVE = ("Chi2", "Exponential", "Gamma", "HalfNormal", "InverseGamma", "LogNormal", "Weibull")

number = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-30)
positive = st.floats(2**-20, 1e6, width=32)
probability = st.floats(2**-20, 1 - 2**-20, width=32)
widths = st.integers(1, 4096)


def shares(n):
    """Probabilities of n classes, none of them 0."""
    weights = st.lists(st.integers(1, 100), min_size=n, max_size=n)
    return weights.map(lambda w: tuple(x / sum(w) for x in w))


def argument(name, key):
    """Values of one argument of a distribution."""
    if key in ("probs", "logits"):
        several = {"probs": shares(3), "logits": st.tuples(number, number, number)}
        one = {"probs": probability, "logits": number}
        return (several if name == "Categorical" else one)[key]
    if name == "StableWithLogProb" and key in ("stability", "skew"):
        return st.floats(0.5, 1.0, exclude_max=True)
    return positive if "GreaterThan" in str(ranges_of(name).get(key)) else number


def arguments(name):
    """Arguments that a distribution takes, some of the optional ones left out."""
    taken = parameters(name)
    if "probs" in taken:
        return st.sampled_from(["probs", "logits"]).flatmap(
            lambda key: st.fixed_dictionaries({key: argument(name, key)})
        )
    if name == "Uniform":
        bounds = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted)
        return bounds.map(lambda b: dict(zip(("low", "high"), b, strict=True)))
    values = {key: argument(name, key) for key in taken}
    return st.fixed_dictionaries(
        {key: values[key] for key, required in taken.items() if required},
        optional={key: values[key] for key, required in taken.items() if not required},
    )


def priors(*names):
    """A prior that is one of the named distributions."""
    return st.sampled_from(names).flatmap(
        lambda name: arguments(name).map(lambda given: Prior(dist=name, **given))
    )


def bounds():
    return st.lists(number, min_size=2, max_size=2, unique=True).map(sorted).map(tuple)


st.register_type_strategy(Prior, lambda _: priors(*DISTRIBUTIONS))
st.register_type_strategy(
    HumeRothery,
    st.builds(
        HumeRothery,
        delta_max=positive,
        mixing_enthalpy=bounds(),
        mixing_entropy=st.none() | bounds(),
        omega_min=st.none() | positive,
        strength=number,
    ),
)
coefficients = number | priors(*REAL, *POSITIVE)
st.register_type_strategy(
    Logistic,
    st.builds(
        Logistic,
        logistic=st.dictionaries(
            st.sampled_from(list(FEATURES)), coefficients, min_size=1, max_size=4
        ),
        intercept=coefficients,
        scale=positive,
    ),
)
st.register_type_strategy(Mixture, st.builds(Mixture, components=widths))
st.register_type_strategy(VampPrior, st.builds(VampPrior, components=widths))
st.register_type_strategy(FlowPrior, st.builds(FlowPrior, layers=st.integers(1, 32), hidden=widths))
