"""`encoder features`: features of an audio file, a row a frame at 25 a second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...progress import Reporter
from ..option import option


@dataclass(frozen=True)
class Options:
    source: Path = option("an audio file or a video", positional=True, metavar="AUDIO_OR_VIDEO")
    out: Path = option("features (N, D) and fps", metavar="F.npz")
    encoder: str = option("boxed, log-mel, ave, hubert, wav2vec2 or a .safetensors file", "boxed")
    offset_ms: float = option("how late the audio is, in ms", 0.0)


@dataclass(frozen=True)
class Result:
    out: Path
    encoder: str
    frames: int
    size: int


def run(options: Options, reporter: Reporter) -> Result:
    """Write the features.

    Raises:
        SyncTalkError: the audio cannot be used, or the encoder is not here.
    """
    import numpy as np

    from ...face_sync.encoders import open_encoder
    from ...face_sync.steps import STEP_RATE
    from ...media.audio import video_time_audio
    from ...media.guard import guarded_items
    from ...workspace.files import write_arrays

    encoder = open_encoder(options.encoder)
    reporter.progress("features", 0, 1, "files")
    audio = guarded_items(video_time_audio, options.source, reporter=reporter, about=options.source)
    features = encoder.features(audio, offset_ms=options.offset_ms)
    write_arrays(options.out, features=features, fps=np.float64(STEP_RATE))
    reporter.progress("features", 1, 1, "files")
    return Result(options.out, encoder.name, len(features), features.shape[1])
