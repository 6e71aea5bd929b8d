"""The report is one file that shows what is there, leaves out what is not, and escapes every text."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from backend.evaluation import chart_svg, charts
from backend.evaluation.evaluate import FramePair, MeanImages, evaluate
from backend.evaluation.images import error_map
from backend.evaluation.report import addresses, comparison, training, write_comparison, write_report
from backend.evaluation.speech_video import CLOSE, SPREAD, Speech, portraits
from backend.media.encode import VideoWriter
from backend.protocol import SYNTHETIC_MARK
from backend.workspace.camera import Camera
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop, Subject
from tests.backend.made_up_track import make_track

FRAMES = 110


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Processed and trained, as far as a report reads it."""
    subject = Subject(
        name="Speaker <b>one</b>",
        source="/clips/speaker & co.mp4",
        source_sha256="ab" * 32,
        source_size=(640, 480),
        source_fps=29.97,
        duration_s=FRAMES / 25,
        frames=FRAMES,
        size=256,
        crop=Crop(100, 20, 400),
        consent={"given": True, "by": "A. Person", "when": "2026-01-02T03:04:05+00:00"},
    )
    workspace = Workspace(tmp_path / "ws", subject)
    generator = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :3, 3] = generator.normal(0, 0.01, (FRAMES, 3)) + np.array([0, 0, 0.8])
    valid = np.ones(FRAMES, bool)
    valid[40:50] = False
    poses[40:50] = np.nan
    track = make_track(
        FRAMES,
        camera=Camera(256, 256, 900.0, (128.0, 128.0)),
        valid=valid,
        head_to_camera=poses,
        blendshapes=generator.uniform(0, 1, (FRAMES, 52)).astype(np.float32),
        reprojection_px=np.where(valid, 0.5, np.nan),
    )
    track.write(workspace.tracking_path, 25.0)
    workspace.checkpoints.mkdir()
    (workspace.checkpoints / "config.json").write_text(json.dumps({"preset": "preview", "step": 1234, "psnr": 30.0}))
    lines = [{"step": 100 * n, "minutes": n / 2, "psnr_head": 25.0 + n} for n in range(1, 6)]
    lines.insert(2, {"step": 250, "minutes": 1.2, "psnr_head": None})
    (workspace.checkpoints / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3')
    return workspace


class Page(HTMLParser):
    """Tags, addresses, and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.images = 0
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]
        self.images += tag == "img"
        assert tag != "img" or values.get("alt")
        assert tag != "script"
        if values.get("id"):
            self.ids.append(values["id"])
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "br", "link"):
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def evaluation():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 255, (64, 64, 3), np.uint8)
    head = np.full((64, 64), 255, np.uint8)
    return evaluate(FramePair(100 + i, np.roll(truth, 1, 0), truth, head) for i in range(10))


def test_a_complete_report_is_one_self_contained_file(workspace, evaluation, tmp_path):
    audio = np.random.default_rng(0).normal(0, 0.1, 16000 * 4).astype(np.float32)
    speech = Speech("new words", audio, jaw_open=np.linspace(0, 1, 100))
    speech.images = {frame: np.full((64, 64, 3), 90, np.uint8) for frame in speech.wanted_frames()}
    workspace.subject.stages["media"] = {"state": "done", "key": "", "warnings": ["The audio crackles."]}
    path = write_report(workspace, tmp_path / "report.html", evaluation, [speech])
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text), "nothing is fetched"
    assert len(page.ids) == len(set(page.ids)), "no plot takes another's parts"
    assert page.images >= 3 * 6
    for words in (
        SYNTHETIC_MARK,
        "A. Person",
        "2026-01-02",
        "Held-out frames",
        "New speech",
        "Training",
        "Tracking",
        "The audio crackles.",
    ):
        assert words in page.text
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"#0000[01]", text), "every colour of a plot is the page's"


@pytest.fixture
def head_sync_files(workspace):
    """What the stage head_sync writes to be checked by eye."""
    folder = workspace.reports / "head_sync"
    time_s = np.arange(50) / 25
    rows = [charts.Row("degrees", [(np.sin(time_s), "s1", "yaw"), (np.cos(time_s), "s2", "pitch")], 100)]
    with VideoWriter(folder / "stabilized.mp4", 64, 32) as video:
        video.write(np.zeros((32, 64, 3), np.uint8))
    (folder / "poses.svg").write_text(chart_svg.standalone(charts.stacked(time_s, rows, x_label="seconds")), "utf-8")
    write_image(folder / "points.png", np.zeros((40, 60, 3), np.uint8))
    return folder


def test_the_tracking_is_shown_within_the_page(workspace, head_sync_files, tmp_path):
    page = Page(write_report(workspace, tmp_path / "report.html").read_text("utf-8"))
    kinds = {address.split(";")[0] for address in page.addresses if address.startswith("data:")}
    assert {"data:video/mp4", "data:image/svg+xml", "data:image/jpeg"} <= kinds
    for words in ("Is the tracking stable?", "Stabilised", "Tracked points", "Pose curves"):
        assert words in page.text


def test_each_image_of_the_tracking_may_be_missing(workspace, head_sync_files, tmp_path):
    (head_sync_files / "stabilized.mp4").unlink()
    page = Page(write_report(workspace, tmp_path / "report.html").read_text("utf-8"))
    assert "Stabilised" not in page.text
    assert "Pose curves" in page.text
    for path in head_sync_files.iterdir():
        path.unlink()
    assert "Is the tracking stable?" not in write_report(workspace, tmp_path / "report.html").read_text("utf-8")


def test_a_long_video_is_linked_and_not_embedded(workspace, head_sync_files, monkeypatch):
    monkeypatch.setattr(addresses, "EMBEDDED_VIDEO_BYTES", 10)
    page = Page(write_report(workspace, workspace.reports / "report.html").read_text("utf-8"))
    assert "head_sync/stabilized.mp4" in page.addresses
    assert not any(address.startswith("data:video") for address in page.addresses)


def test_standalone_plots_are_complete_files_in_the_report_s_colours(head_sync_files):
    text = (head_sync_files / "poses.svg").read_text("utf-8")
    root = ElementTree.fromstring(text)
    assert (root.get("width"), root.get("viewBox").split()[2]) == ("1040", "1040")
    assert not re.search(r"#0000[01]|var\(", text)
    assert "stroke: #d4522a" in text
    assert "prefers-color-scheme:dark" in text


def test_every_figure_is_in_the_report_with_its_meaning(workspace, evaluation, tmp_path):
    elsewhere = {"width", "height", "landmarks"}
    assert set(comparison.FIGURES) == set(evaluation.figures) - elsewhere
    text = Page(write_report(workspace, tmp_path / "report.html", evaluation).read_text("utf-8")).text
    for name, unit, meaning, digits in comparison.FIGURES.values():
        assert name in text and meaning in text
        assert unit in ("", "dB", "px", "grey") and 0 <= digits <= 4
    assert f"{evaluation.figures['ms_ssim']:.4f}" in text
    assert "the held-out last 1/11 of the clip" in text
    assert comparison.LIPS_READ_BY[evaluation.landmarks_source] in text
    assert "not measured" in text, "no weights of LPIPS, no face"


def test_where_and_when_it_errs_is_shown(workspace, evaluation, tmp_path):
    page = Page(write_report(workspace, tmp_path / "report.html", evaluation).read_text("utf-8"))
    assert "Where the errors are" in page.text
    worst = evaluation.worst[0]
    assert f"frame {worst.pair.index}, {worst.psnr:.1f} dB" in page.text
    assert f"{evaluation.means.error.mean():.2f} grey levels on average" in page.text


def test_the_error_map_is_brightest_where_the_error_is():
    truth = np.full((80, 80, 3), 120.0)
    error = np.zeros((80, 80))
    error[20:40, 50:70] = 37
    shown = error_map(MeanImages(truth, truth, error))
    assert (shown["ticks"], shown["most"]) == (["0", "10", "20", "30", "40 or more"], "37")
    data = np.frombuffer(base64.b64decode(shown["error"].split(",")[1]), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int)
    assert image[25:35, 55:65].max(axis=2).min() > 200
    outside = image[60:, :40]
    assert np.ptp(outside, axis=2).max() <= 4 and outside.mean() == pytest.approx(0.45 * 120, abs=3)


def write_log(workspace, lines) -> None:
    (workspace.checkpoints / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_gap_between_training_and_validation_frames_is_shown(workspace, tmp_path):
    old = Page(write_report(workspace, tmp_path / "report.html").read_text("utf-8"))
    assert "a few validation frames" in old.text and "overfitting" not in old.text
    lines = [{"step": 1, "minutes": 0.5, "psnr_head": 25.0}]
    lines += [{"step": n, "minutes": n, "psnr_validation": 30.0, "psnr_train": 31.25 + n} for n in (1, 2)]
    lines += [{"step": 3, "minutes": 3, "psnr_validation": 30.5, "psnr_train": None}, {"step": 4, "minutes": 4}, 5]
    write_log(workspace, lines)
    page = Page(write_report(workspace, tmp_path / "report.html").read_text("utf-8"))
    assert "training frames" in page.text
    assert "overfitting: 3.2 dB at the end" in page.text
    log = training.training_log(workspace)
    assert [line["minutes"] for line in log] == [0.5, 1, 2, 3]
    assert [line["validation"] for line in log] == [25, 30, 30, 30.5]
    assert log[1]["trained"] == 32.25 and np.isnan([log[0]["trained"], log[3]["trained"]]).all()


def test_two_videos_have_a_report_of_their_own(evaluation, tmp_path):
    out = write_comparison(tmp_path / "their <video>.mp4", tmp_path / "clip.mp4", tmp_path / "out.html", evaluation)
    text = out.read_text("utf-8")
    page = Page(text)
    assert page.open == []
    for words in ("their <video>.mp4", "clip.mp4", "What was compared", "MS-SSIM", "Where the errors are"):
        assert words in page.text
    for words in ("held-out", "Held-out", "Tracking", "permission", SYNTHETIC_MARK):
        assert words not in page.text
    assert "their <video>" not in text


def test_texts_are_shown_never_run(workspace, tmp_path):
    workspace.subject.stages["media"] = {"state": "done", "key": "", "warnings": ["<script>alert(1)</script>"]}
    text = write_report(workspace, tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in text
    assert "Speaker <b>" not in text
    assert "Speaker &lt;b&gt;one" in text
    assert "speaker &amp; co.mp4" in text


def test_parts_without_input_are_left_out(tmp_path):
    workspace = Workspace(tmp_path / "ws", Subject(name="bare", source="a.mp4", frames=10, size=64))
    page = Page(write_report(workspace, tmp_path / "report.html").read_text("utf-8"))
    for words in ("Held-out", "New speech", "Training", "Tracking"):
        assert words not in page.text
    assert "No permission of the person shown is recorded" in page.text


def test_frames_that_were_not_tracked_are_reported(workspace, tmp_path):
    page = Page(write_report(workspace, tmp_path / "report.html").read_text("utf-8"))
    assert (
        "In 10 of 110 frames no face was tracked, first in frame 40 (1.6 s): they are left out of training."
        in page.text
    )


def test_a_video_gives_the_moments_a_report_shows(tmp_path):
    time_s = np.arange(4 * 16000) / 16000
    audio = np.where(time_s > 2.0, 0.4, 0.02) * np.sin(2 * np.pi * 200 * time_s)
    with VideoWriter(tmp_path / "a.mp4", 64, 64, audio=(audio, 16000)) as video:
        for index in range(100):
            video.write(np.full((64, 64, 3), 2 * index, np.uint8))
    speech = Speech.of_video(tmp_path / "a.mp4")
    assert set(speech.images) == set(speech.wanted_frames())
    assert len(speech.spread_frames()) == SPREAD
    assert all(abs(float(image.mean()) - 2 * frame) < 3 for frame, image in speech.images.items())
    close = speech.close_frames()
    assert len(close) == CLOSE
    assert set(np.diff(close)) == {2}
    assert close[0] >= 49, "where most is logged"


def test_the_mouth_is_shown_close(workspace, images, tmp_path):
    audio = np.random.default_rng(0).normal(0, 0.1, 16000 * 3).astype(np.float32)
    speech = Speech("words", audio)
    speech.images = {frame: images[frame % len(images)] for frame in speech.wanted_frames()}
    found = portraits(speech.images)
    assert set(found) == set(speech.images)
    assert {(portrait.head.shape, portrait.mouth.shape) for portrait in found.values()} == {
        ((200, 200, 3), (104, 160, 3))
    }
    page = Page(write_report(workspace, tmp_path / "report.html", speeches=[speech]).read_text("utf-8"))
    assert page.images == 2 * SPREAD + CLOSE


def test_a_short_audio_has_fewer_moments():
    speech = Speech("short", np.zeros(1600, np.float32))
    assert speech.spread_frames() == [0, 1]
    assert set(speech.close_frames()) <= {0, 1}
    assert portraits({}) == {}
