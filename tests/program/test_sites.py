"""Each kind of target in the program, against sums written out by hand."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from scipy import special, stats

from pyro_hea.inference import elbo_loss
from pyro_hea.inference.objective import (
    known_labels,
    label_patterns,
    split_by_class,
    without_masks,
)
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.program.sites import site_of
from pyro_hea.spec import ModelSpec

N, E, K, D, ATOMS = 6, 4, 2, 2, 20
COLUMNS = ("atomic_size_difference", "mixing_enthalpy", "number_of_elements")
CENTRE, SPREAD = (5.0, -4.0, 4.5), (2.0, 6.0, 1.2)
SCALES = {"hardness": (6.0, 0.5), "modulus": (1.5, 2.5), "strain": (-2.0, 0.8)}
SOURCES = {"single_phase": ("ann", "bob"), "phase": ("ann", "bob", "eve")}
NAN = math.nan

KINDS: dict[str, dict[str, Any]] = {
    "single_phase": {"prior": {"dist": "Bernoulli", "probs": 0.3}},
    "phase": {
        "kind": "categorical",
        "classes": ["fcc", "bcc", "several"],
        "given": "single_phase",
        "only": {"single_phase": {"0": ["several"], "1": ["fcc", "bcc"]}},
        "prior": {"dist": "Categorical", "probs": [0.5, 0.2, 0.3]},
    },
    "rating": {
        "kind": "ordinal",
        "levels": ["poor", "fair", "good"],
        "prior": {"dist": "Categorical", "probs": [0.2, 0.5, 0.3]},
    },
    "hardness": {
        "kind": "continuous",
        "unit": "HV",
        "prior": {"dist": "Normal", "loc": 6.1, "scale": 0.7},
    },
    "modulus": {
        "kind": "continuous",
        "positive": False,
        "transform": "identity",
        "heteroscedastic": False,
        "prior": {"dist": "StudentT", "df": 4.0, "loc": 1.0, "scale": 3.0},
    },
    "strain": {
        "kind": "continuous",
        "transform": "identity",
        "prior": {"dist": "Gamma", "concentration": 2.0, "rate": 8.0},
    },
}
"""A target of each kind; `several` is what no single phase is."""


CLASSES = {
    "single_phase": ("0", "1"),
    "phase": ("fcc", "bcc", "several"),
    "rating": ("poor", "fair", "good"),
}


def spec_of(targets: Mapping[str, Mapping[str, Any]], **more: Any) -> ModelSpec:
    base: dict[str, Any] = {
        "targets": {name: dict(body) for name, body in targets.items()},
        "latent": {"dim": D, "flow": None},
        "likelihood": {"total_count": ATOMS},
        "features": {"names": list(COLUMNS), "bins": 3},
        "head": {"hidden": [6]},
        "encoder": {"hidden": [7], "covariance": "diagonal"},
        "decoder": {"hidden": [5]},
        "training": {"members": K},
    }
    return ModelSpec.from_mapping(base | more)


def kinds(*names: str, **changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Declarations of the named targets, single keys changed."""
    return {name: KINDS[name] | dict(changes.get(name, {})) for name in names}


def model_of(spec: ModelSpec, members: int | None = None, seed: int = 0) -> AlloyModel:
    """Weights far from their initial values, in double precision."""
    edges = torch.tensor([[0.0, 4.0, 6.0, 10.0], [-20.0, -8.0, 0.0, 10.0], [2.0, 3.5, 5.0, 8.0]])
    conditions = {
        t.name: tuple(100.0 for _ in t.conditions)
        for t in spec.targets
        if getattr(t, "conditions", ())
    }
    statistics = Statistics(
        edges.double(),
        torch.tensor(CENTRE).double(),
        torch.tensor(SPREAD).double(),
        SCALES,
        conditions,
        SOURCES,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = AlloyModel(spec, E, statistics, members).double()
        for parameter in model.parameters():
            parameter.data.normal_(std=0.6)
        for channel in model.reliabilities.values():
            channel.raw.data.mul_(0.01)  # far from its start, and no probability all but zero
    model.population = 3 * N
    return model.eval()


def batch_of(labels: Mapping[str, list[float]], n: int = N, **more: Any) -> AlloyBatch:
    """Alloys with these labels; NaN is unlabelled, under a placeholder."""
    generator = torch.Generator().manual_seed(5)
    fractions = torch.rand(n, E, generator=generator, dtype=torch.float64)
    fractions[0, 1] = fractions[3 % n, 0] = 0.0
    noise = torch.randn(n, len(COLUMNS), generator=generator, dtype=torch.float64)
    values = {t: torch.tensor(v, dtype=torch.float64) for t, v in labels.items()}
    return AlloyBatch(
        fractions / fractions.sum(-1, keepdim=True),
        torch.tensor(CENTRE) + torch.tensor(SPREAD) * noise,
        {t: v.nan_to_num(PLACEHOLDERS.get(t, 0.0)) for t, v in values.items()},
        {t: ~v.isnan() for t, v in values.items() if v.isnan().any()},
        **more,
    )


PLACEHOLDERS = {"hardness": 400.0, "modulus": 1.5, "strain": 0.1}


@pytest.fixture(autouse=True)
def _double_precision():
    """Pyro scores the deterministic site of a partly observed target in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# The bound by hand: of the model only the weights and the values that the guide drew.


def layers(net, x: np.ndarray, k: int) -> np.ndarray:
    """One member's network of SiLU layers at one input."""
    weights = [(m.weight[k].tolist(), m.bias[k, 0].tolist()) for m in net if hasattr(m, "weight")]
    for i, (w, b) in enumerate(weights):
        x = x @ np.array(w) + np.array(b)
        x = x * special.expit(x) if i < len(weights) - 1 else x
    return x


def read_by_networks(target, y: float) -> list[float]:
    if target.kind == "binary":
        return [y]
    if target.kind == "categorical":
        return [float(y == c) for c in range(len(target.classes))]
    if target.kind == "ordinal":
        return [y / (len(target.classes) - 1)]
    centre, spread = SCALES[target.name]
    return [((math.log(y) if target.positive else y) - centre) / spread]


def levels(at: float, cuts: list[float]) -> np.ndarray:
    """Probabilities of ordered levels."""
    return np.diff([0.0, *(special.expit(c - at) for c in cuts), 1.0])


class ByHand:
    """Terms of the bound of one member and one alloy."""

    def __init__(self, model: AlloyModel, batch: AlloyBatch, trace, k: int, n: int) -> None:
        self.model, self.batch, self.k, self.n = model, batch, k, n
        self.values = {name: s["value"] for name, s in trace.nodes.items() if s["type"] == "sample"}
        self.phi = batch.features[n].numpy()
        self.embedded = model.embedding(batch.features[n : n + 1])[0].numpy()

    def known(self, name: str) -> bool:
        if name not in self.batch.targets:
            return False
        return name not in self.batch.labelled or bool(self.batch.labelled[name][self.n])

    def inputs(self, target, y: dict[str, float]) -> list[float]:
        by_name = {t.name: t for t in self.model.targets}
        given = [v for p in target.given for v in read_by_networks(by_name[p], y[p])]
        if getattr(target, "conditions", ()):
            given += self.batch.conditions[target.name][self.n].tolist()
        return given

    def odds(self, target, coefficients: list[float] | None) -> float:
        if target.name not in self.model.experts:
            return 0.0
        prior = target.prior
        phi = dict(zip(COLUMNS, self.phi, strict=True))
        if coefficients is None:
            low, high = prior.mixing_enthalpy
            met = phi["atomic_size_difference"] <= prior.delta_max
            met = met and low <= phi["mixing_enthalpy"] <= high
            return prior.strength if met else -prior.strength
        standard = dict(zip(COLUMNS, (self.phi - CENTRE) / np.array(SPREAD), strict=True))
        slopes = sum(w * standard[f] for w, f in zip(coefficients, prior.logistic, strict=False))
        return slopes + coefficients[-1]

    def log_prior(self, target, y: dict[str, float], coefficients) -> float:
        model, k, value = self.model, self.k, y[target.name]
        given = np.array(self.inputs(target, y))
        site = model.sites[target.name]
        shift = np.zeros(site.shifts)
        if len(given):
            shift = given @ np.array(model.shifts[target.name].weight[k].tolist())
        shift = shift + self.odds(target, coefficients)
        if target.kind == "binary":
            declared = dict(getattr(target.prior, "arguments", {"probs": 0.5}))
            return bernoulli(special.logit(declared["probs"]) + shift[0], value)
        if target.kind == "categorical":
            logits = np.log(probs_of(target)) + shift
            return categorical(logits, target, y)
        if target.kind == "ordinal":
            cuts = special.logit(np.cumsum(probs_of(target))[:-1]).tolist()
            return math.log(levels(shift[0], cuts)[int(value)])
        moved = shift[0] * SCALES[target.name][1]
        declared = scipy_prior(target.prior)
        if target.transform == "log":
            return declared.logpdf(math.log(value) - moved) - math.log(value)
        if target.positive:  # the unbounded scale is the logarithm
            return declared.logpdf(value * math.exp(-moved)) - moved
        return declared.logpdf(value - moved)

    def log_guide(self, target, y: dict[str, float], value: float, evidence, blind=False):
        """Log q of a value; a masked row's head is blind."""
        model, k = self.model, self.k
        site = model.sites[target.name]
        inputs = np.array([*self.embedded, *self.inputs(target, y)])
        out = layers(model.heads[target.name], inputs, k)
        if target.name in model.experts and target.name not in model.spec.distilled_targets:
            expert = model.experts[target.name]
            centre = (
                None
                if not expert.coefficients
                else [w[k, 0].item() for w in expert.centres.values()]
            )
            out = out + self.odds(target, centre)
        out = np.zeros_like(out) if blind else out
        if target.kind == "binary":
            return bernoulli(out[0] + evidence[1] - evidence[0], value)
        if target.kind == "categorical":
            return categorical(out + evidence, target, {**y, target.name: value})
        if target.kind == "ordinal":
            cuts = [site.lowest_cut[k, 0, 0].item()]
            for raw in site.raw_gaps[k, 0].tolist():
                cuts.append(cuts[-1] + math.log1p(math.exp(raw)))
            logits = np.log(levels(out[0], cuts)) + evidence
            return special.log_softmax(logits)[int(value)]
        raw = out[1] if target.heteroscedastic else site.raw_scale[k, 0].item()
        scale = math.log1p(math.exp(raw)) + 1e-2
        centre, spread = SCALES[target.name]
        normal = stats.norm(centre + spread * out[0], spread * scale)
        return (
            normal.logpdf(math.log(value)) - math.log(value)
            if target.positive
            else normal.logpdf(value)
        )

    def latent_and_composition(self, y: dict[str, float], z: np.ndarray) -> float:
        model, k, x = self.model, self.k, self.batch.fractions[self.n].numpy()
        context = [v for t in model.targets for v in read_by_networks(t, y[t.name])]
        out = layers(model.encoder, np.array([*np.sqrt(x), *context]), k)
        loc, scale = out[:D], np.log1p(np.exp(out[D:] - 2)) + 1e-4
        logits = layers(model.decoder, np.array([*z, *context]), k)
        counts = ATOMS * x
        likelihood = special.gammaln(ATOMS + 1) - special.gammaln(counts + 1).sum()
        likelihood += counts @ special.log_softmax(logits)
        return stats.norm.logpdf(z).sum() + likelihood - stats.norm.logpdf(z, loc, scale).sum()


def probs_of(target) -> np.ndarray:
    if target.prior is None:
        return np.full(len(target.classes), 1 / len(target.classes))
    return np.array(dict(target.prior.arguments)["probs"])


def scipy_prior(prior):
    a = dict(prior.arguments)
    return {
        "Normal": lambda: stats.norm(a["loc"], a["scale"]),
        "StudentT": lambda: stats.t(a["df"], a["loc"], a["scale"]),
        "Gamma": lambda: stats.gamma(a["concentration"], scale=1 / a["rate"]),
        "LogNormal": lambda: stats.lognorm(a["scale"], scale=math.exp(a["loc"])),
    }[prior.dist]()


def bernoulli(logit: float, value: float) -> float:
    return special.log_expit(logit if value else -logit)


def categorical(logits: np.ndarray, target, y: dict[str, float]) -> float:
    """Log probability of a class among those that its parents leave."""
    possible = np.ones(len(logits), bool)
    for parent, allowed in target.only.items():
        possible &= [c in allowed[CLASSES[parent][int(y[parent])]] for c in target.classes]
    logits = np.where(possible, logits, -np.inf)
    return special.log_softmax(logits)[int(y[target.name])]


def elbo_by_hand(model: AlloyModel, batch: AlloyBatch, seed: int) -> float:
    """Sum over members, alloys and branches, at the values that the guide draws from a seed."""
    torch.manual_seed(seed)
    with torch.no_grad(), pyro.validation_enabled(False):
        trace = poutine.trace(poutine.enum(model.guide, first_available_dim=-3)).get_trace(batch)
        summed = {}
        for t in model.targets:
            name = t.name if t.name not in batch.targets else f"{t.name}_unobserved"
            if t.kind != "continuous" and name in trace.nodes:
                summed[t.name] = len(t.classes)
        shape = (*(summed[t] for t in reversed(summed)), K, len(batch))
        total = 0.0
        for k, n in itertools.product(range(model.members), range(len(batch))):
            hand = ByHand(model, batch, trace, k, n)
            for branch in itertools.product(*(range(size) for size in summed.values())):
                index = (*reversed(branch), k, n)
                total += of_branch(hand, dict(zip(summed, branch, strict=True)), index, shape)
        return total + shared_by_hand(model, batch, trace)


def of_branch(hand: ByHand, guesses: dict[str, int], index, shape) -> float:
    model, batch = hand.model, hand.batch
    weight, terms, y = 1.0, 0.0, {}
    for t in model.targets:
        known = hand.known(t.name)
        site = t.name if t.name not in batch.targets else f"{t.name}_unobserved"
        coefficients = coefficients_of(hand, t)
        evidence = evidence_of(hand, t)
        told = ruled_out(hand, t) if evidence is None else evidence + ruled_out(hand, t)
        if known:
            y[t.name] = float(batch.targets[t.name][hand.n])
            if t.name in guesses:  # several draws of z, averaged
                weight *= math.exp(hand.log_guide(t, y, guesses[t.name], told, blind=True))
        else:
            if t.name in guesses:
                y[t.name] = float(guesses[t.name])
            else:
                y[t.name] = float(hand.values[site].expand(shape)[index])
            log_q = hand.log_guide(t, y, y[t.name], told)
            if t.name in guesses:
                weight *= math.exp(log_q)
            if weight == 0:
                return 0.0
            terms -= log_q
        terms += hand.log_prior(t, y, coefficients)
        if evidence is not None:
            terms += evidence[int(y[t.name])]
    z = hand.values["z"].expand(*shape, D)[index].numpy()
    return weight * (terms + hand.latent_and_composition(y, z))


def coefficients_of(hand: ByHand, target) -> list[float] | None:
    names = list(getattr(target.prior, "logistic", ()))
    if not names:
        return None
    sites = [f"{target.name}_{name}" for name in (*names, "intercept")]
    return [hand.values[site][hand.k, 0].item() for site in sites]


def evidence_of(hand: ByHand, target) -> np.ndarray | None:
    """Log probability of an alloy's reports for each true class."""
    if target.name not in hand.batch.reports:
        return None
    counts = hand.batch.reports[target.name][hand.n].numpy()
    rates = hand.values[f"{target.name}_reliability"][hand.k, 0].numpy()  # source, truth, report
    return np.array([(counts * np.log(rates[:, c])).sum() for c in range(rates.shape[1])])


def ruled_out(hand: ByHand, target) -> np.ndarray:
    """-inf for classes with which the label of a target that depends on this one cannot be."""
    classes = getattr(target, "classes", ())
    ruled = np.zeros(len(classes))
    for child in hand.model.targets:
        if target.name in getattr(child, "only", ()) and hand.known(child.name):
            label = child.classes[int(hand.batch.targets[child.name][hand.n])]
            allowed = child.only[target.name]
            ruled += [0.0 if label in allowed[c] else -np.inf for c in classes]
    return ruled


def shared_by_hand(model: AlloyModel, batch: AlloyBatch, trace) -> float:
    """What all alloys share: each batch bears its part of it."""
    total = 0.0
    for k, t in itertools.product(range(model.members), model.targets):
        if getattr(t.prior, "logistic", ()):
            expert = model.experts[t.name]
            for i, (feature, prior) in enumerate(t.prior.coefficients.items()):
                value = trace.nodes[f"{t.name}_{feature}"]["value"][k, 0].item()
                loc = expert.loc[k, 0, i].item()
                scale = math.log1p(math.exp(expert.raw_scale[k, 0, i].item())) + 1e-3
                total += scipy_prior(prior).logpdf(value)
                if prior.dist == "LogNormal":
                    total -= stats.lognorm(scale, scale=math.exp(loc)).logpdf(value)
                else:
                    total -= stats.norm(loc, scale).logpdf(value)
        if t.name in model.reliabilities:
            channel = model.reliabilities[t.name]
            value = trace.nodes[f"{t.name}_reliability"]["value"][k, 0].numpy()
            q = channel.concentration[k, 0].numpy()
            for s, c in itertools.product(range(value.shape[0]), range(value.shape[1])):
                declared = t.reports.sources.get(SOURCES[t.name][s], t.reports)
                alpha = np.full(value.shape[1], declared.wrong / (value.shape[1] - 1))
                alpha[c] = declared.right
                total += stats.dirichlet.logpdf(value[s, c], alpha)
                total -= stats.dirichlet.logpdf(value[s, c], q[s, c])
    return total * len(batch) / model.population


MIXED = {
    "single_phase": [1, NAN, 0, NAN, 1, NAN],
    "phase": [0, NAN, 2, NAN, NAN, NAN],
    "rating": [NAN, 2, 1, 0, NAN, NAN],
    "hardness": [NAN, 420.0, 180.0, NAN, 560.0, NAN],
    "modulus": [NAN, -2.0, 3.5, NAN, NAN, 0.2],
    "strain": [0.2, NAN, NAN, 0.05, NAN, NAN],
}
LABELLED = {
    "single_phase": [1, 0, 0, 1, 1, 0],
    "phase": [0, 2, 2, 1, 1, 2],
    "rating": [1, 2, 1, 0, 2, 2],
    "hardness": [200.0, 420.0, 180.0, 300.0, 560.0, 700.0],
    "modulus": [1.0, -2.0, 3.5, 0.5, 2.0, 0.2],
    "strain": [0.2, 0.1, 0.4, 0.05, 0.3, 0.01],
}
RULES = {"rating": {"poor": ["bcc"], "fair": ["fcc", "several"], "good": ["bcc", "several"]}}
FAMILY = {
    "two classes": kinds("single_phase", "phase"),
    "ordinal": kinds("rating"),
    "ordinal given a class": kinds("single_phase", "rating", rating={"given": "single_phase"}),
    "numbers": kinds("hardness", "modulus", "strain"),
    "an ordinal parent with rules": kinds(
        "rating", "phase", phase={"given": "rating", "only": RULES}
    ),
    "a number given classes": kinds(
        "single_phase",
        "phase",
        "hardness",
        "modulus",
        hardness={"given": ["phase", "single_phase"]},
        modulus={"given": "hardness", "heteroscedastic": True},
    ),
    "a class given a number": kinds("hardness", "rating", rating={"given": "hardness"}),
    "a number at a condition": kinds(
        "rating", "hardness", hardness={"given": "rating", "conditions": {"test_temperature_C": 25}}
    ),
}
LABELS = {"mixed": MIXED, "labelled": LABELLED, "left out": {}}


def labelled_batch(spec: ModelSpec, labels: Mapping[str, list[float]]) -> AlloyBatch:
    names = spec.target_names
    conditions = {
        t.name: torch.linspace(-1.0, 2.0, N).unsqueeze(-1)
        for t in spec.targets
        if getattr(t, "conditions", ())
    }
    return batch_of({t: v for t, v in labels.items() if t in names}, conditions=conditions)


def loss_of(model: AlloyModel, batch: AlloyBatch, seed: int = 3) -> float:
    torch.manual_seed(seed)
    return float(elbo_loss(model, batch).detach())


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("family", FAMILY)
def test_the_elbo_is_the_sum_by_hand(family, labels):
    spec = spec_of(FAMILY[family])
    model, batch = model_of(spec), labelled_batch(spec, LABELS[labels])
    by_hand = elbo_by_hand(model, batch, seed=3)
    assert loss_of(model, batch) == pytest.approx(-by_hand, rel=1e-10, abs=1e-10)


RULE = {"rule": "hume_rothery", "strength": 1.5}
LOGISTIC = {
    "logistic": {
        "number_of_elements": -0.8,
        "mixing_enthalpy": {"dist": "LogNormal", "loc": -0.5, "scale": 0.4},
    },
    "intercept": 0.3,
}
EXPERTS = {
    "rule": kinds("single_phase", "phase", single_phase={"prior": RULE}),
    "logistic": kinds("single_phase", "phase", single_phase={"prior": LOGISTIC}),
    "logistic given a number": kinds(
        "hardness", "single_phase", single_phase={"prior": LOGISTIC, "given": "hardness"}
    ),
}
TOLD = {"sources": {"bob": {"right": 20.0, "wrong": 2.0}}}
REPORTED = {
    "a binary target": kinds("single_phase", "phase", single_phase={"reports": TOLD}),
    "a class": kinds("single_phase", "phase", "hardness", phase={"reports": TOLD}),
    "a class that a rating rules out": kinds(
        "rating",
        "phase",
        phase={
            "given": "rating",
            "only": RULES,
            "reports": {},
        },
    ),
    "both": kinds(
        "single_phase",
        "phase",
        single_phase={"reports": {}, "prior": LOGISTIC},
        phase={"reports": TOLD},
    ),
}


def reported_batch(spec: ModelSpec, labels: Mapping[str, list[float]]) -> AlloyBatch:
    """Reports of some sources on some alloys, and labels of the other targets."""
    generator = torch.Generator().manual_seed(2)
    reports = {}
    for t in spec.targets:
        if getattr(t, "reports", None) is not None:
            shape = (N, len(SOURCES[t.name]), len(t.classes))
            counts = torch.randint(0, 3, shape, generator=generator).double()
            counts[1] = counts[4] = 0.0
            reports[t.name] = counts
    rest = {n: v for n, v in labels.items() if n in spec.target_names and n not in reports}
    return batch_of(rest, reports=reports)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("family", EXPERTS)
@pytest.mark.parametrize("taught", [True, False])
def test_an_experts_prior_and_its_coefficients_are_in_the_elbo(family, labels, taught):
    training = {"members": K, "distillation": {} if taught else None}
    spec = spec_of(EXPERTS[family], training=training)
    model, batch = model_of(spec), labelled_batch(spec, LABELS[labels])
    by_hand = elbo_by_hand(model, batch, seed=3)
    assert loss_of(model, batch) == pytest.approx(-by_hand, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("family", REPORTED)
def test_reports_and_the_reliability_of_their_sources_are_in_the_elbo(family, labels):
    spec = spec_of(REPORTED[family])
    model, batch = model_of(spec), reported_batch(spec, LABELS[labels])
    by_hand = elbo_by_hand(model, batch, seed=3)
    assert loss_of(model, batch) == pytest.approx(-by_hand, rel=1e-10, abs=1e-10)


# What else must hold of the bound, whatever the kinds are.

ALL = kinds(
    "single_phase",
    "phase",
    "rating",
    "hardness",
    "modulus",
    rating={"given": "phase"},
    hardness={"given": ["phase", "rating"]},
    modulus={"given": "hardness"},
)


def gradients(model: AlloyModel, batch: AlloyBatch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.manual_seed(3)
    elbo_loss(model, batch).backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_placeholders_of_any_kind_have_no_influence_on_loss_and_gradients():
    spec = spec_of(ALL)
    model, batch = model_of(spec), labelled_batch(spec, MIXED)
    other = {"single_phase": 1.0, "phase": 1.0, "rating": 2.0, "hardness": 7e4, "modulus": -3e5}
    targets = {t: torch.where(batch.labelled[t], v, other[t]) for t, v in batch.targets.items()}
    changed = batch.replaced(targets=targets)
    assert loss_of(model, changed) == loss_of(model, batch)
    a, b = gradients(model, batch), gradients(model, changed)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all(g.isfinite().all() for g in a.values())


@pytest.fixture
def without_chance(monkeypatch):
    """Every normal draw lies 0.3 standard deviations above its mean."""

    def constant(shape, dtype, device):
        return torch.full(tuple(shape), 0.3, dtype=dtype, device=device)

    monkeypatch.setattr("torch.distributions.normal._standard_normal", constant)


@pytest.mark.usefixtures("without_chance")
@pytest.mark.parametrize("labels", LABELS)
def test_members_of_any_kind_are_worth_as_many_single_models(labels):
    spec = spec_of(ALL | kinds("single_phase", single_phase={"prior": LOGISTIC}))
    model, batch = model_of(spec), labelled_batch(spec, LABELS[labels])
    alone = [loss_of(model.member(k), batch) for k in range(K)]
    assert loss_of(model, batch) == pytest.approx(sum(alone), rel=1e-12)
    assert alone[0] != pytest.approx(alone[1], rel=1e-3)


@pytest.mark.usefixtures("without_chance")
def test_the_sum_over_patterns_of_labels_is_the_loss_of_the_whole_batch():
    """To the last digits, as the draws of z do not tell the branches apart."""
    spec = spec_of(ALL | kinds("single_phase", single_phase={"prior": LOGISTIC}))
    model, batch = model_of(spec), labelled_batch(spec, MIXED)
    pattern = label_patterns(model, batch)
    assert len(pattern.unique()) == 5
    parts = [batch.take(pattern == one) for one in pattern.unique()]
    assert sum(len(part) for part in parts) == N
    total = 0.0
    for part in parts:
        compact = without_masks(part, known_labels(part))
        for name in ("single_phase", "phase", "rating"):
            assert name not in compact.labelled
            known = part.known(name)
            assert known.all() if name in compact.targets else not known.any()
        total += loss_of(model, compact)
    assert total == pytest.approx(loss_of(model, batch), rel=1e-12)


def test_the_sum_over_patterns_is_the_loss_of_the_whole_batch_on_average():
    spec = spec_of(kinds("single_phase", "rating", rating={"given": "single_phase"}))
    model, batch = model_of(spec), labelled_batch(spec, MIXED)
    model.decoder[0].weight.data[:, :D] *= 0.02  # z matters a little
    pattern = label_patterns(model, batch)
    parts = [batch.take(pattern == one) for one in pattern.unique()]
    parts = [without_masks(part, known_labels(part)) for part in parts]
    whole = [loss_of(model, batch, seed) for seed in range(15)]
    split = [sum(loss_of(model, part, seed) for part in parts) for seed in range(15)]
    error = math.hypot(np.std(whole), np.std(split)) / 15**0.5
    assert abs(np.mean(whole) - np.mean(split)) < 4 * error
    assert error < 0.01 * np.mean(whole)


TAUGHT = {"members": K, "distillation": {}}


@pytest.mark.usefixtures("without_chance")
@pytest.mark.parametrize("labels", LABELS)
def test_alloys_in_each_class_have_the_bound_and_the_gradient_of_an_enumeration(labels):
    alone = {"given": [], "only": {}}
    spec = spec_of(kinds("single_phase", "phase", "hardness", phase=alone), training=TAUGHT)
    model, batch = model_of(spec).eval(), labelled_batch(spec, LABELS[labels])
    counted = split_by_class(model, batch, known_labels(batch))
    assert not ({"single_phase", "phase"} & counted.alloys.labelled.keys())
    rows = {"mixed": 1 + 1 + 3 + 3 * 6, "labelled": N, "left out": 6 * N}
    assert len(counted.alloys) == rows[labels]
    results = []
    for args in ((batch,), counted):
        model.zero_grad()
        loss = elbo_loss(model, *args)
        loss.backward()
        moved = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((loss.detach(), {n: g for n, g in moved.items() if g.any()}))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "targets",
    [
        kinds("rating"),
        kinds("single_phase", single_phase={"prior": LOGISTIC}),
        kinds("single_phase", "rating", rating={"given": "single_phase"}),
    ],
    ids=["not distilled", "an expert's", "given to another"],
)
def test_what_is_not_summed_by_rows_stays_as_it_is(targets):
    spec = spec_of(targets, training=TAUGHT)
    batch = labelled_batch(spec, MIXED)
    alloys, counts = split_by_class(model_of(spec), batch, known_labels(batch))
    assert alloys is batch
    assert counts is None


@pytest.mark.parametrize(("below", "above"), [(0.6, 0.6), (1.0, 1.0), (1.7, 0.8), (0.7, 1.7)])
def test_a_number_with_tails_is_one_distribution_whoever_asks(below, above):
    """Density, levels and draws of the site, against the integral of its own density."""
    spec = ModelSpec.from_mapping({"targets": {"hardness": KINDS["hardness"]}})
    site = site_of(spec.target("hardness"), K, {}, SCALES["hardness"]).double().eval()
    site.calibration.copy_(torch.tensor([1.3, below, above]))
    outputs = torch.tensor([0.4, -0.2], dtype=torch.float64)
    q = site.standard(outputs)
    grid = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    below = torch.cumulative_trapezoid(q.log_prob(grid).exp(), grid)
    assert float(below[-1]) == pytest.approx(1.0, abs=1e-5)
    levels = torch.special.ndtr(site.deviations(outputs, grid[1:]))
    np.testing.assert_allclose(levels.numpy(), below.numpy(), atol=2e-5)
    deviations = torch.tensor([-2.5, 0.0, 0.3, 4.0], dtype=torch.float64)
    back = site.deviations(outputs, site.standardised(outputs, deviations))
    np.testing.assert_allclose(back.numpy(), deviations.numpy(), atol=1e-9)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        drawn = site.posterior(outputs, {}).sample(torch.Size([20_000]))
    level = torch.special.ndtr(site.deviations(outputs, site.encode(drawn)[..., 0]))
    assert stats.kstest(level.numpy(), "uniform").pvalue > 0.01
    scale = 1.3 * (math.log1p(math.exp(-0.2)) + 0.01)
    slope = torch.autograd.functional.jacobian(
        lambda u: site.standardised(outputs, u), deviations.new_zeros(())
    )
    assert float(slope) == pytest.approx(scale)  # the middle is the normal's, whatever the tails
