"""The generative process that a spec declares, in lines that can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from pyro_hea.spec.experts import Logistic, Rule
from pyro_hea.spec.likelihood import Dirichlet, Likelihood, Multinomial
from pyro_hea.spec.model import ModelSpec
from pyro_hea.spec.priors import (
    FlowPrior,
    LatentPrior,
    Mixture,
    Prior,
    VampPrior,
    format_prior,
)
from pyro_hea.spec.targets import Binary, Categorical, Continuous, Ordinal, Target, in_order


class Line(NamedTuple):
    """One line: a site or a value, what it depends on, where it comes from and its setting."""

    site: str
    given: tuple[str, ...]
    sign: str
    text: str
    setting: str

    @property
    def left(self) -> str:
        """What stands before the sign."""
        return f"{self.site} | {', '.join(self.given)}" if self.given else self.site


class Process(NamedTuple):
    """A model and its guide, line by line.

    Attributes
    ----------
    members : int
    targets : tuple of str
        What `y` stands for.
    shared, alloy, guide : tuple of Line
        Sites that all alloys share, sites of each alloy, and the guide's.
    """

    members: int
    targets: tuple[str, ...]
    shared: tuple[Line, ...]
    alloy: tuple[Line, ...]
    guide: tuple[Line, ...]

    def __str__(self) -> str:
        width = max(len(line.left) for line in (*self.shared, *self.alloy, *self.guide)) + 8

        def written(lines: tuple[Line, ...], indent: int) -> Iterator[str]:
            for line in lines:
                left = f"{'':{indent}}{line.left}"
                yield f"{left:{width}} {line.sign} {line.text}  [{line.setting}]"

        return "\n".join(
            [
                f"for each of {self.members} members:",
                *written(self.shared, 4),
                f"    for each alloy, with its features φ and y = ({', '.join(self.targets)}):",
                *written(self.alloy, 8),
                "guide:",
                *written(self.guide, 8),
            ]
        )


def generative_process(spec: ModelSpec) -> Process:
    """Every site of the model that a spec declares, in the order in which they are drawn.

    Examples
    --------
    >>> print(generative_process(ModelSpec()))
    for each of 8 members:
        for each alloy, with its features φ and y = (single_phase):
            single_phase        ~ Bernoulli(probs=0.5)  [targets.single_phase.prior]
            z                   ~ Normal(loc=0, scale=1) for each of 8 coordinates  [latent]
            w | z, y            = flow of 4 couplings  [latent.flow]
            composition | w, y  ~ Multinomial(100 atoms, decoder(w, y))  [likelihood, decoder]
    guide:
            single_phase | φ    ~ head(φ) where there is no label, summed over  [head, features]
            z | composition, y  ~ flow⁻¹ of MultivariateNormal(encoder(√composition, y))  [encoder]
    """
    targets = in_order(spec.targets)
    shared = tuple(line for target in targets for line in _shared(target))
    sites = [line for target in targets for line in _target(target)]
    sites.append(Line("z", (), "~", _latent(spec.latent.prior, spec.latent.dim), "latent"))
    flow, seen = spec.latent.flow, "z"
    if flow is not None:
        text = f"flow of {flow.layers} couplings"
        sites.append(Line("w", ("z", "y"), "=", text, "latent.flow"))
        seen = "w"
    text, setting = _likelihood(spec.likelihood, f"decoder({seen}, y)"), "likelihood, decoder"
    sites.append(Line("composition", (seen, "y"), "~", text, setting))

    guide = [line._replace(text="learnt, of the shape of its support") for line in shared]
    guide += [_head(target) for target in targets]
    read = "√composition" if spec.encoder.reads == "square_roots" else "composition"
    normal = "MultivariateNormal" if spec.encoder.covariance == "full" else "Normal"
    text = f"{'' if flow is None else 'flow⁻¹ of '}{normal}(encoder({read}, y))"
    guide.append(Line("z", ("composition", "y"), "~", text, "encoder"))
    names = tuple(target.name for target in targets)
    return Process(spec.training.members, names, shared, tuple(sites), tuple(guide))


def _shared(target: Target) -> Iterator[Line]:
    """What all alloys share: an expert's coefficients and the reliability of sources."""
    setting = f"targets.{target.name}"
    if isinstance(target.prior, Logistic):
        for name, prior in target.prior.coefficients.items():
            key = name if name == "intercept" else f"logistic.{name}"
            yield Line(
                f"{target.name}_{name}", (), "~", format_prior(prior), f"{setting}.prior.{key}"
            )
    if isinstance(target, Binary | Categorical) and target.reports is not None:
        counts = {"a source": target.reports, **target.reports.sources}
        text = "; ".join(
            f"{name}: {c.right:g} right, {c.wrong:g} wrong" for name, c in counts.items()
        )
        text = f"Dirichlet, for each source and true class ({text})"
        yield Line(f"{target.name}_reliability", (), "~", text, f"{setting}.reports")


def _target(target: Target) -> Iterator[Line]:
    name, setting = target.name, f"targets.{target.name}"
    conditions = tuple(target.conditions)
    given = (*_parents_of_expert_prior(target), *target.given, *conditions)
    moved = ", moved by learnt weights" if target.given or conditions else ""
    text = f"{_prior(target)}{moved}{_format_only(target)}"
    yield Line(name, given, "~", text, f"{setting}.prior")
    if isinstance(target, Binary | Categorical) and target.reports is not None:
        shared = f"{name}_reliability"
        text = f"Categorical({shared}) for each report"
        yield Line(f"{name}_reports", (name, shared), "~", text, f"{setting}.reports")


def _prior(target: Target) -> str:
    prior = target.prior
    if isinstance(target, Continuous):
        unit = f" {target.unit}" if target.unit else ""
        log = "exp " if target.transform == "log" else ""
        if target.prior is None:
            return f"{log}Normal scaled to the labels{unit}"
        return f"{log}{format_prior(target.prior)}{unit}"
    if isinstance(prior, Rule):
        criteria = " and ".join(
            f"{low:g} ≤ {feature} ≤ {high:g}".removeprefix("-inf ≤ ").removesuffix(" ≤ inf")
            for feature, (low, high) in prior.criteria.items()
        )
        return f"Bernoulli(log odds {prior.strength:g} if {criteria}, else {-prior.strength:g})"
    if isinstance(prior, Logistic):
        return f"Bernoulli(log odds linear in standardised {', '.join(prior.features)})"
    if isinstance(target, Categorical | Ordinal):
        kind = "Categorical" if isinstance(target, Categorical) else "OrderedLogistic"
        if prior is None:
            return f"{kind}({', '.join(target.classes)}: equal)"
        probs = prior.distribution().probs.tolist()
        shares = zip(target.classes, probs, strict=True)
        return f"{kind}({', '.join(f'{name}: {p:.3g}' for name, p in shares)})"
    return format_prior(cast("Prior", prior))


def _format_only(target: Target) -> str:
    if not isinstance(target, Categorical):
        return ""
    return "".join(
        f"; {', '.join(classes)} where {parent} is {value}"
        for parent, values in target.only.items()
        for value, classes in values.items()
        if len(classes) < len(target.classes)
    )


def _parents_of_expert_prior(target: Target) -> tuple[str, ...]:
    """What an expert's prior depends on."""
    if isinstance(target.prior, Logistic):
        return "φ", f"{target.name}_*"
    return ("φ",) if isinstance(target.prior, Rule) else ()


def _latent(prior: LatentPrior, dim: int) -> str:
    if isinstance(prior, Mixture):
        return f"learnt mixture of {prior.components} normals over {dim} coordinates"
    if isinstance(prior, VampPrior):
        return f"mean posterior of {prior.components} learnt alloys over {dim} coordinates"
    if isinstance(prior, FlowPrior):
        return f"standard normal through {prior.layers} learnt couplings over {dim} coordinates"
    return f"{format_prior(prior)} for each of {dim} coordinates"


def _likelihood(likelihood: Likelihood, decoder: str) -> str:
    if isinstance(likelihood, Multinomial):
        return f"Multinomial({likelihood.total_count} atoms, {decoder})"
    if isinstance(likelihood, Dirichlet):
        return f"Dirichlet({decoder}), {likelihood.smoothing:g} of the atoms spread evenly"
    return f"Bernoulli for presence, then Multinomial({likelihood.total_count} atoms); {decoder}"


def _head(target: Target) -> Line:
    conditions = tuple(target.conditions)
    given = ("φ", *target.given, *conditions)
    summed = "" if isinstance(target, Continuous) else ", summed over"
    text = f"head({', '.join(given)}) where there is no label{summed}"
    return Line(target.name, given, "~", text, "head, features")
