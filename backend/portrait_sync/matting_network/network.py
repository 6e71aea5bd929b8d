"""Robust Video Matting's network (Lin, Yang, Saleemi and Sengupta 2022, “Robust High-Resolution Video Matting with Temporal
Guidance”), its smaller variant: MobileNetV3-Large (Howard et al. 2019, without its last stride), LR-ASPP, and a decoder whose
scales each remember the frames before by a ConvGRU. Built from the paper and from the graph of the published file.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .weights import Layer

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, which the encoder was trained with."""
State = tuple[Tensor, ...]
"""What the decoder remembers, at 1/16, 1/8, 1/4 and 1/2 of the frame's size; empty before the first frame."""


class _Block(NamedTuple):
    """An inverted residual block of MobileNetV3."""

    stride: int
    excited: bool
    """Whether it has a squeeze-and-excitation."""
    act: str
    dilation: int = 1


_BLOCKS = (
    _Block(1, False, "relu"),
    _Block(2, False, "relu"),
    _Block(1, False, "relu"),
    _Block(2, True, "relu"),
    _Block(1, True, "relu"),
    _Block(1, True, "relu"),
    _Block(2, False, "hardswish"),
    _Block(1, False, "hardswish"),
    _Block(1, False, "hardswish"),
    _Block(1, False, "hardswish"),
    _Block(1, True, "hardswish"),
    _Block(1, True, "hardswish"),
    _Block(1, True, "hardswish", 2),
    _Block(1, True, "hardswish", 2),
    _Block(1, True, "hardswish", 2),
)
_SKIPS = (0, 2, 5)
"""The blocks whose results the decoder sees too, at 1/2, 1/4 and 1/8 of the frame's size."""


class MattingNetwork:
    """Alpha of a person in the frames of a video, one after another."""

    def __init__(self, layers: dict[tuple[str, int], Layer], kind: torch.dtype = torch.float32) -> None:
        """Of all convolutions (`weights.layers_of`); it computes in `kind`."""
        self.kind = kind
        self._layers = {
            key: Layer(layer.kernel.to(kind).contiguous(memory_format=torch.channels_last), layer.bias.to(kind))
            for key, layer in layers.items()
        }

    @torch.inference_mode()
    def __call__(self, frame: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Alpha of a frame, and the state for the next one.

        Args:
            frame: (1, 3, H, W) of `kind`, RGB in [0, 1]; H and W are multiples of 16.
            state: from the frame before; empty for the first.

        Returns:
            (1, 1, H, W) in [0, 1], and the state.
        """
        frame = frame.contiguous(memory_format=torch.channels_last)
        skips, deep = self._encode(frame)
        features, memory = self._remember(deep, 49, state[0] if state else None)
        states = [memory]
        sizes = [frame, *(functional.avg_pool2d(frame, 2**level) for level in (1, 2, 3))]
        for level, skip, first in zip((3, 2, 1), reversed(skips), (51, 54, 57), strict=True):
            features = functional.relu_(self._conv_of([_doubled(features), skip, sizes[level]], first))
            features, memory = self._remember(features, first + 1, state[4 - level] if state else None)
            states.append(memory)
        features = functional.relu_(self._conv_of([_doubled(features), frame], 60))
        features = functional.relu_(self._conv(features, 61))
        kernel, bias = self._layers["conv2d", 62]  # three channels of foreground, then alpha
        return functional.conv2d(features, kernel[3:], bias[3:]).clamp_(0.0, 1.0), tuple(states)

    def _encode(self, frame: Tensor) -> tuple[list[Tensor], Tensor]:
        mean, deviation = (frame.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        x = functional.hardswish(self._conv((frame - mean) / deviation, 0, stride=2), inplace=True)
        skips, number = [], 1
        for index, block in enumerate(_BLOCKS):
            x, number = self._inverted_residual(x, index, block, number)
            if index in _SKIPS:
                skips.append(x)
        x = functional.hardswish(self._conv(x, number), inplace=True)
        gate = torch.sigmoid(self._conv(x.mean((2, 3), keepdim=True), 48))
        return skips, functional.relu_(self._conv(x, 47)) * gate

    def _inverted_residual(self, x: Tensor, index: int, block: _Block, number: int) -> tuple[Tensor, int]:
        """The block's result, and the number of the next convolution."""
        act = functional.relu_ if block.act == "relu" else _hardswish_
        result = x
        if index > 0:  # the first does not expand
            result, number = act(self._conv(result, number)), number + 1
        result = act(self._depthwise(result, index, block))
        if block.excited:
            gate = functional.relu_(self._conv(result.mean((2, 3), keepdim=True), number))
            result *= functional.hardsigmoid(self._conv(gate, number + 1))
            number += 2
        result = self._conv(result, number)
        return (result + x if result.shape == x.shape else result), number + 1

    def _remember(self, x: Tensor, number: int, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """A ConvGRU on the second half of the channels: all channels, and its memory."""
        half = x.shape[1] // 2
        moving = x[:, half:]
        memory = torch.zeros_like(moving) if memory is None else memory
        reset, update = torch.sigmoid_(self._conv_of([moving, memory], number)).chunk(2, 1)
        candidate = torch.tanh_(self._conv_of([moving, reset * memory], number + 1))
        memory = torch.lerp(memory, candidate, update)
        return torch.cat([x[:, :half], memory], 1), memory

    def _conv(self, x: Tensor, number: int, stride: int = 1) -> Tensor:
        kernel, bias = self._layers["conv2d", number]
        if kernel.shape[2] == 1:  # as a product of matrices: PyTorch's own convolution is several times slower
            return functional.linear(x.permute(0, 2, 3, 1), kernel[:, :, 0, 0], bias).permute(0, 3, 1, 2)
        return functional.conv2d(x, kernel, bias, stride, kernel.shape[2] // 2)

    def _conv_of(self, parts: list[Tensor], number: int) -> Tensor:
        """The convolution of `parts` side by side, as a sum: joining them costs more than the convolution."""
        kernel, bias = self._layers["conv2d", number]
        result, channel = None, 0
        for part in parts:
            share = kernel[:, channel : channel + part.shape[1]]
            channel += part.shape[1]
            product = functional.conv2d(part, share, bias if result is None else None, 1, kernel.shape[2] // 2)
            result = product if result is None else result.add_(product)
        assert result is not None
        return result

    def _depthwise(self, x: Tensor, number: int, block: _Block) -> Tensor:
        kernel, bias = self._layers["depthwise_conv2d", number]
        padding = kernel.shape[2] // 2 * block.dilation
        return functional.conv2d(x, kernel, bias, block.stride, padding, block.dilation, len(kernel))


def _hardswish_(x: Tensor) -> Tensor:
    return functional.hardswish(x, inplace=True)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
