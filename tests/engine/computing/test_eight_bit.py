"""Products in 8 bits: close to float32, whatever stands in the columns that are left out or in other rows."""

from __future__ import annotations

import pytest
import torch

from engine.computing.eight_bit import LARGEST, LEFT_OUT, EightBitWeight, available

pytestmark = pytest.mark.skipif(not available(), reason="this processor has no products in 8 bits")
INPUTS, OUTPUTS = 256, 96
LARGE = [3, 77, 200]


def product(seed: int = 0) -> tuple[EightBitWeight, torch.Tensor, torch.Tensor]:
    """Return a product, its matrix, and input in which some columns are a hundred times larger."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(OUTPUTS, INPUTS, generator=draw) * 0.05
    x = torch.randn(40, INPUTS, generator=draw)
    x[:, LARGE] *= 100
    return EightBitWeight(weight, x.abs().amax(0)), weight, x


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).pow(2).mean().sqrt() / wanted.pow(2).mean().sqrt())


def test_it_is_within_a_hundredth_of_the_product_in_float32() -> None:
    multiply, weight, x = product()
    assert error(multiply(x), x @ weight.t()) < 0.01


def test_columns_that_stay_in_float32_leave_the_others_their_digits() -> None:
    multiply, weight, x = product()
    only_large = torch.zeros_like(x).index_copy_(1, torch.tensor(LARGE), x[:, LARGE])
    torch.testing.assert_close(multiply(only_large), only_large @ weight.t())
    small = EightBitWeight(weight, torch.arange(float(INPUTS)))  # leaves others out
    assert error(small(x) - only_large @ weight.t(), (x - only_large) @ weight.t()) > 0.2
    assert error(multiply(x) - only_large @ weight.t(), (x - only_large) @ weight.t()) < 0.02


def test_inputs_in_16_bits_leave_the_rounding_of_the_weights_alone() -> None:
    _, weight, x = product()
    step = 0.5 / LARGEST
    weight = weight.div(step).round().mul(step)
    weight[:, 5] = 0.5  # the largest of every output, so that all others are whole steps
    rounded, fine = (EightBitWeight(weight, x.abs().amax(0), fine=fine)(x) for fine in (False, True))
    assert error(fine, x @ weight.t()) < error(rounded, x @ weight.t()) / 50


@pytest.mark.parametrize("fine", [False, True])
def test_a_row_does_not_depend_on_its_neighbours(fine: bool) -> None:
    _, weight, x = product()
    multiply = EightBitWeight(weight, x.abs().amax(0), fine=fine)
    together = multiply(x * torch.logspace(-3, 3, len(x)).unsqueeze(1))
    for at, size in enumerate(torch.logspace(-3, 3, len(x))):
        alone = multiply(x[at : at + 1] * size)
        torch.testing.assert_close(together[at : at + 1], alone, rtol=0.0, atol=1e-4 * float(size))


@pytest.mark.parametrize("fine", [False, True])
def test_a_row_of_zeros_stays_one(fine: bool) -> None:
    _, weight, x = product()
    multiply = EightBitWeight(weight, x.abs().amax(0), fine=fine)
    found = multiply(torch.stack([torch.zeros(INPUTS), x[0]]))
    assert not found[0].any()
    assert found[1].isfinite().all()


def test_sums_of_two_products_do_not_overflow_for_sizes_that_occur() -> None:
    """A third of the range is four times what is usual where one input in 500 reaches its end."""
    weight = torch.full((8, INPUTS), 0.5)
    multiply = EightBitWeight(weight, torch.ones(INPUTS))
    x = torch.full((1, INPUTS), 0.33)
    x[0, -1] = 1.0
    torch.testing.assert_close(multiply(x), x @ weight.t(), rtol=0.01, atol=0.0)


def test_narrow_matrices_leave_out_two_columns_at_least() -> None:
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(2))
    assert 16 // LEFT_OUT < 2
    assert error(EightBitWeight(weight, torch.ones(16))(x), x @ weight.t()) < 0.02


def test_a_matrix_of_zeros_gives_zeros() -> None:
    assert not EightBitWeight(torch.zeros(4, 16), torch.ones(16))(torch.ones(2, 16)).any()
