"""What a frame launches on a GPU, recorded once and replayed: hundreds of launches become one.

Never run on a GPU so far; on another device the work is done each time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

_WARM_UP = 3
"""Calls before recording: Triton compiles in the first."""


class Recording:
    """Work that is the same each time: it reads and writes the same memory, and asks the GPU for nothing.

    Args:
        allowed: whether it may be recorded.
    """

    def __init__(self, work: Callable[[], None], device: torch.device, allowed: bool = True) -> None:
        self._work, self._device = work, device
        self._allowed = allowed and device.type == "cuda"
        self.forget()

    def forget(self) -> None:
        """Record again, as the memory is another one."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._done = 0

    def run(self) -> None:
        """Do it; nothing is waited for."""
        if self._graph is not None:
            self._graph.replay()
            return
        self._work()
        self._done += 1
        if self._allowed and self._done == _WARM_UP:
            torch.cuda.synchronize(self._device)
            graph = torch.cuda.CUDAGraph()
            # What other threads ask of the GPU meanwhile, memory say, must not fail.
            with torch.cuda.device(self._device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._work()
            self._graph = graph
