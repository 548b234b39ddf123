"""Training that knows of rounding: what `recipes/mini/rounding.py` does to weights, numbers and gradients."""

import importlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch: Any = pytest.importorskip("torch")
rounding: Any = importlib.import_module("rounding")

numbers = st.floats(-50, 50, width=32)


@given(st.lists(numbers, min_size=1, max_size=30), st.floats(-20, 0), st.floats(0.1, 20))
def test_numbers_fall_on_256_levels_one_of_them_zero(values: list[float], low: float, high: float) -> None:
    x = torch.tensor(values)
    scale = (high - low) / rounding.STEPS
    rounded = rounding.round_to(x, low, high)
    levels = rounded / scale
    assert torch.allclose(levels, levels.round(), atol=1e-2)
    assert float(levels.max() - levels.min()) <= rounding.STEPS + 1e-2
    inside = (x > low + scale) & (x < high - scale)
    assert bool(((rounded - x).abs()[inside] <= scale * 0.501 + 1e-5).all())
    assert float(rounding.round_to(torch.zeros(1), low, high)) == 0.0


def test_gradients_pass_inside_of_a_range_and_end_outside() -> None:
    x = torch.tensor([-9.0, -0.4, 0.0, 0.7, 9.0], requires_grad=True)
    rounding.round_to(x, -1.0, 1.0).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_each_channel_of_weights_has_steps_of_its_own() -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 4, 1, 1) * torch.tensor([0.01, 1.0, 100.0])[:, None, None, None]
    rounded = rounding.round_weight(weight)
    largest = weight.abs().amax((1, 2, 3))
    assert torch.allclose(rounded.abs().amax((1, 2, 3)), largest)
    assert bool(((rounded - weight).abs().amax((1, 2, 3)) <= largest / 127 * 0.501).all())


def test_layers_are_watched_then_rounded_and_the_first_are_left_alone() -> None:
    torch.manual_seed(0)
    first, second, third = (torch.nn.Conv2d(4, 4, size).requires_grad_(False) for size in (1, 3, 1))
    layers = [(first, True), (second, False), (third, False)]
    assert rounding.first_layers(layers, 2) == {first}
    assert rounding.first_layers(layers, 3) == {first, second}
    run = rounding.Rounding(rounding.first_layers(layers, 1))
    x = torch.randn(2, 4, 8, 8)

    def pass_on(run: Any) -> Any:
        y = x
        for layer, clipped in layers:
            y = run(layer, y, clipped=clipped)
        return y

    exact = pass_on(rounding.run_plain)
    assert torch.equal(pass_on(run), exact)
    run.watching = False
    rounded = pass_on(run)
    assert 0 < float((rounded - exact).abs().max()) < 0.05 * float(exact.abs().max())
    assert torch.equal(run(first, x, clipped=True), rounding.run_plain(first, x, clipped=True))
    assert len(torch.unique(rounded)) <= 256
