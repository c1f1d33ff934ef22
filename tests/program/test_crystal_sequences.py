"""The distribution of prototypes choice by choice, against an enumeration of all of them."""

import math

import numpy as np
import pytest
import torch

from pyro_hea.materials.crystals.sequences import choices
from pyro_hea.program.crystal_sequences import WyckoffDecoder, WyckoffSequences, sequences_of

K, DIM, LARGEST = 2, 3, 3
TYPE = torch.tensor([[1 / 3, 2 / 3, math.log(3)]])


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    decoder = WyckoffDecoder(K, DIM, 3, LARGEST, (8,), 0.0)
    with torch.no_grad():
        decoder.group_bias += 2 * torch.randn_like(decoder.group_bias)  # far from uniform
    return decoder


def of(decoder, n, counts=(1, 2)):
    z = torch.tensor([[[0.5, -1.0, 2.0]], [[-2.0, 0.0, 1.0]]]).expand(K, n, DIM)
    return WyckoffSequences(decoder, decoder.reads(z, TYPE.expand(n, -1)), [counts] * n)


def padded(sequences):
    return torch.tensor([[*s, *[-1] * (2 + LARGEST - len(s))] for s in sequences])


@pytest.fixture(scope="module")
def every():
    """Each sequence of AB2 with one formula unit, in all space groups."""

    def walk(begun=()):
        allowed = choices(begun, (1, 2), LARGEST)
        if not allowed:
            yield begun
        for choice in np.flatnonzero(allowed).tolist():
            yield from walk((*begun, choice))

    return list(walk())


def test_probabilities_of_all_sequences_sum_to_one(decoder, every):
    total = of(decoder, len(every)).log_prob(padded(every)).double().exp().sum(-1)
    assert len(every) > 1000
    torch.testing.assert_close(total, torch.ones(K, dtype=torch.float64), rtol=1e-5, atol=0)


def test_draws_are_complete_and_possible(decoder, every):
    drawn = of(decoder, 50)
    torch.manual_seed(1)
    value = drawn.sample()
    assert value.shape == (K, 50, 2 + LARGEST)
    for k, several in enumerate(sequences_of(value)):
        assert set(several) <= set(every)
        assert (drawn.log_prob(value[k])[k] > -50).all()


def test_draws_are_as_often_as_they_are_probable(decoder, every):
    torch.manual_seed(2)
    n = 4000
    drawn = sequences_of(of(decoder, n).sample())[0]
    chance = of(decoder, len(every)).log_prob(padded(every))[0].exp()
    groups = torch.zeros(230).index_add(0, torch.tensor([s[0] for s in every]), chance.detach())
    found = torch.bincount(torch.tensor([s[0] for s in drawn]), minlength=230) / n
    assert (found - groups).abs().max() < 5 * (groups.max() / n) ** 0.5


def test_the_likeliest_are_those_of_the_enumeration(decoder, every):
    mean = of(decoder, len(every)).log_prob(padded(every)).logsumexp(0) - math.log(K)
    likeliest = of(decoder, 1).likeliest(500)[0]
    best = mean.topk(10)
    assert [s for s, _ in likeliest[:10]] == [every[i] for i in best.indices.tolist()]
    np.testing.assert_allclose([p for _, p in likeliest[:10]], best.values.detach(), rtol=1e-4)


def test_what_cannot_be_has_no_probability(decoder):
    twice, unit = (224, 0, 0, 0, 0), (224, 1, 0, 1, 1)  # fcc: a is one place, and so is b
    assert (of(decoder, 2).log_prob(padded([twice, unit])) < -1e8).all()
