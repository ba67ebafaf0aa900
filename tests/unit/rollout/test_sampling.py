import math

import pytest
import torch

from vigorl.core.protocols import SamplingParams
from vigorl.rollout.engines.sampling import Sampler, uniforms

LOGITS = torch.tensor([[math.log(0.5), math.log(0.3), math.log(0.2), 5.0]])
BANNED = torch.tensor([False, False, False, True])


def sample(noise: float, **params: float) -> tuple[int, float]:
    sampler = Sampler([SamplingParams(9, **params)], banned=BANNED)
    tokens, logprobs = sampler.sample(LOGITS, torch.tensor([noise], dtype=torch.float64))
    return int(tokens), math.exp(float(logprobs))


@pytest.mark.parametrize(
    ("noise", "token", "prob"),
    [(0.0, 0, 0.5), (0.49, 0, 0.5), (0.51, 1, 0.3), (0.81, 2, 0.2), (1 - 2**-53, 2, 0.2)],
)
def test_noise_picks_the_token_above_it(noise: float, token: int, prob: float) -> None:
    assert sample(noise) == (token, pytest.approx(prob))


def test_a_banned_first_token_is_not_picked_by_noise_zero() -> None:
    sampler = Sampler([SamplingParams(9)], banned=torch.tensor([True, False, False]))
    tokens, _ = sampler.sample(torch.zeros(1, 3), torch.zeros(1, dtype=torch.float64))
    assert tokens.tolist() == [1]


def test_greedy_ignores_the_noise_and_reports_the_plain_probability() -> None:
    assert sample(0.99, temperature=0.0) == (0, pytest.approx(0.5))


def test_temperature_divides_the_logits() -> None:
    # at temperature 1/2 probabilities are squared: 0.25, 0.09, 0.04 over 0.38
    assert sample(0.7, temperature=0.5) == (1, pytest.approx(0.09 / 0.38))


def test_top_p_cuts_the_tail_and_the_rest_makes_up_for_it() -> None:
    # the nucleus of 0.6 is the first two, renormalised 0.625 and 0.375
    assert sample(0.62, top_p=0.6) == (0, pytest.approx(0.625))
    assert sample(0.999, top_p=0.6) == (1, pytest.approx(0.375))
    assert sample(0.999, top_p=0.1) == (0, pytest.approx(1.0))
    assert sample(0.999, top_p=0.1, temperature=0.0) == (0, pytest.approx(0.5))


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 50)
    noise = torch.rand(6, dtype=torch.float64)
    params = [
        SamplingParams(9, temperature=t, top_p=p) for t in (0.0, 0.7, 1.0) for p in (0.5, 1.0)
    ]
    banned = torch.zeros(50, dtype=torch.bool)
    together = Sampler(params, banned=banned)
    tokens, _ = together.sample(logits, noise)
    for i in range(6):
        alone, _ = Sampler(params[i : i + 1], banned=banned).sample(
            logits[i : i + 1], noise[i : i + 1]
        )
        assert tokens[i] == alone[0]
    rows = torch.tensor([4, 1])
    together.select(rows)
    assert together.sample(logits[rows], noise[rows])[0].tolist() == tokens[rows].tolist()


def test_frequencies_follow_the_probabilities() -> None:
    noise = uniforms(3, 20_000)
    sampler = Sampler([SamplingParams(9)] * 20_000, banned=BANNED)
    tokens, _ = sampler.sample(LOGITS.expand(20_000, -1), noise)
    # three standard errors of a frequency around 0.5 with n = 20,000: 3 * sqrt(0.25 / n) = 0.0106
    frequencies = torch.bincount(tokens, minlength=4) / 20_000
    assert frequencies.tolist() == pytest.approx([0.5, 0.3, 0.2, 0.0], abs=0.0106)


def test_noise_is_the_seeds_and_does_not_depend_on_its_length() -> None:
    assert torch.equal(uniforms(5, 10), uniforms(5, 30)[:10])
    assert not torch.equal(uniforms(5, 10), uniforms(6, 10))
