"""Start values: a first layer that cancels what both addresses say.

From an ordinary random start a small network needs most of its data to find out that the two
addresses are to be compared. Here layer 1 starts as a comparison: its keys are its queries with
the segment direction reflected, so a token attends to its twin in the other address, and its
output is the negative of what was attended to, so a twin is cancelled and a token without one
stays. Only start values are set; the result is an ordinary BERT whose every weight is trained.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.network import Layer, Network
from training.numerals import DIGITS, full_width

EMBEDDING_STD = 0.06
CANCEL = 0.8
SEGMENT = 0.8  # the segment's share, relative to the token's
POSITION_SHARE = 4  # one dimension in four starts as position
SHARPNESS = 1.4


def rates(size: int) -> Tensor:
    """Angles a step of one position turns by, [size / 2], from 2.5 down to 0.0125 radians.

    Faster than the usual ones, so that neighbours can be told apart from the start.
    """
    half = size // 2
    return 2.5 * torch.exp(torch.arange(half) * (-math.log(200.0) / half))


def sinusoids(positions: int, size: int) -> Tensor:
    """Sine and cosine position code, [positions, size], values in -1..1."""
    angles = torch.arange(positions).unsqueeze(1) * rates(size)
    return torch.stack((angles.sin(), angles.cos()), dim=2).reshape(positions, size)


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator))
    signed: Tensor = q * torch.sign(torch.diagonal(r))
    return signed


def _normal(weight: Tensor, std: float, generator: torch.Generator) -> None:
    weight.copy_(torch.randn(weight.shape, generator=generator) * std)


@torch.no_grad()
def start(network: Network, vocabulary: list[str], seed: int, difference: bool = True) -> None:
    """Fill the network with its start values, in place. `difference=False`: ordinary N(0, .02)."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            _normal(parameter, 0.02, generator)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
    if not difference:
        return
    hidden = network.shape.hidden
    # What a token is and where it stands start in separate dimensions, so that the first layer can
    # compare the one without the other.
    content = hidden - hidden // POSITION_SHARE // 2 * 2
    place = hidden - content
    network.words.weight.zero_()
    _normal(network.words.weight[:, :content], EMBEDDING_STD, generator)
    share_twins(network.words.weight, vocabulary)
    network.positions.weight.zero_()
    network.positions.weight[:, content:] = sinusoids(network.shape.positions, place) * (
        EMBEDDING_STD * 1.4
    )
    segment = torch.zeros(hidden)
    segment[:content] = torch.randn(content, generator=generator)
    segment /= segment.norm()
    strength = EMBEDDING_STD * math.sqrt(content) * SEGMENT
    network.types.weight.copy_(torch.stack((segment, -segment)) * strength)
    seen = torch.zeros(hidden)
    seen[:content] = 1.0
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {index} is no Layer")
        _start_layer(layer, (segment, seen) if index == 0 else None, generator)
    _normal(network.pooler.weight, 1.0 / math.sqrt(hidden), generator)


def _start_layer(
    layer: Layer, first: tuple[Tensor, Tensor] | None, generator: torch.Generator
) -> None:
    hidden = layer.out.weight.shape[0]
    query = _orthogonal(hidden, generator)
    q, k, v = layer.qkv.weight.chunk(3)
    if first is not None:
        segment, seen = first
        query = query * seen
        reflect = torch.eye(hidden) - 2 * torch.outer(segment, segment)
        value = _orthogonal(hidden, generator)
        q.copy_(query * SHARPNESS)
        k.copy_(query @ reflect * SHARPNESS)
        v.copy_(value)
        layer.out.weight.copy_(-CANCEL * value.t())
    else:
        q.copy_(query * 0.6)
        k.copy_(query * 0.6)
        _normal(v, 1.0 / math.sqrt(hidden), generator)
        _normal(layer.out.weight, 0.5 / math.sqrt(hidden), generator)
    _normal(layer.up.weight, 1.0 / math.sqrt(hidden), generator)
    _normal(layer.down.weight, 0.5 / math.sqrt(layer.down.weight.shape[1]), generator)


def share_twins(weight: Tensor, vocabulary: list[str]) -> None:
    """Start tokens that mean the same from nearly the same vector.

    Full-width forms start as their ASCII twins, numerals as their digits, the kinds of buildings
    (栋, 幢, 座, 楼) near one another.
    """
    ids = {entry: index for index, entry in enumerate(vocabulary)}

    def tie(entry: str, twin: str, share: float) -> None:
        if entry in ids and twin in ids:
            own, other = weight[ids[entry]], weight[ids[twin]]
            own.copy_(own * math.sqrt(1 - share * share) + other * share)

    for code in range(0x21, 0x7F):
        tie(full_width(chr(code)), chr(code), 0.95)
        tie("##" + full_width(chr(code)), "##" + chr(code), 0.95)
    for digit, numeral in enumerate(DIGITS):
        tie(numeral, str(digit), 0.8)
        tie(f"0{digit}", str(digit), 0.7)
    tie("十", "10", 0.7)
    for other in "栋座#":
        tie(other, "幢", 0.6)
    tie("層", "层", 0.9)
    tie("號", "号", 0.9)
