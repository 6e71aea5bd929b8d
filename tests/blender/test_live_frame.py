"""Images through shared memory: complete, reused, never left behind, never blocking. Runs in any Python."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

HEAD_BACKEND = Path(__file__).with_name("head_backend.py")


@pytest.fixture
def shared_image(import_part):
    return import_part("synctalk_blender.shared_image")


@pytest.fixture
def files(shared_image):
    """The images that this process shares now."""
    return lambda: set(shared_image.shared_folder().glob(f"synctalk-frame-{os.getpid()}-*"))


@pytest.fixture
def live_frame(import_part, shared_image, files):
    before = files()
    yield import_part("synctalk_blender.live_frame")
    shared_image.close()
    assert files() <= before, "nothing may be left behind"


@pytest.fixture
def backend(import_part):
    started = []

    def start(fault: str = ""):
        client = import_part("synctalk_blender.client.shared")
        process = client.BackendProcess([sys.executable, str(HEAD_BACKEND), *([fault] if fault else [])])
        started.append(process)
        return process

    yield start
    for process in started:
        process.close(0.0)


@pytest.fixture
def frame(import_part, live_frame):
    directions = import_part("synctalk_blender.scene.directions").Directions
    pinhole = import_part("backend.workspace.camera").Camera

    def frame(width: int = 40, height: int = 30, jaw: float = 0.0, depth_m: float = 1.0):
        pose, shapes = np.eye(4), np.zeros(52)
        pose[2, 3], shapes[24] = depth_m, jaw
        camera = pinhole(width, height, width * 2.0, (width / 2, height / 2))
        return live_frame.HeadFrame("/anna", camera, directions(pose, shapes))

    return frame


def wait(request) -> None:
    end = time.monotonic() + 10
    while not request.poll():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_image_arrives_complete_and_bottom_row_first(live_frame, backend, frame):
    request = live_frame.FrameRequest(backend(), frame())
    wait(request)
    pixels, ms, _ = request.take()
    assert pixels.shape == (30, 40, 4)
    assert pixels.dtype == np.float32
    assert ms > 0
    assert set(np.unique(pixels[..., 3])) == {0.0, 1.0}
    upper, lower = pixels[15:], pixels[:15]
    assert upper[..., 3].sum() > lower[..., 3].sum(), "the face lies above the neck's origin"


def test_images_of_one_size_share_a_file_and_a_larger_one_gets_its_own(live_frame, backend, frame):
    process, paths = backend(), []
    for width in (40, 41, 40, 3000):
        request = live_frame.FrameRequest(process, frame(width=width))
        paths.append(request._memory.path)
        wait(request)
        request.take()
    assert len(set(paths[:3])) == 1
    assert paths[3] not in paths[:3]


def test_memory_of_an_abandoned_request_is_not_lent_again_while_the_backend_may_write_to_it(live_frame, backend, frame):
    process = backend("slow")
    first = live_frame.FrameRequest(process, frame())
    first.abandon()
    second = live_frame.FrameRequest(process, frame())
    assert second._memory.path != first._memory.path
    second.abandon()


def test_what_the_backend_does_before_its_first_image_can_be_shown(live_frame, backend, frame):
    request = live_frame.FrameRequest(backend("prepares"), frame())
    stages = set()
    end = time.monotonic() + 10
    while not request.poll():
        assert time.monotonic() < end
        stages.add(request.stage)
        time.sleep(0.01)
    assert "Preparing the renderer: a while" in stages
    assert request.stage == ""
    request.take()


def test_a_dead_backend_is_a_sentence_and_its_memory_comes_back(live_frame, backend, frame, import_part):
    error = import_part("synctalk_blender.client.shared").BackendError
    process = backend("dies")
    request = live_frame.FrameRequest(process, frame())
    wait(request)
    with pytest.raises(error, match="ended unexpectedly"):
        request.take()
    with pytest.raises(error):
        live_frame.FrameRequest(process, frame())


def test_an_image_of_another_size_is_refused(live_frame, backend, frame, import_part):
    request = live_frame.FrameRequest(backend("huge"), frame())
    wait(request)
    with pytest.raises(import_part("synctalk_blender.client.shared").BackendError, match="80 x 30"):
        request.take()


def test_what_a_killed_blender_left_is_removed(live_frame, shared_image):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = shared_image.shared_folder() / f"synctalk-frame-{dead.pid}-0.rgba"
    left.write_bytes(b"x")
    shared_image.remove_leftovers()
    assert not left.exists()


def test_only_this_user_can_read_the_images(live_frame, shared_image):
    memory = shared_image.SharedImage(1000)
    try:
        if sys.platform != "win32":
            assert memory.path.stat().st_mode & 0o077 == 0
    finally:
        memory.close()
    assert not memory.path.exists()


def test_frames_are_the_same_only_when_everything_is(frame):
    assert frame().is_same_as(frame())
    assert not frame().is_same_as(frame(jaw=0.1))
    assert not frame().is_same_as(frame(depth_m=1.1))
    assert not frame().is_same_as(frame(width=41))
    assert not frame().is_same_as(None)


def test_an_image_is_read_where_it_is_and_its_memory_is_used_again(live_frame, backend, frame, files):
    process, others = backend(), files()
    for depth_m in (1.0, 1.1):
        request = live_frame.FrameRequest(process, frame(depth_m=depth_m))
        assert request.wait(10)
        with request.answer() as (pixels, ms, _):
            assert pixels.shape == (30, 40, 4) and pixels[..., 3].max() == 1 and ms > 0
            assert not pixels.flags.owndata
    assert len(files() - others) <= 1


def test_waiting_for_an_image_ends_in_time(live_frame, backend, frame):
    request = live_frame.FrameRequest(backend("slow"), frame())
    assert not request.wait(0.01)
    request.abandon()
