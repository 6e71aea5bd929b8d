"""Alpha of the person in a clip's frames by the matting network, where it was fetched (`models fetch matting`)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch

from ...compilation import has_numba
from ..segmenter import matting_files
from .network import MattingNetwork, State
from .weights import layers_of, read_tensors

SIDE = 512
"""Largest side of the frame that it sees, pixels. At 384 its error before a patterned background is twice as large."""
STILL_SIDE = 256
RUN = 250
"""Frames that follow each other in one memory: so a clip has several threads, and a resumed run has the same results."""
WARM_UP = 20
"""Frames before a run that only fill the memory."""


class PersonMatter:
    """Alpha of a clip's frames; may be used from several threads, each of which has a memory of its own."""

    def __init__(self, network: MattingNetwork) -> None:
        self._network, self._memory = network, threading.local()

    @classmethod
    def installed(cls) -> PersonMatter | None:
        """None where its files were not fetched.

        Raises:
            ModelError: they are damaged.
        """
        files = matting_files()
        return None if files is None else cls(MattingNetwork(layers_of(read_tensors(*files)), _kind()))

    @contextlib.contextmanager
    def beside_others(self) -> Iterator[None]:
        """While frames are processed in parallel: threads begun within it compute alone."""
        previous = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(previous)

    def runs(self, indices: list[int]) -> list[list[int]]:
        """Lists of frames that hold `indices`, each to be asked for in one thread; an incomplete run is repeated from its start."""
        last = {index // RUN: index for index in indices}
        return [list(range(run * RUN, index + 1)) for run, index in last.items()]

    def still(self, frame: np.ndarray) -> np.ndarray:
        """Alpha (256, 256) float32 in [0, 1] of a frame (S, S, 3) uint8 RGB without its neighbours."""
        state: State = ()
        for _ in range(2):  # the second time it remembers the first
            alpha, state = self._see(frame, STILL_SIDE, state)
        return alpha

    def __call__(self, read_frame: Callable[[int], np.ndarray], index: int, count: int) -> np.ndarray:
        """Alpha (s, s) float32 in [0, 1] of a clip's frame, which is best asked for one frame after another.

        Args:
            read_frame: returns frame i as (S, S, 3) uint8 RGB.
            index, count: which frame, and how many the clip has.
        """
        memory = self._memory
        if index % RUN == 0 or getattr(memory, "index", None) != index - 1:
            memory.state = ()
            # The clip's first frames have none before them: those after them, backwards.
            for before in range(WARM_UP, 0, -1):
                _, memory.state = self._see(read_frame(min(abs(index - before), count - 1)), SIDE, memory.state)
        alpha, memory.state = self._see(read_frame(index), SIDE, memory.state)
        memory.index = index
        return alpha

    def _see(self, frame: np.ndarray, largest: int, state: State) -> tuple[np.ndarray, State]:
        side = min(largest, -(-len(frame) // 16) * 16)
        interpolation = cv2.INTER_AREA if side <= len(frame) else cv2.INTER_LINEAR
        seen = cv2.resize(frame, (side, side), interpolation=interpolation)
        values = torch.from_numpy(seen).permute(2, 0, 1)[None].to(self._network.kind) / 255.0
        alpha, state = self._network(values, state)
        return alpha[0, 0].float().numpy(), state


def _kind() -> torch.dtype:
    """bfloat16 halves the time where the processor multiplies it; alpha differs by less than a level."""
    if has_numba():
        from ...compilation.processor import has_bfloat16

        if has_bfloat16():
            return torch.bfloat16
    return torch.float32
