"""What `train --preset` chooses; a sentence under each field is its meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A training recipe. Times are shares of the whole, so that any `--minutes` runs the same recipe."""

    name: str
    """As typed after --preset."""
    minutes: float
    """Time on the trainer's clock, without loading the frames."""
    size: int
    """Side of the training pictures, pixels; the working frames are reduced to it."""
    images_per_step: int = 16
    """Different frames in one step: enough that the batch's colour and expression stay balanced."""
    rays_per_image: int = 256
    """Rays of each of them."""
    levels: int = 14
    """Levels of the tri-plane grids (Eq. 10)."""
    log2_table_size: int = 15
    """Size of a hash table."""
    finest_resolution: int = 512
    """Cells a side of the finest level."""
    grid_rate: float = 1e-2
    """AdamW's rate for the grids at the start; it falls to a tenth."""
    network_rate: float = 2e-3
    """AdamW's rate for the networks."""
    feature_share: float = 0.3
    """Share of the rays that go to the mouth and the eyes."""
    blendshape_noise: float = 0.03
    """Noise on the blendshapes while training: without it they become a frame number that soaks up pose error."""
    refinements: tuple[float, ...] = (0.4, 0.7)
    """When, as shares of the time, all poses are refined by the picture through the field."""


PRESETS = {
    "preview": Preset("preview", minutes=8.0, size=256),
    "standard": Preset("standard", minutes=40.0, size=512, log2_table_size=16, finest_resolution=1024),
    "paper": Preset(
        "paper",
        minutes=240.0,
        size=512,
        images_per_step=1,
        rays_per_image=65536,
        log2_table_size=14,
        network_rate=1e-3,
        feature_share=0.0,
        refinements=(),
    ),
}
