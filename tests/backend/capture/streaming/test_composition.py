"""The frames of a stream are those that `render` delivers, marked as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.capture.live.session import LiveValues
from backend.capture.streaming.composition import SAMPLES, Composer
from backend.capture.streaming.loop_audio import LoopAudio
from backend.capture.streaming.names import ALPHA, FOOTAGE, colour_of
from backend.capture.streaming.program import LiveProgram, LoopProgram
from backend.delivery.complete import CompleteFrames
from backend.delivery.marking import Marking
from backend.delivery.shot import Shot
from backend.delivery.watermark import Kind, Message, detect
from backend.media.samples import signal
from backend.portrait_sync.clip_background import ClipBackground
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.training.checkpoints import load_for_rendering
from backend.workspace.poses import rotation_exp
from backend.workspace.store import Workspace

SIZE = 256
FRAME = 30


@pytest.fixture(scope="module")
def shot(twin_once):
    workspace = Workspace.open(twin_once)
    head = load_for_rendering(workspace)
    return Shot.of(workspace, head, workspace.footage_animation(workspace.head_track(head=head.kind)), SIZE)


@pytest.fixture(scope="module")
def program(shot):
    return LoopProgram(
        shot.animation, shot.conditions, LoopAudio(np.zeros(0, np.int16), shot.frames * 48000 / shot.animation.rate)
    )


def shown(planes) -> np.ndarray:
    """(H, W, 3) float32 in levels of 255."""
    return np.clip(signal(planes, SAMPLES), 0, 1) * 255


def test_the_head_over_the_footage_is_what_render_writes(shot, program):
    found = shown(Composer(shot, FOOTAGE, False, Reporter()).make(program.at(FRAME)))
    complete = CompleteFrames.of_sequence(shot, "ours", "png", Reporter())
    message = Message.of_clip(shot.workspace.subject.source_sha256, Kind.VIDEO)
    marks = Marking(watermark=message).of_frames((SIZE, SIZE))
    (truth,) = complete.frames([FRAME], marks, Reporter())
    difference = np.abs(found.mean(2) - cv2.merge(truth).mean(2))
    assert difference.mean() < 1.5, "the clip is decoded there, and its JPEG images are read here"
    mouth = difference[150:200, 100:156]
    assert np.percentile(mouth, 95) < 6


def test_frames_of_a_loop_are_made_once_and_come_again(shot, program):
    composer = Composer(shot, FOOTAGE, False, Reporter())
    first = composer.make(program.at(FRAME))
    assert composer.make(program.at(FRAME + shot.frames)) is first
    assert composer.make(program.at(FRAME + 1)) is not first


def test_over_a_colour_there_is_nothing_of_the_clip(shot, program):
    image = shown(Composer(shot, "#00B140", False, Reporter()).make(program.at(FRAME)))
    np.testing.assert_allclose(image[:40, :30].mean((0, 1)), colour_of("#00B140"), atol=3)
    assert np.abs(image[128, 128] - colour_of("#00B140")).max() > 40, "the face"


def test_alpha_is_beside_the_colours_over_black(shot, program):
    composer = Composer(shot, ALPHA, False, Reporter())
    assert composer.size == (2 * SIZE, SIZE)
    image = shown(composer.make(program.at(FRAME)))
    colour, alpha = image[:, :SIZE], image[:, SIZE:]
    assert alpha[128, 128].min() > 250 and alpha[5, 5].max() < 3 and colour[5, 5].max() < 3
    assert alpha[-3, SIZE // 2].min() > 250, "the body is under the head"
    assert np.abs(alpha - alpha.mean(2, keepdims=True)).max() < 3, "grey"
    assert (colour.max(2) <= alpha.max(2) + 12).mean() > 0.99, "premultiplied"


def test_the_person_over_the_clips_own_background_is_the_frame_again(shot, program):
    image = shown(Composer(shot, ALPHA, False, Reporter()).make(program.at(FRAME)))
    colour, alpha = image[:, :SIZE], image[:, SIZE:] / 255
    background = cv2.resize(ClipBackground(shot.workspace).at(FRAME), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    again = colour + (1 - alpha) * background
    truth = shown(Composer(shot, FOOTAGE, False, Reporter()).make(program.at(FRAME)))
    difference = np.abs(again - truth).mean(2)
    assert np.median(difference) < 3 and np.percentile(difference, 97) < 16


def test_every_frame_that_leaves_carries_the_watermark(shot, program):
    composer = Composer(shot, FOOTAGE, False, Reporter())
    frames = [np.rint(shown(composer.make(program.at(index)))).astype(np.uint8) for index in range(0, 90, 6)]
    found = detect(frames)
    assert found.message == Message.of_clip(shot.workspace.subject.source_sha256, Kind.VIDEO)


def test_the_label_is_drawn_where_it_is_asked_for(shot, program):
    for background in (FOOTAGE, "#000000", ALPHA):
        plain, labelled = (
            shown(Composer(shot, background, label, Reporter()).make(program.at(FRAME))) for label in (False, True)
        )
        changed = np.abs(labelled - plain).max(2)[:, :SIZE] > 40
        rows, columns = np.nonzero(changed)
        assert changed.any() and rows.max() < SIZE / 4 and columns.min() > SIZE / 2


def test_a_live_head_follows_the_newest_values_and_returns_to_the_footage(shot):
    newest = [None]
    program = LiveProgram(shot.animation, lambda: newest[0])
    waiting = program.at(FRAME)
    np.testing.assert_array_equal(waiting.blendshapes, shot.animation.blendshapes[FRAME])
    jaw, blink = (BLENDSHAPE_NAMES.index(name) for name in ("jawOpen", "eyeBlinkLeft"))
    shapes, turn = np.zeros(52, np.float32), rotation_exp(np.array([0.0, 0.2, 0.0]))
    shapes[jaw] = 0.7
    newest[0] = LiveValues(1, shapes, np.arange(52) != blink, turn, 0.0, 0.0, None)
    begun = (program.at(FRAME).blendshapes[jaw] - waiting.blendshapes[jaw]) / (0.7 - waiting.blendshapes[jaw])
    assert 0 < begun < 0.2, "it begins little by little"
    for _ in range(20):
        played = program.at(FRAME)
    np.testing.assert_allclose(np.delete(played.blendshapes, blink), np.delete(shapes, blink), atol=1e-6)
    assert played.blendshapes[blink] == shot.animation.blendshapes[FRAME, blink], (
        "what the sender has not is the footage's"
    )
    before = shot.animation.head_to_camera[FRAME]
    np.testing.assert_allclose(played.head_to_camera[:3, :3], before[:3, :3] @ turn, atol=1e-6)
    np.testing.assert_array_equal(played.head_to_camera[:3, 3], before[:3, 3])
    assert played.loop_frame is None and not program.block(0, 960).any()
    composer = Composer(shot, FOOTAGE, False, Reporter())
    difference = np.abs(shown(composer.make(played)) - shown(composer.make(waiting))).mean(2)
    assert difference[100:220, 80:180].mean() > 2
    newest[0] = None
    for _ in range(20):
        ended = program.at(FRAME)
    np.testing.assert_allclose(ended.blendshapes, waiting.blendshapes, atol=1e-6)
    np.testing.assert_allclose(ended.head_to_camera, waiting.head_to_camera, atol=1e-6)
