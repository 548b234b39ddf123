"""Casts, lines and bare corners: what misleads an ImageNet network, or what it is blind to, calculated on the pixels.

All of it is part of the shipped graph and sees `half`: the picture at half the network's side, (batch, 3, side / 2,
side / 2), 0 to 255. Nothing here clamps, and no convolution has more than three outputs: the quantiser takes others for
the network's.
"""

import itertools
import math

import torch
from torch import nn

SHADES = 13  # of a histogram's side
WIDEST = 1.0  # log ratio of red or blue to green at its edges
WAYS = 30  # directions of lines, six degrees apart
SHARPNESS = 32.0  # how fast a line counts less the further it is off a direction: half as much six degrees off
COLOURS = 2 * SHADES * SHADES + 2 * 2 + 2 + 2
LINES = 2 * (WAYS + 1)
CORNERS = 1
BAND = 2, 32  # of `half`, px: depth and length of what is compared beside a corner
# Where a turned picture may touch the edges of a canvas that grew with it, of `half`, px: from, to, step. A
# wide picture's far corners lie beyond the middle of the canvas's sides.
TOUCHES = 7, 100, 5
POINTS = 12  # that are compared on both sides of each of its edges
BESIDE = 3.0  # px that they lie off it


def halve(planes: torch.Tensor) -> torch.Tensor:
    """Return planes at half their size, (batch, planes, height / 2, width / 2)."""
    return _average(planes, 2)


def find_gains(half: torch.Tensor) -> torch.Tensor:
    """Return the gains (batch, 3, 1, 1) that take the cast from pictures: shades of grey with the fourth power.

    Finlayson and Trezzi, "Shades of gray and colour constancy" (CIC 2004). Taste that sees no cast cannot like a wrong
    one.
    """
    strength = _strength(half)  # (batch, 3)
    return _between(strength.mean(1, keepdim=True) / strength, 1 / 3, 3.0)[:, :, None, None]


def measure_colours(half: torch.Tensor) -> torch.Tensor:
    """Return what tells of a cast, (batch, COLOURS): where colours lie in log chroma, in which a cast is a shift.

    Barron, "Convolutional color constancy" (ICCV 2015). Two histograms, of all that is not dark and of what is bright;
    their means; the ratios of edges and of the strengths that gains are found from.
    """
    cells = halve(half)  # (batch, 3, side / 4, side / 4)
    logs = (cells + 4.0).log().flatten(2)  # (batch, 3, cells)
    red, blue = logs[:, 0] - logs[:, 1], logs[:, 2] - logs[:, 1]
    luma = _luma(cells).flatten(1)
    lit, bright = _between(luma / 32.0, 0.0, 1.0), (luma / 255.0) ** 3
    weights = torch.stack([lit, bright], 1)  # (batch, 2, cells)
    step = 2.0 * WIDEST / (SHADES - 1)
    places = torch.arange(SHADES, dtype=torch.float32) * step - WIDEST
    by_red, by_blue = (_share(each, places, step) for each in (red, blue))  # (batch, SHADES, cells)
    weighed = (weights[:, :, None] * by_red[:, None]).flatten(1, 2)  # (batch, 2 * SHADES, cells)
    counts = (weighed @ by_blue.transpose(1, 2)).unflatten(1, (2, SHADES))  # (batch, 2, SHADES, SHADES)
    shares = counts / (counts.sum((2, 3), keepdim=True) + 1e-3)
    means = [(shares.sum(over) * places).sum(2) for over in (3, 2)]  # of red, and of blue: (batch, 2)
    edges = (cells[..., 1:] - cells[..., :-1]).abs().mean((2, 3)) + 0.1  # (batch, 3)
    ratios = [
        torch.stack([each[:, 0] - each[:, 1], each[:, 2] - each[:, 1]], 1)
        for each in (edges.log(), _strength(half).log())
    ]
    return torch.cat([shares.sqrt().flatten(1), *means, *ratios], 1)


def measure_lines(half: torch.Tensor) -> torch.Tensor:
    """Return which way edges run, (batch, LINES): log shares of directions, weighted in two ways.

    Directions and how far a place has only one come from the structure tensor (Bigun and Granlund, ICCV 1987). What
    lies between two of them counts by a von Mises curve around each.
    """
    luma = nn.functional.pad(_luma(half), (1, 1, 1, 1), mode="replicate")
    across, down = nn.functional.conv2d(luma, _sobel()).unbind(1)  # (batch, side / 2, side / 2)
    products = torch.stack([across * across, down * down, across * down], 1)
    products = _average(products, 4)  # (batch, 3, side / 4 - 1, side / 4 - 1)
    xx, yy, xy = products.flatten(2).unbind(1)
    difference, twice = xx - yy, 2.0 * xy
    length = (difference * difference + twice * twice).sqrt() + 1e-3
    energy = xx + yy + 4.0
    single = length / energy  # 1 where all gradients agree
    angles = 2.0 * math.pi / WAYS * torch.arange(WAYS, dtype=torch.float32)  # twice the direction's
    ways = torch.stack([angles.cos(), angles.sin(), -torch.ones(WAYS)], 1)
    # Last a way that all places go: what it gathers are the sums over all places.
    ways = SHARPNESS * torch.cat([ways, torch.zeros(1, 3)])  # (WAYS + 1, 3)
    places = torch.stack([difference / length, twice / length, torch.ones_like(length)], 1)  # (batch, 3, places)
    agree = (ways @ places).exp()  # (batch, WAYS + 1, places), 0 to 1
    weights = torch.stack([energy.sqrt() * single * single, (single * single) ** 2], 2)  # (batch, places, 2)
    sums = agree @ weights  # (batch, WAYS + 1, 2)
    shares = sums[:, :WAYS] / (sums[:, :WAYS].sum(1, keepdim=True) + 1e-3)
    means = sums[:, WAYS] / agree.shape[-1]
    return torch.cat([(shares + 0.003).log().flatten(1), (means + 0.01).log()], 1)


def measure_corners(half: torch.Tensor) -> torch.Tensor:
    """Return how bare the corners are, (batch, CORNERS): 0 on sound photographs, from 1 on where a turn left wedges."""
    luma = _luma(half)[:, 0]
    return torch.maximum(_find_wedges(luma), _find_canvas(luma))[:, None]


def _find_wedges(luma: torch.Tensor) -> torch.Tensor:
    """Return what tells of a turn that cut the picture's corners, (batch, side, side) to (batch,).

    A picture that was turned without being cut has a wedge of one colour in each corner, long beside one side and short
    beside the other, the same way round. So what lies beside the corners is alike on the one hand of all four, and on
    the other unlike it at three of them at least: an object that touches one side of a plain ground is no turn.
    """
    places = _place_bands(luma.shape[-1])
    hands = _pick(luma, places).unbind(1)  # (batch, 4, px) each
    found = []
    for one, other in (hands, hands[::-1]):
        middle = one.mean((1, 2), keepdim=True)
        alike = ((one - middle) * (one - middle)).mean((1, 2))  # (batch,)
        unlike = _second_smallest(((other - middle) * (other - middle)).mean(2))
        found.append(_ratio(unlike, alike))
    return torch.maximum(*found).relu()


def _place_bands(side: int) -> torch.Tensor:
    """Return the places of what lies beside each corner, on its one hand and on its other, (2, 4, px)."""
    depth, length = BAND
    places = torch.arange(side * side).view(side, side)
    top, bottom, left, right = places[:depth], places[-depth:], places[:, :depth].T, places[:, -depth:].T
    ahead = [top[:, :length], right[:, :length], bottom[:, -length:], left[:, -length:]]
    behind = [top[:, -length:], right[:, -length:], bottom[:, :length], left[:, :length]]
    return torch.stack([torch.stack([each.flatten() for each in hand]) for hand in (ahead, behind)])


def _find_canvas(luma: torch.Tensor) -> torch.Tensor:
    """Return what tells of a turn for which the canvas grew, (batch, side, side) to (batch,).

    The picture's own corners then touch the four edges, and outside of the lines between them all is one colour. Of
    all ways in which it may lie the one that fits best counts, less the best one that is turned the other way round: a
    frame, or a round thing on plain ground, fits both.
    """
    places = _place_canvases(luma.shape[-1])
    seen = _pick(luma, places)  # (batch, 2, ways, 4, 2, POINTS)
    outside, inside = seen[..., 0, :], seen[..., 1, :]  # (batch, 2, ways, 4, POINTS)
    middle = outside.mean((3, 4), keepdim=True)
    alike = ((outside - middle) * (outside - middle)).mean((3, 4))  # (batch, 2, ways)
    # At every edge, or things on plain ground would be turns.
    unlike = ((inside - middle) * (inside - middle)).mean(4).amin(3)
    one, other = _ratio(unlike, alike).relu().amax(2).unbind(1)
    return 1.5 * ((one - other).abs() - 1.0).relu()  # from 2 on it is sure, as wedges are from 1.5 on


def _place_canvases(side: int) -> torch.Tensor:
    """Return the places of points outside and inside of a turned picture's edges, (2, ways, 4, 2, POINTS).

    Args:
        side: of the square that the picture and its canvas were squeezed to, px.

    """
    ways = []
    for top, right in itertools.product(range(*TOUCHES), repeat=2):  # px from the left, and from the top
        along, down = top / (side - top), right / (side - right)
        angle, shape = math.atan(math.sqrt(along * down)), math.sqrt(down / along)  # width / height
        if not (0.4 <= shape <= 2.5 and 5.0 <= math.degrees(angle) <= 42.0):
            continue
        corners = torch.tensor([(top, 0.0), (side, right), (side - top, side), (0.0, side - right)])  # (4, xy)
        edges = corners.roll(-1, 0) - corners
        inwards = torch.stack([-edges[:, 1], edges[:, 0]], 1) / edges.norm(dim=1, keepdim=True) * BESIDE
        on = corners[:, None] + torch.linspace(0.1, 0.9, POINTS)[:, None] * edges[:, None]  # (4, POINTS, xy)
        ways.append(torch.stack([on - inwards[:, None], on + inwards[:, None]], 1))  # (4, 2, POINTS, xy)
    points = torch.stack(ways)
    mirrored = torch.stack([side - points[..., 0], points[..., 1]], -1)
    x, y = torch.stack([points, mirrored]).floor().clamp(0, side - 1).long().unbind(-1)
    return y * side + x


def _average(planes: torch.Tensor, size: int) -> torch.Tensor:
    """Return the averages of squares of `size` px, two px apart.

    ONNX Runtime takes a quarter of the time for a convolution of so few planes that it takes to pool them.
    """
    count = planes.shape[1]
    return nn.functional.conv2d(planes, torch.full((count, 1, size, size), size**-2), stride=2, groups=count)


def _sobel() -> torch.Tensor:
    """(2, 1, 3, 3): across, and down."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8.0
    return torch.stack([across, across.T])[:, None]


def _pick(luma: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return what stands at places of planes (batch, side, side), in the shape of these, (batch, ...).

    Element by element: ONNX Runtime takes five times as long to pick along an axis.
    """
    picked = luma.flatten(1).gather(1, places.flatten().expand(luma.shape[0], -1))
    return picked.unflatten(1, places.shape)


def _luma(planes: torch.Tensor) -> torch.Tensor:
    """(batch, 3, height, width) to (batch, 1, height, width)."""
    weights = torch.tensor([[0.299, 0.587, 0.114]])
    return (weights @ planes.flatten(2)).unflatten(2, planes.shape[2:])


def _ratio(unlike: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
    """Return how much further from each other levels lie than others do, of mean squares; 0 for as far, as a log."""
    return (unlike.sqrt() + 2.0).log() - (alike.sqrt() + 2.0).log()  # two levels: what JPEG leaves


def _second_smallest(values: torch.Tensor) -> torch.Tensor:
    """(..., 4) to (...)."""
    one, two, three, four = values.unbind(-1)
    lower = torch.maximum(torch.minimum(one, two), torch.minimum(three, four))
    return torch.minimum(lower, torch.minimum(torch.maximum(one, two), torch.maximum(three, four)))


def _between(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return high - (high - low - (values - low).relu()).relu()


def _strength(half: torch.Tensor) -> torch.Tensor:
    squares = half * half
    return ((squares * squares).mean((2, 3)) / 255.0**4).sqrt().sqrt() + 0.01  # (batch, 3)


def _share(values: torch.Tensor, places: torch.Tensor, step: float) -> torch.Tensor:
    """Return how much of each value belongs to each place, (batch, places, values): its two neighbours share it."""
    inside = _between(values, -WIDEST, WIDEST) / step
    return (1.0 - (inside[:, None] - places[:, None] / step).abs()).relu()
