"""The embedded sample: small, complete, and true: what a tracker sees in the clip agrees with truth.npz."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from backend.actor.anatomy import CANTHUS_INNER, CANTHUS_OUTER, LIP_GAP, lip_depth, lip_line
from backend.actor.expression import FaceFields
from backend.actor.frames import face_to_head
from backend.protocol import BLENDSHAPE_NAMES

SAMPLE = Path(__file__).resolve().parents[3] / "backend" / "actor" / "sample"
FRAMES = 250
# MediaPipe's indices: eye corners, right eye (image left) outer and inner, left eye inner and outer.
EYE_CORNERS = (33, 133, 362, 263)


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(SAMPLE / "truth.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """Landmarks (N,478,3), pixels, of MediaPipe's bundled mesh in every frame; fails without exactly one face."""
    import mediapipe as mp

    found = []
    options = {"max_num_faces": 2, "refine_landmarks": True, "min_detection_confidence": 0.5}
    with (
        av.open(str(SAMPLE / "speaker.mp4")) as container,
        mp.solutions.face_mesh.FaceMesh(static_image_mode=False, **options) as mesh,
    ):
        for k, frame in enumerate(container.decode(video=0)):
            image = frame.to_ndarray(format="rgb24")
            faces = mesh.process(image).multi_face_landmarks or []
            assert len(faces) == 1, f"frame {k}: {len(faces)} faces"
            height, width = image.shape[:2]
            found.append([(p.x * width, p.y * height, p.z * width) for p in faces[0].landmark])
    return np.array(found)


def column(truth: dict[str, np.ndarray], name: str) -> np.ndarray:
    return truth["blendshapes"][:, list(truth["blendshape_names"]).index(name)]


def eyelid_gap(landmarks: np.ndarray) -> np.ndarray:
    """Height over width of the eye openings, mean of both (N,)."""
    gaps = []
    for top, bottom, inner, outer in ((159, 145, 133, 33), (386, 374, 362, 263)):
        height = np.linalg.norm(landmarks[:, top, :2] - landmarks[:, bottom, :2], axis=1)
        gaps.append(height / np.linalg.norm(landmarks[:, inner, :2] - landmarks[:, outer, :2], axis=1))
    return np.mean(gaps, 0)


def test_together_the_files_stay_under_five_megabytes() -> None:
    assert sum((SAMPLE / name).stat().st_size for name in ("speaker.mp4", "drive.wav", "truth.npz")) < 5_000_000


def test_the_video_is_ten_seconds_of_512_square_at_25_fps_with_audio() -> None:
    with av.open(str(SAMPLE / "speaker.mp4")) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, video.average_rate, video.frames) == (512, 512, 25, FRAMES)
        assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert abs(float(sound.duration * sound.time_base) - 10.0) < 0.1


def test_the_driving_sentence_is_16_khz_mono_16_bit() -> None:
    with av.open(str(SAMPLE / "drive.wav")) as sound:
        stream = sound.streams.audio[0]
        assert (stream.rate, stream.channels, stream.codec_context.name) == (16000, 1, "pcm_s16le")
        assert 7.5 < float(stream.duration * stream.time_base) < 11


def test_truth_has_the_promised_shapes_and_ranges(truth: dict[str, np.ndarray]) -> None:
    assert truth["frame_time_s"] == pytest.approx(np.arange(FRAMES) / 25)
    assert truth["head_to_camera"].shape == (FRAMES, 4, 4)
    rotation = truth["head_to_camera"][:, :3, :3]
    assert np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    assert np.linalg.det(rotation) == pytest.approx(np.ones(FRAMES))
    assert truth["principal_px"].tolist() == [256.0, 256.0]
    assert 70 < float(truth["focal_px"]) / 512 * 36 < 85
    assert tuple(truth["blendshape_names"]) == BLENDSHAPE_NAMES
    assert truth["blendshapes"].shape == (FRAMES, 52)
    assert truth["blendshapes"].min() >= 0
    assert truth["blendshapes"].max() <= 1
    for prefix in ("", "drive_"):
        start, end = truth[prefix + "phoneme_start_s"], truth[prefix + "phoneme_end_s"]
        assert len(truth[prefix + "phonemes"]) == len(start) == len(end)
        assert (end > start).all()
        assert start[1:] == pytest.approx(end[:-1])


def test_the_first_frames_are_the_neutral_face(truth: dict[str, np.ndarray]) -> None:
    assert np.abs(truth["blendshapes"][:3]).max() < 1e-6
    assert truth["head_to_camera"][0, :3, :3] == pytest.approx(np.eye(3))


def test_pose_and_expression_vary_enough_to_learn_from(truth: dict[str, np.ndarray]) -> None:
    rotation = truth["head_to_camera"][:, :3, :3]
    yaw = np.degrees(np.arcsin(-rotation[:, 0, 2]))
    pitch = np.degrees(np.arcsin(-rotation[:, 1, 2]))
    assert np.ptp(yaw) > 12
    assert np.ptp(pitch) > 5
    assert np.ptp(column(truth, "jawOpen")) > 0.3
    assert np.ptp(column(truth, "mouthPucker")) > 0.3


def test_head_pose_and_focal_length_put_the_eye_corners_where_the_tracker_sees_them(truth, landmarks) -> None:
    (xi, yi), (xo, yo) = CANTHUS_INNER, CANTHUS_OUTER
    corners = np.array([[-xo, yo, -7.0], [-xi, yi, -1.5], [xi, yi, -1.5], [xo, yo, -7.0]])
    in_camera = np.einsum("nij,kj->nki", truth["head_to_camera"][:, :3, :3], face_to_head(corners))
    in_camera += truth["head_to_camera"][:, None, :3, 3]
    projected = truth["focal_px"] * in_camera[..., :2] / in_camera[..., 2:] + truth["principal_px"]
    gap = np.linalg.norm(projected - landmarks[:, EYE_CORNERS, :2], axis=2)
    assert np.median(gap) < 3
    assert np.percentile(gap, 95) < 5


def test_the_tracked_mouth_opens_as_the_true_coefficients_say(truth, landmarks) -> None:
    """The lips' opening is the jaw's and the lips' own shapes together; the jaw alone explains most of it."""
    lips = np.array([[0.0, lip_line(np.array(0.0)) + side * LIP_GAP / 2, lip_depth(np.array(0.0))] for side in (1, -1)])
    shapes = FaceFields(lips).shapes()
    moved = sum(truth["blendshapes"][:, k, None, None] * shapes[name] for k, name in enumerate(BLENDSHAPE_NAMES))
    opening = np.maximum(moved[:, 0, 1] - moved[:, 1, 1], 0)
    tracked = np.linalg.norm(landmarks[:, 13] - landmarks[:, 14], axis=1)
    assert np.corrcoef(tracked, opening)[0, 1] > 0.9
    assert np.corrcoef(tracked, column(truth, "jawOpen"))[0, 1] > 0.85


def test_every_true_blink_is_a_tracked_blink(truth, landmarks) -> None:
    gap, blink = eyelid_gap(landmarks), column(truth, "eyeBlinkLeft")
    peaks = [k for k in range(1, FRAMES - 1) if blink[k] > 0.9 and blink[k] >= blink[k - 1] and blink[k] > blink[k + 1]]
    assert len(peaks) >= 3
    for peak in peaks:
        around = gap[max(peak - 8, 0) : peak + 9]
        assert abs(int(around.argmin()) - min(peak, 8)) <= 1
        assert around.min() < 0.6 * np.median(gap)


def _envelope(name: str) -> tuple[np.ndarray, float]:
    with av.open(str(SAMPLE / name)) as sound:
        stream = sound.streams.audio[0]
        resampler = av.AudioResampler("fltp", "mono", 16000)
        parts = [out.to_ndarray()[0] for frame in sound.decode(stream) for out in resampler.resample(frame)]
    samples = np.concatenate(parts)
    return np.sqrt((samples[: len(samples) // 80 * 80].reshape(-1, 80) ** 2).mean(1)), 200.0


@pytest.mark.parametrize(("name", "prefix"), [("speaker.mp4", ""), ("drive.wav", "drive_")])
def test_audio_is_quiet_in_pauses_and_loud_in_vowels(truth, name: str, prefix: str) -> None:
    from backend.workspace.visemes import VOWELS, visemes_of

    envelope, rate = _envelope(name)
    levels: dict[str, list[float]] = {"pause": [], "vowel": []}
    rows = zip(*(truth[prefix + key] for key in ("phonemes", "phoneme_start_s", "phoneme_end_s")), strict=True)
    for label, start, end in rows:
        kind = "pause" if label == "pau" else "vowel" if visemes_of(str(label))[0] in VOWELS else None
        if kind and end - start > 0.03:
            # The edges belong to both neighbours.
            levels[kind].append(float(envelope[int((start + 0.01) * rate) : int((end - 0.01) * rate) + 1].mean()))
    assert np.median(levels["vowel"]) > 10 * np.median(levels["pause"])
    assert np.mean(np.array(levels["vowel"]) > np.max(np.median(levels["pause"]) * 3)) > 0.95
