"""Every declaration, generated: `st.from_type(Prior)` draws one of any kind there is."""

from hypothesis import strategies as st

from pyro_hea.materials.alloys.features import FEATURES, RICH_FEATURES
from pyro_hea.spec import (
    Binary,
    Categorical,
    Continuous,
    Counts,
    Dirichlet,
    Distillation,
    Encoder,
    Features,
    Flow,
    Hurdle,
    Latent,
    ModelSpec,
    Multinomial,
    Network,
    Ordinal,
    Reports,
    Training,
)
from pyro_hea.spec.distributions import DISTRIBUTIONS, parameters, ranges_of
from pyro_hea.spec.experts import HumeRothery, Logistic, PhaseRule
from pyro_hea.spec.names import (
    check_classes,
    check_names_of_targets,
    check_target_name,
    check_text,
)
from pyro_hea.spec.priors import FlowPrior, Mixture, Prior, VampPrior

REAL = ("AsymmetricLaplace", "Cauchy", "Gumbel", "Laplace", "Logistic", "Normal", "StudentT")
POSITIVE = ("Chi2", "Exponential", "Gamma", "HalfNormal", "InverseGamma", "LogNormal", "Weibull")

number = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-30)
positive = st.floats(2**-20, 1e6, width=32)
probability = st.floats(2**-20, 1 - 2**-20, width=32)
widths = st.integers(1, 4096)
logit = st.floats(-100, 100, width=32, allow_subnormal=False)
"""Beyond these, single precision loses what tells two classes apart."""


def shares(n):
    """Probabilities of n classes, none of them 0."""
    weights = st.lists(st.integers(1, 100), min_size=n, max_size=n)
    return weights.map(lambda w: tuple(x / sum(w) for x in w))


def argument(name, key):
    """Values of one argument of a distribution."""
    if key in ("probs", "logits"):
        several = {"probs": shares(3), "logits": st.tuples(logit, logit, logit)}
        one = {"probs": probability, "logits": logit}
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


st.register_type_strategy(Prior, priors(*DISTRIBUTIONS))
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
st.register_type_strategy(
    PhaseRule,
    st.builds(PhaseRule, rule=st.sampled_from(["king", "singh", "wang", "ye"]), strength=number),
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

# A whole spec.

share = st.floats(0, 1, exclude_max=True)
count = st.integers(1, 10**9)


def passes(check, *rest):
    """Whether a name passes a check of the package, for filters."""

    def accepted(value):
        try:
            check(value, *rest)
        except ValueError:
            return False
        return True

    return accepted


text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
).filter(passes(check_text, "text"))
names = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).filter(
    passes(check_target_name)
) | st.sampled_from(["yes", "no", "null", "on", "true", "y", "e1"])
counts = st.builds(Counts, right=positive, wrong=positive)
reports = st.none() | st.builds(
    Reports,
    right=positive,
    wrong=positive,
    sources=st.dictionaries(text, counts, max_size=2),
)
classes = (
    st.lists(text, min_size=2, max_size=4, unique=True)
    .map(tuple)
    .filter(passes(check_classes, "classes"))
)
several_names = st.lists(names, min_size=1, max_size=4, unique=True).filter(
    passes(check_names_of_targets, {})
)
logarithms = st.builds(
    lambda dist, loc, scale: Prior(dist=dist, loc=loc, scale=scale),
    st.sampled_from(["Normal", "Laplace", "Logistic", "Gumbel"]),
    st.floats(-20, 20, width=32, allow_subnormal=False),
    st.floats(2**-10, 8, width=32),
)


def categorical(n):
    """A prior over n classes."""
    return st.none() | shares(n).map(lambda probs: Prior(dist="Categorical", probs=probs))


conditions = text.map(lambda name: f"at {name}")


@st.composite
def targets(draw):
    """Targets of every kind, each given some of those before it, in any order."""
    found = []
    for name in draw(several_names):
        given = draw(st.sets(st.sampled_from(found)) if found else st.just(set()))
        common = {"name": name, "given": tuple(parent.name for parent in given)}
        kind = draw(st.sampled_from([Binary, Categorical, Ordinal, Continuous]))
        if kind is Binary:
            bernoulli = probability.map(lambda probs: Prior(dist="Bernoulli", probs=probs))
            expert = st.one_of(*map(st.from_type, (HumeRothery, PhaseRule, Logistic)))
            common |= {"prior": draw(bernoulli | expert), "reports": draw(reports)}
        elif kind is Categorical:
            values = draw(classes)
            only = {
                parent.name: {
                    value: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
                    for value in parent.classes
                }
                for parent in given
                if not isinstance(parent, Continuous)
            }
            common |= {"classes": values, "prior": draw(categorical(len(values)))}
            common |= {"only": draw(st.sampled_from([{}, only])), "reports": draw(reports)}
        elif kind is Ordinal:
            levels = draw(classes)
            common |= {"levels": levels, "prior": draw(categorical(len(levels)))}
        else:
            scale = draw(st.sampled_from(["log", "positive", "identity"]))
            common |= {
                "unit": draw(st.just("") | text),
                "positive": scale != "identity",
                "transform": "log" if scale == "log" else "identity",
                "prior": draw(
                    {
                        "log": st.none() | logarithms,
                        "positive": st.none() | priors(*POSITIVE),
                        "identity": st.none() | priors(*REAL),
                    }[scale]
                ),
                "heteroscedastic": draw(st.booleans()),
                "conditions": draw(st.dictionaries(conditions, number, max_size=2)),
            }
        found.append(kind(**common))
    return tuple(draw(st.permutations(found)))


likelihoods = (
    st.builds(Multinomial, total_count=count)
    | st.builds(Dirichlet, smoothing=probability)
    | st.builds(Hurdle, total_count=count)
)


@st.composite
def latents(draw):
    flow = draw(st.none() | st.builds(Flow, layers=st.integers(1, 32), hidden=widths))
    prior = draw(
        priors(*REAL) | st.from_type(Mixture) | st.from_type(VampPrior) | st.from_type(FlowPrior)
    )
    if isinstance(prior, VampPrior):
        flow = None
    return Latent(dim=2 * draw(st.integers(1, 128)), prior=prior, flow=flow)


hidden = st.lists(widths, max_size=4).map(tuple)
activations = st.sampled_from(["silu", "softplus"])
distillations = st.builds(
    Distillation,
    synthetic_alloys=st.integers(1, 10**6),
    trees=st.integers(1, 10**4),
    steps=st.integers(1, 10**5),
)
networks = st.builds(Network, hidden=hidden, dropout=share, activation=activations)


@st.composite
def specs(draw):
    declared = draw(targets())
    read = {name for t in declared for name in getattr(t.prior, "features", ())}
    names = sorted(read | draw(st.sets(st.sampled_from(list(FEATURES)), min_size=1)))
    rich = st.just("rich") if read <= {*RICH_FEATURES} else st.nothing()
    return ModelSpec(
        targets=declared,
        latent=draw(latents()),
        likelihood=draw(likelihoods),
        features=Features(
            names=draw(rich | st.just(tuple(names))),
            tables=draw(st.sampled_from(["field", "published"])),
            bins=draw(st.none() | st.integers(1, 256)),
        ),
        head=draw(networks),
        encoder=draw(
            st.builds(
                Encoder,
                hidden=hidden,
                dropout=share,
                activation=activations,
                reads=st.sampled_from(["square_roots", "fractions"]),
                covariance=st.sampled_from(["full", "diagonal"]),
            )
        ),
        decoder=draw(networks),
        training=draw(
            st.builds(
                Training,
                members=st.integers(1, 1024),
                epochs=count,
                batch_size=st.integers(2, 10**9),
                learning_rate=positive,
                head_learning_rate=positive,
                weight_decay=share,
                head_weight_decay=share,
                label_weight=share,
                distillation=st.none() | distillations,
                mixup=share,
                jitter=share,
                augmentation=share,
                clip_norm=positive,
                patience=count,
                wake_sleep=share,
            )
        ),
    )


st.register_type_strategy(ModelSpec, specs())
