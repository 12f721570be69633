"""Dropout eight elements a random number: the right share, the right scale, nothing in evaluation."""

from __future__ import annotations

import torch

from trainer.fitting.dropout import ByteDropout


def test_about_a_tenth_is_dropped_and_the_mean_stays() -> None:
    torch.manual_seed(1)
    dropout = ByteDropout(0.1)
    x = torch.ones(401, 1003)
    y = dropout(x)
    dropped = float((y == 0).float().mean())
    assert abs(dropped - 26 / 256) < 0.002
    assert abs(float(y.mean()) - 1) < 0.003
    assert len(torch.unique(y)) == 2


def test_neighbours_are_dropped_independently_of_each_other() -> None:
    torch.manual_seed(2)
    dropped = ByteDropout(0.5)(torch.ones(2, 100_000)) == 0
    both = float((dropped[:, 1:] & dropped[:, :-1]).float().mean())
    assert abs(both - 0.25) < 0.01


def test_evaluation_and_a_share_of_zero_leave_everything_as_it_is() -> None:
    x = torch.randn(3, 5)
    assert ByteDropout(0.1).eval()(x) is x
    assert ByteDropout(0.0)(x) is x


def test_the_same_seed_drops_the_same_elements() -> None:
    dropout, x = ByteDropout(0.3), torch.ones(64, 64)
    torch.manual_seed(3)
    first = dropout(x)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x))
