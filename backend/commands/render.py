"""`render`: a video with audio, or a sequence of RGBA frames."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..media.codecs import CODECS, EXR, FORMATS, H264, PNG, codec_for, is_video
from ..progress import Reporter
from ..protocol import OURS
from . import speak
from .device import device_option
from .head import hair_option, head_option, neck_option
from .marking import Signature, open_seal
from .option import CheckedOptions, option
from .portrait import portrait_option


@dataclass(frozen=True)
class Options(speak.Delivery, Signature, CheckedOptions):
    workspace: Path = option("a workspace with a trained head", positional=True)
    out: Path = option("a path ending in .mp4 or .mov, or a folder for a sequence of the head alone")
    audio: Path | None = option("what to speak; without it and --directions the clip itself is reproduced", None)
    directions: Path | None = option("an animation.npz with an artist's edits (docs/animation.md)", None)
    split: str | None = option("the held-out frames instead, as they would be compared", None, choices=("test",))
    size: int | None = option("longer side of the frames, pixels (the footage's own)", None)
    codec: str | None = option(
        "of a video (h264, for more than 8 bits hevc); prores4444 has the head alone, with alpha",
        None,
        choices=tuple(CODECS),
    )
    format: str | None = option("of a sequence (png)", None, choices=tuple(FORMATS))
    passes: bool = option(
        "in EXR frames also depth, motion, normals, and the mattes of head, hair, mouth, skin and neck", False
    )
    complete: bool = option(
        "a sequence of complete frames, the head over the footage, in place of the head alone", False
    )
    head: str = head_option()
    portrait: str = portrait_option()
    fixed_neck: bool = neck_option()
    rendered_hair: bool = hair_option()
    device: str = device_option()
    label: bool = option("draw the visible mark AI into a corner of each frame", False)
    no_watermark: bool = option("write no watermark into the pixels", False)

    def __post_init__(self) -> None:
        """Check that the options go together.

        Raises:
            UsageError: a format that is not of this kind of file, or --portrait without footage to put the head into.
        """
        super().__post_init__()
        if self.passes and self.format != EXR:
            raise UsageError("--passes are of EXR frames: give --format exr")
        if self.split:
            if self.label:
                raise UsageError("--label and --split do not go together: those frames are compared with real ones")
            if self.codec or self.format:
                raise UsageError("--split writes PNG frames as they are compared: leave --codec and --format out")
            return
        if self.is_video:
            codec_for(self.out, self.codec or H264)
            if self.format:
                raise UsageError(f"--format {self.format} is of a sequence: give a folder for --out, or --codec")
        elif self.codec:
            raise UsageError(f"--codec {self.codec} is of a video: give --out a path ending in .mp4 or .mov")
        if self.complete and self.is_video:
            raise UsageError("--complete is of a sequence: a video is complete but for --codec prores4444")
        if self.complete and self.passes:
            raise UsageError("--complete and --passes do not go together: passes are of the head alone")
        if self.portrait != OURS and not self.over_footage:
            raise UsageError(
                "--portrait needs complete frames: a path ending in .mp4 or .mov and a codec without alpha, or --complete"
            )

    @property
    def over_footage(self) -> bool:
        """Whether the clip's own pixels are in the delivery."""
        is_complete = not codec_for(self.out, self.codec or H264).has_alpha if self.is_video else self.complete
        return bool(self.split) or is_complete

    @property
    def is_video(self) -> bool:
        """Whether the delivery is a video; else it is a folder."""
        return is_video(self.out)


@dataclass(frozen=True)
class Result:
    out: Path
    frames: int
    width: int
    height: int
    signed_by: str
    """Whose certificate signed the manifest; empty where there is none."""


def run(options: Options, reporter: Reporter) -> Result:
    """Render the animation given, else what `speak` makes of the audio.

    Raises:
        ProvenanceError: the certificate does not suit, or signing failed, which leaves the result unsigned.
        SyncTalkError: nothing was trained, or the animation or the audio cannot be used.
    """
    from ..delivery.from_footage import Taking
    from ..delivery.marking import Marking
    from ..delivery.provenance.manifest import HEAD_ALONE, OVER_FOOTAGE
    from ..delivery.shot import Shot
    from ..delivery.watermark import Kind, Message
    from ..evaluation.reenactment import Reenactment, write_test_frames
    from ..renderer import devices
    from ..training import checkpoints
    from ..workspace.store import Workspace

    devices.select(options.device, reporter)
    workspace = Workspace.open(options.workspace)
    workspace.require("portrait_sync")
    head = checkpoints.load_for_rendering(workspace, reporter, options.head)
    content = OVER_FOOTAGE if options.over_footage else HEAD_ALONE
    seal, signed_by = open_seal(options, workspace, head, content, reporter)
    kind = Kind.VIDEO if options.over_footage else Kind.FRAMES
    watermark = None if options.no_watermark else Message.of_clip(workspace.subject.source_sha256, kind)
    marking = Marking(options.label, seal, watermark)
    if options.split:
        side = options.size or workspace.subject.size
        count = write_test_frames(workspace, options.out, Reenactment(side, options.head, options.portrait), reporter)
        for path in options.out.glob("[0-9]" * 6 + ".png"):
            marking.sign(path)
        return Result(options.out, count, side, side, signed_by)
    directions = options.directions
    if directions is None:
        delivery = dataclasses.asdict(speak.Delivery.of(options)) | options.signature
        spoken = speak.Options(workspace=options.workspace, audio=options.audio, head=head.kind, **delivery)
        directions = speak.run(spoken, reporter).animation
    taking = Taking(hair=not options.rendered_hair, neck=not options.fixed_neck)
    shot = Shot.of(workspace, head, workspace.animation(directions), options.size, taking)
    if options.is_video:
        shot.write_video(options.out, options.audio, reporter, options.portrait, options.codec, marking)
    elif options.complete:
        shot.write_complete_frames(options.out, reporter, options.format or PNG, options.portrait, marking)
    else:
        shot.write_frames(options.out, reporter, options.format or PNG, options.passes, marking)
    return Result(options.out, shot.frames, shot.camera.width, shot.camera.height, signed_by)
