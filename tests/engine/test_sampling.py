"""Drawing: the right tokens, in the right shares, from the row's own numbers alone."""

from collections import Counter

import torch

from engine.sampling import Dice, Sampling, draw

LOGITS = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))


def counts(sampling: Sampling, draws: int = 4000, logits: torch.Tensor = LOGITS) -> Counter[int]:
    dice = [Dice(sampling)]
    return Counter(draw(logits, dice)[0] for _ in range(draws))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert counts(Sampling(temperature=0.0), 10) == {0: 10}


def test_the_shares_are_the_probabilities() -> None:
    drawn = counts(Sampling(seed=1))
    for token, share in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert abs(drawn[token] / 4000 - share) < 0.03


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(counts(Sampling(top_p=0.5, seed=2), 500)) == {0}
    assert set(counts(Sampling(top_p=0.75, seed=2), 500)) == {0, 1}
    assert set(counts(Sampling(top_p=0.9, seed=2), 500)) == {0, 1, 2}


def test_a_flat_vocabulary_larger_than_the_first_look_is_drawn_from_as_a_whole() -> None:
    drawn = counts(Sampling(top_p=0.9, seed=3), 400, torch.zeros(1, 5000))
    assert len(drawn) > 300


def test_low_temperature_sharpens() -> None:
    assert counts(Sampling(temperature=0.2, seed=4), 1000)[0] > 900


def test_neighbours_do_not_change_a_draw() -> None:
    crowd = [Dice(Sampling(seed=seed)) for seed in (8, 5, 9)]
    single = Dice(Sampling(seed=5))
    for _ in range(50):
        assert draw(LOGITS.repeat(3, 1), crowd)[1] == draw(LOGITS, [single])[0]
