"""The process that reads media may die, hang or raise: the one that waits for it continues and reports what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backend.errors import AudioError, Cancelled, MediaError, SyncTalkError
from backend.media.audio import write_wav
from backend.media.guard import guarded, guarded_items
from backend.progress import Reporter

READERS = """
import os, time
from pathlib import Path
from backend.errors import AudioError
from backend.media.read_position import reading
from backend.media.source import decoded, open_media
from backend.media.timeline import timeline_of
import numpy as np
from backend.workspace.files import atomic_path

def work(a, b, reporter):
    print("a line that a library prints")
    os.write(1, b"and one of C\\n")
    reporter.progress("reading", 1, 2, "frames", "half")
    reporter.warning("mind this")
    reporter.info("and this")
    reporter.preview("/a/image.png")
    reporter.progress("reading", 2, 2)
    return a + b

def refuse(path):
    raise AudioError(f"{path} is silent.")

def full(path):
    raise OSError(28, "No space left on device", str(path))

def until(path, end_s, how):
    with open_media(path) as container:
        stream = container.streams.audio[0]
        for frame in decoded(container, stream, timeline_of(path).tracks[stream.index]):
            if frame.time > end_s:
                how = {"abort": os.abort, "exit": lambda: os._exit(3)}[how]
                how()

def raw(path):
    reading(str(path), 2.5)
    raise OverflowError("Python int too large\\nto convert")

def hang(note, folder, reporter):
    with atomic_path(folder / "half.bin") as temporary:
        temporary.write_bytes(b"half")
        note.write_text(str(os.getpid()))
        time.sleep(600)

def slow(note, reporter):
    note.write_text(str(os.getpid()))
    while True:
        reporter.progress("reading", 1, 2)
        time.sleep(0.01)

def stuck(note):
    note.write_text(str(os.getpid()))
    time.sleep(600)
    yield 1

def count(note, end):
    note.write_text(str(os.getpid()))
    for number in range(end):
        yield number

def arrays():
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    for _ in range(2):
        yield image, image[:, ::2], "beside"
"""


@pytest.fixture
def readers(tmp_path, monkeypatch):
    (tmp_path / "odd_readers.py").write_text(READERS)
    monkeypatch.syspath_prepend(tmp_path)
    import odd_readers

    yield odd_readers
    del sys.modules["odd_readers"]


@pytest.fixture
def audio(tmp_path):
    write_wav(tmp_path / "odd:take.wav", [np.zeros(16000 * 10, np.float32)])
    return tmp_path / "odd:take.wav"


def is_running(pid: int) -> bool:
    if os.name == "nt":  # where os.kill with 0 is a signal like any other
        return str(pid) in subprocess.check_output(["tasklist", "/FI", f"PID eq {pid}"], text=True)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_result_progress_and_words_pass_and_prints_do_not_come_between(readers):
    seen, logged, images = [], [], []
    reporter = Reporter(seen.append, lambda *line: logged.append(line), images.append)
    assert guarded(readers.work, np.arange(3), 4, reporter=reporter).tolist() == [4, 5, 6]
    assert [(event.stage, event.done, event.message) for event in seen] == [("reading", 1, "half"), ("reading", 2, "")]
    assert logged == [("warning", "mind this"), ("info", "and this")]
    assert reporter.warnings == ["mind this"]
    assert images == ["/a/image.png"]


def test_our_errors_and_those_of_the_disk_keep_their_kind(readers, tmp_path):
    with pytest.raises(AudioError, match=r"a\.mp4 is silent\.$"):
        guarded(readers.refuse, tmp_path / "a.mp4")
    with pytest.raises(OSError, match="No space left") as caught:
        guarded(readers.full, tmp_path / "a.mp4")
    assert caught.value.errno == 28


@pytest.mark.parametrize(("how", "reported"), [("abort", "SIGABRT"), ("exit", "exit status 3")])
def test_a_death_names_the_file_the_time_and_the_way_out(readers, audio, how, reported):
    with pytest.raises(MediaError) as caught:
        guarded(readers.until, audio, 6.0, how)
    if os.name != "nt":
        assert reported in str(caught.value)
    assert f"{audio} cannot be read near 6." in str(caught.value)
    assert "convert it to H.264 and AAC in an MP4 file" in str(caught.value)


def test_a_raw_exception_is_one_sentence(readers, audio):
    with pytest.raises(MediaError) as caught:
        guarded(readers.raw, audio)
    assert str(caught.value) == (
        f"{audio} cannot be read near 2.5 s (OverflowError: Python int too large to convert): convert it to H.264 and "
        "AAC in an MP4 file."
    )
    assert "in raw" in str(caught.value.__cause__), "--debug shows where it was raised"


def test_a_reader_that_hangs_is_ended_when_cancelled_and_leaves_no_half_file(readers, tmp_path, monkeypatch):
    monkeypatch.setattr("backend.media.guard.CANCEL_GRACE_S", 0.3)
    note, folder = tmp_path / "pid", tmp_path / "workspace"
    with pytest.raises(Cancelled):
        guarded(readers.hang, note, folder, reporter=Reporter(cancelled=note.exists), folders=(folder,))
    assert not is_running(int(note.read_text()))
    assert list(folder.iterdir()) == []


def test_a_reader_at_work_stops_where_its_files_are_whole(readers, tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(Cancelled, match="run the same command again"):
        guarded(readers.slow, note, reporter=Reporter(cancelled=note.exists))
    assert not is_running(int(note.read_text()))


def test_items_pass_one_by_one_and_an_early_end_ends_the_reader(readers, tmp_path, monkeypatch):
    monkeypatch.setattr("backend.media.guard.CANCEL_GRACE_S", 0.3)
    note = tmp_path / "pid"
    assert list(guarded_items(readers.count, note, 20)) == list(range(20))
    items = guarded_items(readers.count, note, 10**9)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert not is_running(int(note.read_text()))
    note.unlink()
    with pytest.raises(Cancelled):
        for _ in guarded_items(readers.stuck, note, reporter=Reporter(cancelled=note.exists)):
            pass
    assert not is_running(int(note.read_text()))


def test_arrays_pass_as_memory_of_their_own(readers):
    first, second = guarded_items(readers.arrays)
    for image, part, beside in (first, second):
        assert image.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
        assert part.tolist() == [[0, 2], [4, 6], [8, 10]]
        assert beside == "beside"
        image[:] = part[:] = 0  # the others stay as they are


def test_a_function_that_cannot_be_imported_is_no_fault_of_the_file(readers, monkeypatch):
    monkeypatch.setattr(readers.refuse, "__module__", "no_such_module")
    with pytest.raises(SyncTalkError, match="could not start .*: install the backend again"):
        guarded(readers.refuse, Path("a.mp4"))


def test_a_reader_starts_without_the_heavy_packages(root):
    script = "import sys, backend.media.stage, backend.evaluation.speech_video; print({'torch', 'mediapipe', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], cwd=root, text=True).strip() == "set()"


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX's")
def test_a_killed_parent_leaves_no_orphan(readers, tmp_path, root):
    note = tmp_path / "pid"
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from pathlib import Path; import odd_readers;"
        "from backend.media.guard import guarded; from backend.progress import Reporter;"
        f"guarded(odd_readers.hang, Path({str(note)!r}), Path({str(tmp_path)!r}), reporter=Reporter())"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(root), str(tmp_path)])
    wait_until(lambda: note.exists() and note.read_text())
    assert is_running(int(note.read_text()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_running(int(note.read_text())))
