import numpy as np
import pyro
import pytest
import torch
from scipy.special import gammaln
from scipy.stats import multinomial

from pyro_hea.likelihoods import CompositionMultinomial


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


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


def test_the_mean_is_the_softmax_of_the_logits():
    p = logits(3, 4)
    torch.testing.assert_close(CompositionMultinomial(7, p).mean, p.softmax(-1))


@pytest.mark.parametrize("total_count", [1, 3, 100])
def test_samples_are_alloys_of_that_many_atoms_around_the_mean(total_count):
    torch.manual_seed(0)
    d = CompositionMultinomial(total_count, logits(2, 4))
    x = d.sample((4000,))
    assert x.shape == (4000, 2, 4)
    assert x.dtype == torch.float64
    assert (x >= 0).all()
    torch.testing.assert_close(x.sum(-1), torch.ones_like(x[..., 0]))
    torch.testing.assert_close(x * total_count, (x * total_count).round())
    four_errors = 4 * (d.mean * (1 - d.mean) / total_count / 4000).sqrt()
    assert ((x.mean(0) - d.mean).abs() < four_errors + 1e-12).all()


def test_one_sample_has_the_shape_of_the_batch():
    d = CompositionMultinomial(5, logits(2, 3, 4))
    assert d.batch_shape == (2, 3)
    assert d.event_shape == (4,)
    assert d.sample().shape == (2, 3, 4)
    assert d.log_prob(d.sample()).shape == (2, 3)


def test_expand_repeats_the_distribution():
    d = CompositionMultinomial(5, logits(3, 4))
    wide = d.expand([2, 3])
    assert wide.batch_shape == (2, 3)
    assert wide.event_shape == (4,)
    assert wide.total_count == 5
    x = torch.tensor([0.2, 0.2, 0.2, 0.4], dtype=torch.float64)
    torch.testing.assert_close(wide.log_prob(x), d.log_prob(x).expand(2, 3))
    assert wide.sample().shape == (2, 3, 4)


def test_the_gradient_is_finite_where_elements_are_absent():
    p = logits(4).requires_grad_()
    x = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    CompositionMultinomial(100, p).log_prob(x).backward()
    torch.testing.assert_close(p.grad, 100 * (x - p.detach().softmax(-1)))


def test_it_is_a_site_of_a_pyro_program_under_plates():
    def program(x=None):
        with pyro.plate("members", 2, dim=-2), pyro.plate("alloys", 3, dim=-1):
            return pyro.sample("x", CompositionMultinomial(10, logits(4)), obs=x)

    torch.manual_seed(0)
    assert program().shape == (2, 3, 4)
    x = torch.full((3, 4), 0.25, dtype=torch.float64)
    trace = pyro.poutine.trace(program).get_trace(x)
    one = CompositionMultinomial(10, logits(4)).log_prob(x[0])
    torch.testing.assert_close(trace.log_prob_sum(), 6 * one)
