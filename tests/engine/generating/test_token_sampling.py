"""Drawing: the right tokens, in the right shares, from the row's own numbers alone."""

from collections import Counter

import torch

from engine.generating.token_sampling import Dice, SamplingParameters, draw

LOGITS = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))


def counts(sampling: SamplingParameters, draws: int = 4000, logits: torch.Tensor = LOGITS) -> Counter[int]:
    dice = [Dice(sampling)]
    return Counter(draw(logits, dice)[0] for _ in range(draws))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert counts(SamplingParameters(temperature=0.0), 10) == {0: 10}


def test_the_shares_are_the_probabilities() -> None:
    drawn = counts(SamplingParameters(seed=1))
    for token, share in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert abs(drawn[token] / 4000 - share) < 0.03


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(counts(SamplingParameters(top_p=0.5, seed=2), 500)) == {0}
    assert set(counts(SamplingParameters(top_p=0.75, seed=2), 500)) == {0, 1}
    assert set(counts(SamplingParameters(top_p=0.9, seed=2), 500)) == {0, 1, 2}


def test_within_top_p_the_shares_stay_in_proportion() -> None:
    drawn = counts(SamplingParameters(top_p=0.9, seed=12))
    for token, share in enumerate((0.5, 0.3, 0.15)):
        assert abs(drawn[token] / 4000 - share / 0.95) < 0.03


def test_a_top_p_that_throws_rarely_hit_is_drawn_within_all_the_same() -> None:
    # Ten likely tokens of 0.001 each, and 990 of 0.001 less a little: four throws hit the ten in 4 %.
    logits = torch.log(torch.full((1, 1000), 0.001) - torch.arange(1000) * 1e-9)
    drawn = counts(SamplingParameters(top_p=0.0095, seed=13), 300, logits)
    assert set(drawn) == set(range(10))


def test_of_equally_likely_tokens_top_p_keeps_all_however_it_is_found() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.2, 0.2, 0.1]]))
    for sampling in (SamplingParameters(top_p=0.6, seed=5), SamplingParameters(top_p=0.6, top_k=4, seed=5)):
        drawn = counts(sampling, 1500, logits)
        assert set(drawn) == {0, 1, 2}
        assert abs(drawn[1] - drawn[2]) < 120
    # Three of the same in a vocabulary that four throws miss: found among the likeliest, in equal shares.
    flat = torch.zeros(1, 3000)
    flat[0, [7, 90, 2500]] = 1.0
    drawn = counts(SamplingParameters(top_p=0.0005, seed=6), 600, flat)
    assert set(drawn) == {7, 90, 2500}
    assert min(drawn.values()) > 140


def test_a_flat_vocabulary_larger_than_the_first_look_is_drawn_from_as_a_whole() -> None:
    drawn = counts(SamplingParameters(top_p=0.9, seed=3), 400, torch.zeros(1, 5000))
    assert len(drawn) > 300


def test_low_temperature_sharpens() -> None:
    assert counts(SamplingParameters(temperature=0.2, seed=4), 1000)[0] > 900


def test_neighbours_do_not_change_a_draw() -> None:
    crowd = [Dice(SamplingParameters(seed=seed)) for seed in (8, 5, 9)]
    single = Dice(SamplingParameters(seed=5))
    for _ in range(50):
        assert draw(LOGITS.repeat(3, 1), crowd)[1] == draw(LOGITS, [single])[0]


def test_top_k_and_min_p_leave_out_what_is_unlikely() -> None:
    assert set(counts(SamplingParameters(top_k=2, seed=5), 500)) == {0, 1}
    assert set(counts(SamplingParameters(top_k=99, seed=5), 500)) == {0, 1, 2, 3}
    assert set(counts(SamplingParameters(min_p=0.25, seed=5), 500)) == {0, 1, 2}
    assert set(counts(SamplingParameters(min_p=1.0, seed=5), 100)) == {0}


def test_top_p_is_a_share_of_what_top_k_left() -> None:
    # Of 0.5 and 0.3 the first has 62.5 %: enough for a top-p of 0.6, but not of 0.63.
    assert set(counts(SamplingParameters(top_k=2, top_p=0.6, seed=6), 300)) == {0}
    assert set(counts(SamplingParameters(top_k=2, top_p=0.63, seed=6), 300)) == {0, 1}


def test_the_smallest_top_p_and_temperature_draw_the_likeliest_and_not_nothing() -> None:
    for smallest in (1e-46, 5e-324, 1e-9):
        assert counts(SamplingParameters(top_p=smallest, seed=7), 20) == {0: 20}
    huge = torch.tensor([[3e38, 1.0, -3e38, 2.9e38]])
    assert counts(SamplingParameters(temperature=1.1e-5, seed=7), 20, huge) == {0: 20}


def test_min_p_and_a_large_top_k_look_at_the_whole_vocabulary_where_they_have_to() -> None:
    assert len(counts(SamplingParameters(min_p=0.5, seed=8), 400, torch.zeros(1, 5000))) > 300
    assert len(counts(SamplingParameters(top_k=3000, top_p=0.99, seed=8), 400, torch.zeros(1, 5000))) > 300


def test_rows_of_every_kind_share_a_step_and_draw_as_if_alone() -> None:
    kinds = [
        SamplingParameters(temperature=0.0),
        SamplingParameters(seed=1),
        SamplingParameters(top_p=0.7, seed=2),
        SamplingParameters(top_k=3, min_p=0.1, seed=3),
        SamplingParameters(top_p=0.99, top_k=2000, seed=4),
    ]
    logits = torch.randn(len(kinds), 3000, generator=torch.Generator().manual_seed(9))
    mixed, alone = [Dice(kind) for kind in kinds], [Dice(kind) for kind in kinds]
    for _ in range(30):
        together = draw(logits, mixed)
        assert together == [draw(logits[row : row + 1], [one])[0] for row, one in enumerate(alone)]
