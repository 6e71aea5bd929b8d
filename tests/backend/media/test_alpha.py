"""A clip's alpha channel counts: hidden colours are never seen, and the alpha is kept as the person's matte."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Colorspace, VideoReformatter

from backend.media import stage
from backend.media.decode import FrameReader, frames
from backend.media.frame_checks import first_corrections
from backend.progress import Reporter
from backend.workspace.store import Workspace
from backend.workspace.subject import ALPHA_BACKGROUND

GREEN = (20, 230, 30)


def rgba(image: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgba")


def rgba_709(image: np.ndarray) -> av.VideoFrame:
    """As editors write ProRes."""
    return VideoReformatter().reformat(rgba(image), format="yuva444p10le", dst_colorspace=Colorspace.ITU709)


def cut_out(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The image with alpha, and green where it is not meant to be seen."""
    hidden = np.where(alpha[..., None] > 0, image, np.array(GREEN, np.uint8))
    return np.dstack([hidden, alpha]).astype(np.uint8)


def over_grey(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return ALPHA_BACKGROUND + (image - float(ALPHA_BACKGROUND)) * (alpha[..., None] / 255.0)


def ramp() -> tuple[np.ndarray, np.ndarray]:
    """A skin-coloured image (64, 96), and an alpha of 0, a slope, and 255."""
    image = np.full((64, 96, 3), (190, 140, 115), np.uint8)
    alpha = np.tile(np.clip(np.linspace(-255, 510, 96), 0, 255).astype(np.uint8), (64, 1))
    return image, alpha


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "off"),
    [
        ("png", "rgba", ".mov", 1),
        ("qtrle", "argb", ".mov", 1),
        ("prores_ks", "yuva444p10le", ".mov", 8),
        ("ffv1", "yuva444p", ".mkv", 4),
        ("libvpx-vp9", "yuva420p", ".webm", 8),
        ("libvpx", "yuva420p", ".webm", 8),
    ],
)
def test_hidden_colours_are_not_seen_and_alpha_is_given(tmp_path, clips, codec, pix_fmt, suffix, off):
    image, alpha = ramp()
    options = {
        "libvpx": {"auto-alt-ref": "0", "b": "2M"},
        "libvpx-vp9": {"crf": "5", "b": "0"},
        "prores_ks": {"profile": "4444", "qscale": "2"},
    }
    path = clips.make(
        tmp_path / f"a{suffix}",
        [cut_out(image, alpha)] * 30,
        codec=codec,
        pix_fmt=pix_fmt,
        convert=rgba_709 if codec == "prores_ks" else rgba,
        options=options.get(codec, {}),
    )
    found = [shown for _, shown in frames(path)]
    assert len(found) == 30
    assert found[8].shape == (64, 96, 3)
    away = np.ones((64, 96), bool)
    away[:, 28:36] = False  # Where green and skin meet, codecs that share colour between neighbours mix them.
    wanted = over_grey(image, alpha)
    assert np.abs(found[8].astype(int) - wanted)[away].max() <= off
    kept = next(iter(FrameReader(path, keep_alpha=True)))[1]
    assert kept.shape == (64, 96, 4)
    assert np.abs(kept[..., 3].astype(int) - alpha).max() <= max(off, 4)
    later = next(iter(FrameReader(path, start_s=1.0, keep_alpha=True)))[1]
    assert np.abs(later[..., 3].astype(int) - alpha).max() <= max(off, 4)


def test_an_alpha_that_is_opaque_everywhere_changes_nothing(tmp_path, clips, speaker_frames):
    images = [np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]) for image in speaker_frames[:80]]
    audio = (clips.speech_like(3.2), 16000)
    path = clips.make(
        tmp_path / "a.mov",
        images,
        codec="prores_ks",
        pix_fmt="yuva444p10le",
        convert=rgba,
        options={"profile": "4444"},
        audio=audio,
    )
    workspace, warnings = process(tmp_path / "ws", path)
    assert warnings == []
    assert workspace.subject.alpha is False
    assert not (workspace.root / "alpha").exists()
    assert np.abs(workspace.read_frame(10).astype(int) - speaker_frames[10]).mean() < 3


def process(root: Path, path: Path) -> tuple[Workspace, list[str]]:
    reporter = Reporter()
    workspace = Workspace.create(root)
    with workspace.locked():
        stage.run(workspace, reporter, video=path)
    return Workspace.open(root), [text.replace(str(path), "CLIP") for text in reporter.warnings]


def oval(side: int) -> np.ndarray:
    mask = cv2.ellipse(
        np.zeros((side, side), np.uint8), (side // 2, side // 2), (side // 3, side // 2), 0, 0, 360, 255, -1
    )
    return cv2.GaussianBlur(mask, (0, 0), 3)


@pytest.fixture
def keyed(tmp_path, clips, speaker_frames) -> Path:
    alpha = oval(256)
    return clips.make(
        tmp_path / "keyed.mov",
        [cut_out(image, alpha) for image in speaker_frames[:80]],
        codec="qtrle",
        pix_fmt="argb",
        convert=rgba,
        options={},
        audio=(clips.speech_like(3.2), 16000),
    )


def test_alpha_is_kept_beside_the_frames_and_reported(tmp_path, keyed, speaker_frames):
    workspace, warnings = process(tmp_path / "ws", keyed)
    assert warnings == [
        "The alpha channel (straight) of CLIP is used as the matte. If edges look dark, export with straight (unmatted) alpha."
    ]
    assert len(list((workspace.root / "alpha").iterdir())) == 80
    assert np.abs(workspace.read_alpha(10).astype(int) - oval(256)).max() <= 5
    assert np.abs(workspace.read_frame(10) - over_grey(speaker_frames[10], oval(256))).mean() < 2
    # What is missing is made again, and only that.
    stamp = workspace.frame_path(59).stat().st_mtime_ns
    workspace.alpha_path(60).unlink()
    workspace, _ = process(tmp_path / "ws", keyed)
    assert workspace.alpha_path(60).exists()
    assert workspace.frame_path(59).stat().st_mtime_ns == stamp


def test_colours_that_are_multiplied_by_alpha_are_measured_and_not_multiplied_again(
    tmp_path, clips, keyed, speaker_frames
):
    alpha = oval(256)
    share = alpha[..., None] / 255.0
    path = clips.make(
        tmp_path / "multiplied.mov",
        [np.dstack([np.rint(image * share), alpha]).astype(np.uint8) for image in speaker_frames[:80]],
        codec="qtrle",
        pix_fmt="argb",
        convert=rgba,
        options={},
        audio=(clips.speech_like(3.2), 16000),
    )
    workspace, warnings = process(tmp_path / "ws", path)
    assert "(premultiplied, matted with black)" in warnings[0]
    assert np.abs(workspace.read_frame(10) - over_grey(speaker_frames[10], alpha)).mean() < 2

    # Straight alpha over black hidden colours, and a dark person, are not mistaken for it.
    for name, dim in (("straight", 1.0), ("dark", 0.35)):
        images = [np.dstack([image * dim * (share > 0), alpha]).astype(np.uint8) for image in speaker_frames[:30]]
        straight = clips.make(tmp_path / f"{name}.mov", images, codec="qtrle", pix_fmt="argb", convert=rgba, options={})
        assert not first_corrections(straight, "").premultiplied


def test_another_clip_takes_the_alpha_away(tmp_path, clips, keyed, speaker_frames):
    process(tmp_path / "ws", keyed)
    plain = clips.make(tmp_path / "plain.mp4", speaker_frames[:80], audio=(clips.speech_like(3.2), 16000))
    workspace, _ = process(tmp_path / "ws", plain)
    assert workspace.read_alpha(10) is None
    assert not (workspace.root / "alpha").exists()


def test_an_alpha_that_was_never_filled_in_is_ignored_and_reported(tmp_path, clips, speaker_frames):
    path = clips.make(
        tmp_path / "a.mov",
        [np.dstack([image, np.zeros(image.shape[:2], np.uint8)]) for image in speaker_frames[:80]],
        codec="qtrle",
        pix_fmt="argb",
        convert=rgba,
        options={},
        audio=(clips.speech_like(3.2), 16000),
    )
    workspace, warnings = process(tmp_path / "ws", path)
    assert warnings == ["The alpha channel of CLIP is empty and is ignored: export the clip without alpha."]
    assert np.abs(workspace.read_frame(10).astype(int) - speaker_frames[10]).mean() < 3


def test_holes_in_the_face_are_reported(tmp_path, clips, speaker_frames):
    alpha = oval(256)
    alpha[130:150, 110:150] = 0
    path = clips.make(
        tmp_path / "a.mov",
        [cut_out(image, alpha) for image in speaker_frames[:80]],
        codec="qtrle",
        pix_fmt="argb",
        convert=rgba,
        options={},
        audio=(clips.speech_like(3.2), 16000),
    )
    _, warnings = process(tmp_path / "ws", path)
    assert warnings[1].startswith(
        "The alpha channel of CLIP has holes in the face near 0.0 s, 0.2 s, 0.4 s and 13 more"
    )
