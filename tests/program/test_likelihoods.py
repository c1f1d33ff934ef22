from itertools import product

import numpy as np
import pyro
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.special import gammaln
from scipy.stats import dirichlet, multinomial

from pyro_hea.errors import SpecError
from pyro_hea.program.likelihoods import (
    CompositionDirichlet,
    CompositionHurdle,
    CompositionMultinomial,
    composition_likelihood,
    decoder_outputs,
)
from pyro_hea.spec.likelihood import Dirichlet, Hurdle, Likelihood, Multinomial

KINDS = (Multinomial(), Dirichlet(), Hurdle())
EVERY = pytest.mark.parametrize("declared", KINDS, ids=lambda d: d.kind)


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(total_count: int, elements: int) -> torch.Tensor:
    """Every composition that is a multiple of 1 / total_count."""
    counts = [c for c in product(range(total_count + 1), repeat=elements) if sum(c) == total_count]
    return torch.tensor(counts, dtype=torch.float64) / total_count


def likelihood(declared, *shape: int, seed: int = 0, scale: float = 1.0):
    *batch, elements = shape
    width = decoder_outputs(declared, elements)
    return composition_likelihood(declared, scale * logits(*batch, width, seed=seed))


# All three.


@EVERY
def test_shapes_are_those_of_a_batch_of_alloys(declared):
    d = likelihood(declared, 2, 3, 5, 4)
    assert d.batch_shape == (2, 3, 5)
    assert d.event_shape == (4,)
    assert d.mean.shape == d.typical.shape == d.sample().shape == (2, 3, 5, 4)
    assert d.sample((6,)).shape == (6, 2, 3, 5, 4)
    x = torch.full((5, 4), 0.25, dtype=torch.float64)
    assert d.log_prob(x).shape == (2, 3, 5)


@EVERY
def test_what_it_shows_and_draws_are_compositions(declared):
    torch.manual_seed(0)
    d = likelihood(declared, 50, 6, scale=3.0)
    for x in (d.mean, d.typical, d.sample(), d.sample((20,))):
        assert x.dtype == torch.float64
        assert (x >= 0).all()
        torch.testing.assert_close(x.sum(-1), torch.ones_like(x[..., 0]))


@EVERY
def test_expand_repeats_the_distribution(declared):
    d = likelihood(declared, 3, 4)
    wide = d.expand([2, 3])
    assert type(wide) is type(d)
    assert wide.batch_shape == (2, 3)
    assert wide.event_shape == (4,)
    x = torch.tensor([0.2, 0.2, 0.6, 0.0], dtype=torch.float64)
    torch.testing.assert_close(wide.log_prob(x), d.log_prob(x).expand(2, 3))
    torch.testing.assert_close(wide.mean, d.mean.expand(2, 3, 4))
    torch.testing.assert_close(wide.typical, d.typical.expand(2, 3, 4))
    assert wide.sample().shape == (2, 3, 4)


@EVERY
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_probabilities_and_gradients_are_finite(declared, scale, dtype):
    outputs = (scale * logits(40, decoder_outputs(declared, 5))).to(dtype).requires_grad_()
    d = composition_likelihood(declared, outputs)
    corners = [[1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [1 - 3e-9, 1e-9, 1e-9, 1e-9, 0]]
    for x in torch.tensor(corners, dtype=dtype):
        score = d.log_prob(x)
        assert score.dtype == dtype
        assert score.isfinite().all()
        (gradient,) = torch.autograd.grad(score.sum(), outputs, retain_graph=True)
        assert gradient.isfinite().all()
    for x in (d.mean, d.typical):
        assert x.isfinite().all()


@EVERY
def test_single_precision_is_near_double_precision(declared):
    outputs = 4 * logits(200, decoder_outputs(declared, 30))
    exact = composition_likelihood(declared, outputs)
    single = composition_likelihood(declared, outputs.float())
    x = likelihood(Hurdle(), 200, 30, seed=1).typical
    assert (single.log_prob(x.float()) - exact.log_prob(x)).abs().max() < 0.01
    torch.testing.assert_close(single.mean.double(), exact.mean, atol=1e-5, rtol=0)


@EVERY
def test_the_mean_is_that_of_the_draws(declared):
    torch.manual_seed(0)
    d = likelihood(declared, 3, 4)
    x = d.sample((4000,))
    assert ((x.mean(0) - d.mean).abs() < 4 * x.std(0) / 4000**0.5 + 1e-12).all()


@EVERY
def test_it_is_a_site_of_a_pyro_program_under_plates(declared):
    def program(x=None):
        with pyro.plate("members", 2, dim=-2), pyro.plate("alloys", 3, dim=-1):
            return pyro.sample("x", likelihood(declared, 4), obs=x)

    torch.manual_seed(0)
    assert program().shape == (2, 3, 4)
    x = torch.full((3, 4), 0.25, dtype=torch.float64)
    trace = pyro.poutine.trace(program).get_trace(x)
    torch.testing.assert_close(trace.log_prob_sum(), 6 * likelihood(declared, 4).log_prob(x[0]))


@EVERY
def test_what_depends_on_it_is_found(declared):
    def program():
        outputs = pyro.sample("outputs", pyro.distributions.Normal(logits(8), 1).to_event(1))
        width = decoder_outputs(declared, 4)
        pyro.sample("x", composition_likelihood(declared, outputs[:width]))

    relations = pyro.infer.inspect.get_model_relations(program)
    assert relations["sample_sample"]["x"] == ["outputs"]


# Multinomial.


def test_the_multinomial_sums_to_one_over_all_compositions():
    score = CompositionMultinomial(6, logits(3)).log_prob(grid(6, 3))
    assert float(score.logsumexp(0)) == pytest.approx(0, abs=1e-12)


def test_at_whole_counts_it_is_the_multinomial():
    p = logits(3, 4)
    counts = torch.tensor([[10.0, 0, 0, 0], [1, 2, 3, 4], [0, 5, 5, 0]], dtype=torch.float64)
    got = CompositionMultinomial(10, p).log_prob(counts / 10)
    torch.testing.assert_close(
        got, torch.distributions.Multinomial(10, logits=p).log_prob(counts), check_dtype=False
    )
    for row in range(3):
        probs = p[row].softmax(-1).numpy()
        assert float(got[row]) == pytest.approx(multinomial.logpmf(counts[row].numpy(), 10, probs))


@pytest.mark.parametrize("total_count", [1, 100, 237])
def test_at_fractional_counts_the_factorials_are_gamma_functions(total_count):
    p = logits(5)
    x = np.array([0.123, 0.277, 0.6, 0.0, 0.0])
    log_p = p.numpy() - np.log(np.exp(p.numpy()).sum())
    counts = total_count * x
    expected = gammaln(total_count + 1) - gammaln(counts + 1).sum() + (counts * log_p).sum()
    got = CompositionMultinomial(total_count, p).log_prob(torch.tensor(x))
    assert float(got) == pytest.approx(expected, rel=1e-12)


def test_the_docs_example():
    d = CompositionMultinomial(2, torch.zeros(2))
    assert float(d.log_prob(torch.tensor([0.5, 0.5])).exp()) == pytest.approx(2 * 0.5 * 0.5)


def test_logits_count_up_to_a_constant_of_each_row():
    p, x = logits(3, 4), torch.full((4,), 0.25, dtype=torch.float64)
    shifted = p + torch.tensor([[5.0], [-90.0], [0.0]])
    a = CompositionMultinomial(50, p).log_prob(x)
    torch.testing.assert_close(CompositionMultinomial(50, shifted).log_prob(x), a)


def test_the_mean_of_the_multinomial_is_the_softmax_of_the_logits():
    d = CompositionMultinomial(7, logits(3, 4))
    torch.testing.assert_close(d.mean, logits(3, 4).softmax(-1))
    torch.testing.assert_close(d.typical, d.mean)


@pytest.mark.parametrize("total_count", [1, 3, 100])
def test_draws_of_the_multinomial_are_alloys_of_that_many_atoms(total_count):
    torch.manual_seed(0)
    d = CompositionMultinomial(total_count, logits(2, 4))
    x = d.sample((4000,))
    torch.testing.assert_close(x * total_count, (x * total_count).round())
    four_errors = 4 * (d.mean * (1 - d.mean) / total_count / 4000).sqrt()
    assert ((x.mean(0) - d.mean).abs() < four_errors + 1e-12).all()


def test_the_gradient_of_the_multinomial_is_counts_beyond_expectation():
    p = logits(4).requires_grad_()
    x = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    CompositionMultinomial(100, p).log_prob(x).backward()
    torch.testing.assert_close(p.grad, 100 * (x - p.detach().softmax(-1)))


# Dirichlet.


def test_the_density_is_scipys_at_the_smoothed_fractions():
    alpha = logits(5, 4).exp()
    x = torch.tensor([0.7, 0.3, 0.0, 0.0], dtype=torch.float64)
    smooth = 0.98 * x + 0.02 / 4
    expected = [dirichlet.logpdf(smooth.numpy(), a.numpy()) for a in alpha]
    got = CompositionDirichlet(0.02, alpha).log_prob(x)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    mean = torch.distributions.Dirichlet(alpha).mean
    torch.testing.assert_close(CompositionDirichlet(0.02, alpha).mean, mean)


def test_draws_of_the_dirichlet_have_its_spread():
    torch.manual_seed(0)
    alpha = torch.tensor([0.05, 0.5, 3.0, 9.0], dtype=torch.float64)
    x = CompositionDirichlet(0.01, alpha).sample((20_000,))
    torch.testing.assert_close(
        x.std(0), torch.distributions.Dirichlet(alpha).stddev, rtol=0.05, atol=0
    )


def test_draws_are_compositions_where_every_concentration_is_tiny():
    torch.manual_seed(0)
    x = CompositionDirichlet(0.01, torch.tensor([2e-4, 1e-4, 1e-4])).sample((4000,))
    torch.testing.assert_close(x.sum(-1), torch.ones(4000))
    # All atoms are of one element, in the ratio of the concentrations.
    assert ((x > 0.999).any(-1)).float().mean() > 0.99
    assert float(x[:, 0].mean()) == pytest.approx(0.5, abs=0.04)


def test_it_shows_the_geometric_mean_without_the_smoothing():
    torch.manual_seed(0)
    alpha = torch.tensor([6.0, 3.0, 0.5, 0.1], dtype=torch.float64)
    d = CompositionDirichlet(0.02, alpha)
    centre = d.sample((100_000,)).log().mean(0).exp()
    rest = centre / centre.sum() - 0.02 / 4
    assert (rest > 0).tolist() == [True, True, True, False]
    torch.testing.assert_close(
        d.typical, rest.clamp_min(0) / rest.clamp_min(0).sum(), atol=2e-3, rtol=0
    )


def test_sharp_it_shows_the_alloy_that_was_smoothed():
    x = torch.tensor([0.6, 0.4, 0.0, 0.0], dtype=torch.float64)
    d = CompositionDirichlet(0.01, 1e4 * (0.99 * x + 0.01 / 4))
    torch.testing.assert_close(d.typical, x, atol=1e-3, rtol=0)
    assert d.typical[2:].tolist() == [0, 0]


# Hurdle.


@pytest.mark.parametrize("scale", [0.5, 3.0])
@pytest.mark.parametrize(("total_count", "elements"), [(1, 1), (6, 3), (4, 4), (7, 4)])
def test_the_hurdle_sums_to_one_over_all_compositions(total_count, elements, scale):
    p = scale * logits(2, 5, elements)
    d = CompositionHurdle(total_count, p[0], p[1])
    score = d.log_prob(grid(total_count, elements)[:, None])
    torch.testing.assert_close(score.logsumexp(0), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("presence", [-100.0, -5.0, 0.0, 100.0])
def test_it_sums_to_one_where_presence_is_nearly_certain_or_impossible(presence):
    d = CompositionHurdle(5, torch.full((3,), presence).double(), logits(3))
    assert float(d.log_prob(grid(5, 3)).logsumexp(0)) == pytest.approx(0, abs=1e-10)


def test_a_hurdle_worked_out_by_hand():
    # Presence 1/2, 1/4, 1/5: none with 1/2 · 3/4 · 4/5 = 3/10. Shares 1 : 2 : 5.
    presence = torch.tensor([1 / 2, 1 / 4, 1 / 5], dtype=torch.float64).logit()
    d = CompositionHurdle(4, presence, torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).log())
    first_two = 1 / 2 * 1 / 4 * 4 / 5 / (7 / 10)
    expected = {
        (0.25, 0.75, 0.0): first_two * 4 / 9,  # two more atoms, both of the second: (2/3)²
        (0.5, 0.5, 0.0): first_two * 2 * 1 / 3 * 2 / 3,
        (0.0, 0.0, 1.0): 1 / 2 * 3 / 4 * 1 / 5 / (7 / 10),
        (0.25, 0.25, 0.5): 1 / 2 * 1 / 4 * 1 / 5 / (7 / 10) * 5 / 8,
    }
    for x, probability in expected.items():
        got = d.log_prob(torch.tensor(x, dtype=torch.float64)).exp()
        assert float(got) == pytest.approx(probability)


def test_lists_of_elements_that_count_more_often_only_lower_the_score():
    p, x = logits(2, 4), grid(5, 4)
    presence = CompositionHurdle(5, p[0], p[1])
    atoms = CompositionHurdle(5, torch.zeros(4).double(), p[1]).log_prob(x) + np.log(15)
    thrice = CompositionHurdle(5, p[0], p[1], presence_count=3).log_prob(x)
    torch.testing.assert_close(thrice - atoms, 3 * (presence.log_prob(x) - atoms))
    assert (thrice <= presence.log_prob(x)).all()


def test_draws_of_the_hurdle_come_as_often_as_it_says():
    torch.manual_seed(0)
    p, alloys, draws = logits(2, 4), grid(5, 4), 40_000
    d = CompositionHurdle(5, p[0], p[1])
    counts = (5 * d.sample((draws,))).round().long()
    of_alloy = {tuple(c): i for i, c in enumerate((5 * alloys).round().long().tolist())}
    seen = np.bincount([of_alloy[tuple(c)] for c in counts.tolist()], minlength=len(alloys))
    expected = draws * d.log_prob(alloys).exp().numpy()
    chi_square = ((seen - expected) ** 2 / expected).sum()
    assert abs(chi_square - (len(alloys) - 1)) < 4 * (2 * len(alloys)) ** 0.5


def test_draws_hold_one_element_where_none_is_likely():
    torch.manual_seed(0)
    presence = torch.tensor([-80.0, -80.0, -80.0 + np.log(2.0)])
    x = CompositionHurdle(10, presence, torch.zeros(3)).sample((4000,))
    assert (x.amax(-1) == 1).all()
    assert float(x[:, 2].mean()) == pytest.approx(0.5, abs=0.04)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.3, 2.0, 8.0]))
def test_the_mean_is_that_over_all_compositions(seed, scale):
    p = scale * logits(2, 4, seed=seed)
    d, alloys = CompositionHurdle(6, p[0], p[1]), grid(6, 4)
    expected = (d.log_prob(alloys).exp()[:, None] * alloys).sum(0)
    torch.testing.assert_close(d.mean, expected, atol=1e-6, rtol=0)


def test_the_hurdle_shows_the_elements_more_likely_present_than_not():
    presence = torch.tensor([2.0, 0.1, -0.1, -9.0])
    d = CompositionHurdle(100, presence, torch.tensor([3.0, 1.0, 0.0, 0.0]).log())
    assert d.typical.tolist() == pytest.approx([0.01 + 0.98 * 0.75, 0.01 + 0.98 * 0.25, 0, 0])
    assert (d.mean > 0).all()


def test_the_hurdle_shows_at_least_one_element():
    d = CompositionHurdle(100, torch.tensor([-3.0, -1.0, -2.0]), torch.zeros(3))
    assert d.typical.tolist() == [0, 1, 0]


def test_an_element_of_less_than_an_atom_counts_as_one_atom():
    d = CompositionHurdle(10, *logits(2, 3))
    trace = torch.tensor([1 - 1e-12, 1e-12, 0.0], dtype=torch.float64)
    present = torch.tensor([True, True, False])
    of_set = torch.where(present, d.presence, -d.presence).sigmoid().prod()
    of_set = of_set / (1 - (-d.presence).sigmoid().prod())
    share = d.logits[0].exp() / d.logits[:2].exp().sum()
    torch.testing.assert_close(d.log_prob(trace).exp(), of_set * share**9)


def test_between_whole_counts_the_hurdle_is_smooth():
    d = CompositionHurdle(100, *logits(2, 3))
    a = torch.linspace(0.02, 0.6, 30, dtype=torch.float64)
    x = torch.stack([a, 0.9 - a, torch.full_like(a, 0.1)], -1).requires_grad_()
    assert torch.autograd.gradcheck(d.log_prob, (x,))


def test_a_hurdle_needs_an_atom_for_each_element():
    with pytest.raises(SpecError, match="3 elements but 2 atoms; set total_count to 3 or more"):
        decoder_outputs(Hurdle(total_count=2), 3)
    with pytest.raises(SpecError, match="3 elements but 2 atoms"):
        CompositionHurdle(2, torch.zeros(3), torch.zeros(3))


# From a decoder's outputs.


def test_the_decoder_is_as_wide_as_the_likelihood_needs():
    assert [decoder_outputs(declared, 30) for declared in KINDS] == [30, 30, 60]


def test_outputs_become_the_parameters():
    outputs = logits(3, 4)
    multinomial_ = composition_likelihood(Multinomial(total_count=7), outputs)
    assert multinomial_.total_count == 7
    torch.testing.assert_close(multinomial_.logits, outputs.log_softmax(-1))
    dirichlet_ = composition_likelihood(Dirichlet(smoothing=0.2), outputs)
    assert dirichlet_.smoothing == 0.2
    torch.testing.assert_close(dirichlet_.concentration.log(), outputs, rtol=0.1, atol=0)
    hurdle = composition_likelihood(Hurdle(total_count=8, presence_count=3), outputs)
    assert (hurdle.total_count, hurdle.presence_count) == (8, 3)
    assert hurdle.expand([2, 3]).presence_count == 3
    torch.testing.assert_close(hurdle.presence, outputs[:, :2])
    torch.testing.assert_close(hurdle.logits, outputs[:, 2:])


@pytest.mark.parametrize("output", [-1e4, 1e4])
def test_no_output_makes_a_dirichlet_a_point(output):
    d = composition_likelihood(Dirichlet(), torch.full((3,), output))
    assert ((d.concentration > 5e-4) & (d.concentration < 2e3)).all()


# Declared.


@EVERY
def test_a_declaration_is_told_apart_by_its_kind(declared):
    read = TypeAdapter(Likelihood).validate_python
    assert read(declared.model_dump()) == declared
    assert read(declared) is declared
    assert hash(read({"kind": declared.kind})) == hash(declared)


def test_without_a_kind_atoms_are_counted():
    read = TypeAdapter(Likelihood).validate_python
    assert read({"total_count": 50}) == Multinomial(total_count=50)


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (Multinomial, {"total_count": 0}, "total_count: .* greater than or equal to 1"),
        (Dirichlet, {"smoothing": 0.0}, "smoothing: .* greater than 0"),
        (Dirichlet, {"smoothing": 1.0}, "smoothing: .* less than 1"),
        (Dirichlet, {"total_count": 9}, "unknown key 'total_count'.* Allowed: kind, smoothing"),
        (Hurdle, {"presence_count": 0}, "presence_count: .* greater than or equal to 1"),
    ],
)
def test_a_fault_of_a_declaration_names_the_key(kind, setting, message):
    with pytest.raises(SpecError, match=message):
        kind(**setting)
