"""Channels that go without loss, and features that stand where their names say: `narrow.py`, `network.py`."""

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch: Any = pytest.importorskip("torch")
narrow: Any = importlib.import_module("narrow")
network: Any = importlib.import_module("network")


def moments_of(seen: Any) -> Any:
    """Return mean products of channels, (places, channels), and of one."""
    seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
    return seen.T @ seen / len(seen)


def lost_by(seen: Any, weights: Any, chosen: tuple[Any, Any, Any]) -> float:
    """Return the mean square of what the next layer no longer says, all its outputs together."""
    left, kept, constant = chosen
    return float((seen @ weights.T - seen[:, left] @ kept.T - constant).square().sum(1).mean())


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_what_is_the_same_everywhere_or_follows_from_others_goes_for_nothing(seed: int, idle: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    seen = torch.rand(400, 8, generator=chance, dtype=torch.float64)
    weights = torch.randn(5, 8, generator=chance, dtype=torch.float64)
    seen[:, :idle] = torch.rand(idle, generator=chance, dtype=torch.float64)
    seen[:, 7] = 0.5 * seen[:, 5] - seen[:, 6] + 0.25
    chosen = narrow.choose_channels(moments_of(seen), weights, 7 - idle)
    assert lost_by(seen, weights, chosen) < 1e-6
    assert not set(chosen[0].tolist()) & set(range(idle))


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_the_channel_goes_without_which_least_is_lost(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    seen = torch.rand(300, 6, generator=chance, dtype=torch.float64) @ torch.randn(6, 6, generator=chance).double()
    weights = torch.randn(4, 6, generator=chance, dtype=torch.float64)
    chosen = narrow.choose_channels(moments_of(seen), weights, 5)
    losses = []
    for gone in range(6):
        others = torch.cat([seen[:, [at for at in range(6) if at != gone]], torch.ones(300, 1).double()], 1)
        fitted = torch.linalg.lstsq(others, seen @ weights.T).solution
        losses.append(float((seen @ weights.T - others @ fitted).square().sum(1).mean()))
    assert chosen[0].tolist() == [at for at in range(6) if at != int(np.argmin(losses))]
    assert lost_by(seen, weights, chosen) == pytest.approx(min(losses), rel=1e-3)


def test_a_narrower_stem_says_what_the_whole_one_said() -> None:
    torch.manual_seed(0)
    stem = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
    depthwise, project = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8), torch.nn.Conv2d(8, 4, 1)
    depthwise.weight.data[[1, 4]] = 0.0
    depthwise.bias.data.uniform_(0.1, 3.0)

    class Small:
        begin = network.Backbone.begin

    small: Any = Small()
    block = SimpleNamespace(depthwise=depthwise, project=project)
    small.stem, small.blocks = stem, [block]
    pixels = [np.random.default_rng(at).integers(0, 256, (1, 32, 32, 3), np.uint8) for at in range(30)]
    planes = torch.from_numpy(np.concatenate(pixels)).permute(0, 3, 1, 2).float()

    def say() -> Any:
        with torch.no_grad():
            seen = small.begin(planes, torch.ones(30, 3, 1, 1))
            return block.project(torch.nn.functional.relu6(block.depthwise(seen)))

    whole = say()
    narrow.narrow(small, pixels, 6)
    assert small.stem.weight.shape[0] == block.depthwise.weight.shape[0] == project.weight.shape[1] == 6
    assert (say() - whole).abs().max() < 1e-3


SIDES = [128, *[64] * 3, *[32] * 3, *[16] * 8, *[8] * 6]  # of the maps of each block, px


def test_features_stand_where_their_names_say() -> None:
    chance = torch.Generator().manual_seed(0)
    maps = [
        torch.rand(2, width, side, side, generator=chance) for width, side in zip(network.CHANNELS, SIDES, strict=True)
    ]
    small = SimpleNamespace(outputs=lambda *_: maps, head=torch.nn.Conv2d(network.CHANNELS[-1], network.LAST, 1))
    half = torch.rand(2, 3, 128, 128, generator=chance) * 255
    with torch.no_grad():
        seen = torch.cat(network.Backbone.see(small, None, half), 1)
        last = torch.nn.functional.relu6(small.head(maps[-1]))
    assert seen.shape == (2, network.SEEN)

    def of(group: str) -> Any:
        return seen[:, network.find_group(group)]

    assert len(network.AVERAGES) == 18
    for depth in network.AVERAGES:
        x = maps[depth]
        assert torch.allclose(of(f"mean{depth}"), x.mean((2, 3)), rtol=1e-4)
        if depth in network.DEVIATIONS:
            assert torch.allclose(of(f"deviation{depth}"), x.std((2, 3), correction=0), rtol=1e-3)
        if depth in network.CENTRES:
            edge = SIDES[depth] // 4
            middle = x[:, :, edge:-edge, edge:-edge].mean((2, 3))
            assert torch.allclose(of(f"centre{depth}"), middle - x.mean((2, 3)), atol=1e-5)
    assert torch.allclose(of("mean"), last.mean((2, 3)), rtol=1e-4)
    quarters = of("quarters").unflatten(1, (-1, 2, 2))
    assert torch.allclose(quarters[:, :, 0, 1], maps[-1][:, :, :4, 4:].mean((2, 3)), rtol=1e-4)


def test_maps_that_are_read_together_have_one_size() -> None:
    assert all(len({SIDES[depth] for depth in depths}) == 1 for depths in network.READ)
    assert list(network.AVERAGES) == sorted(set(network.AVERAGES))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_in_parts_says_what_it_said_whole(stride: int) -> None:
    def layer(inputs: int, outputs: int, **how: int) -> Any:
        return torch.nn.Conv2d(inputs, outputs, **{"kernel_size": 1, **how})

    block = network.Block.__new__(network.Block)
    torch.nn.Module.__init__(block)
    block.expand, block.project = layer(8, 24), layer(24, 8)
    block.depthwise = layer(24, 24, kernel_size=3, stride=stride, padding=1, groups=24)
    block.adds = stride == 1
    parted = network.Parted(block, 3)
    assert [each.weight.shape[0] for each in parted.depthwise] == [8, 8, 8]
    x = torch.randn(2, 8, 12, 12)
    with torch.no_grad():
        assert torch.allclose(parted(x), block(x), atol=1e-5)
    assert block.depthwise.weight.shape == (24, 1, 3, 3)  # as it was
