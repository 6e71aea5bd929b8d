"""What `train --preset` chooses; a sentence under each field is its meaning."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from ..errors import WorkspaceError
from ..renderer.regions import PAPER_EXPRESSION, UPPER_FACE


@dataclass(frozen=True)
class Preset:
    """A training recipe. Times are shares of the training, so any `--minutes` runs the same recipe."""

    name: str
    """As typed after --preset."""
    minutes: float
    """Time on the trainer's clock, without loading the frames."""
    size: int
    """Side of the training frames, pixels; the working frames are reduced to it."""
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
    max_samples: int = 16
    """Samples of a training ray at most; rendered rays have no limit."""
    grid_rate: float = 1e-2
    """AdamW's rate for the grids at the start; it falls to a tenth."""
    network_rate: float = 2e-3
    """AdamW's rate for the networks."""
    feature_share: float = 0.3
    """Share of the rays that go to the mouth and the eyes."""
    mouth_weight: float = 6.0
    """Weight of an error at the mouth in the loss, where the clip has 1,000 frames or more (else less). With equal weights
    the network spends its capacity on hair and edges, and learns teeth last."""
    blendshape_noise: float = 0.01
    """Noise on the blendshapes while training: without it they overfit to single frames and absorb pose error; with much of
    it lips open less than they should."""
    lips: str = "shape"
    """What drives the lips: `shape` (the mouth's blendshapes), or audio: `adapted`, or the name of an encoder."""
    expression: str = "upper-face"
    """What drives the upper face: `upper-face` (brows, lids, gaze, squint), `paper` (its seven: brows, forehead, lids), or
    names of blendshapes separated by commas."""
    gated: bool = True
    """Whether lips and expression reach only their regions of the head (Eq. 4 with fixed masks)."""
    refinements: tuple[float, ...] = (0.5,)
    """When, as shares of the time, all poses are refined against the field."""
    focal_factors: tuple[float, ...] = ()
    """Other focal lengths, as multiples of the tracked one, that short trainings try first."""
    field_share: float = 0.25
    """Share of the time for the field, where its Gaussian twin follows."""
    fine: float = 0.8
    """Share of the time after which the fine stage begins (Eq. 13): patches with a perceptual term."""
    fine_patches: int = 4
    """Square patches of 32 pixels in a fine step, in place of as many rays."""
    fine_weight: float = 0.0
    """Of the perceptual term in the loss."""

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The blendshapes that `expression` means.

        Raises:
            WorkspaceError: a name that no blendshape of the upper face has.
        """
        groups = {"upper-face": UPPER_FACE, "paper": PAPER_EXPRESSION}
        names = groups.get(self.expression) or tuple(self.expression.split(","))
        for name in names:
            if name not in UPPER_FACE:
                known = ", ".join((*groups, *UPPER_FACE))
                raise WorkspaceError(f"No blendshape {name!r} drives the upper face: choose from {known}.")
        return names

    def changed(self, changes: list[str]) -> Preset:
        """With fields set as `--set NAME=VALUE` has them; a tuple's values are separated by commas.

        Raises:
            WorkspaceError: no such field, or not such a value.
        """
        values: dict[str, Any] = {}
        kinds = get_type_hints(Preset)
        names = [field.name for field in fields(Preset) if field.name != "name"]
        for change in changes:
            name, _, text = change.partition("=")
            if name not in names:
                raise WorkspaceError(f"There is no preset field {name or change!r}: choose one of {', '.join(names)}.")
            try:
                if kinds[name] is bool:
                    values[name] = {"true": True, "false": False}[text.lower()]
                elif kinds[name] in (int, float, str):
                    values[name] = kinds[name](text)
                else:
                    values[name] = tuple(float(part) for part in text.split(",") if part)
            except (KeyError, ValueError) as error:
                raise WorkspaceError(
                    f"{text!r} is not a valid value of {name}: give "
                    f"{_KINDS_IN_WORDS.get(kinds[name], 'numbers separated by commas')}."
                ) from error
        return replace(self, **values)


_KINDS_IN_WORDS: dict[object, str] = {bool: "true or false", int: "a whole number", float: "a number"}

PRESETS = {
    "preview": Preset("preview", minutes=8.0, size=256),
    "standard": Preset(
        "standard", minutes=30.0, size=512, log2_table_size=16, finest_resolution=1024, focal_factors=(0.8, 1.25)
    ),
    "paper": Preset(
        "paper",
        minutes=240.0,
        size=512,
        images_per_step=1,
        rays_per_image=65536,
        log2_table_size=14,
        network_rate=1e-3,
        feature_share=0.0,
        mouth_weight=1.0,
        expression="paper",
        refinements=(),
        field_share=0.95,
        fine_weight=0.01,
    ),
}
