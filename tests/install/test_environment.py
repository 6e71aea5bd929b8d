"""An environment counts as complete only when it is, whatever ended an installation before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from install import backend_environment, environment, errors, failures, folder_lock, process, uv
from install.environment import EnvironmentSpec
from install.installation import installed_packages

from .conftest import make_wheel, put_uv, site_packages, write_lock

pytestmark = pytest.mark.long

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def make(spec: EnvironmentSpec, **kwargs) -> list:
    return list(environment.install(spec, **kwargs))


def version_of(spec: EnvironmentSpec, package: str) -> str:
    command = [environment.python_of(spec.folder), "-I", "-c", f"import {package}; print({package}.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def start_installation(spec: EnvironmentSpec, root: Path) -> subprocess.Popen:
    """The installation in a process of its own, as a user's terminal runs it."""
    script = textwrap.dedent(f"""
        from pathlib import Path
        from install import environment
        spec = environment.EnvironmentSpec(
            folder=Path({str(spec.folder)!r}), lock="tiny", versions={tuple(spec.versions)!r},
            python=Path({sys.executable!r}), locks_folder=Path({str(spec.locks_folder)!r}))
        for event in environment.install(spec):
            print(event.state, event.message, flush=True)
    """)
    return subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_absent_then_ready_and_a_second_run_starts_no_process(spec, wheels, monkeypatch):
    write_lock(spec, make_wheel(wheels, "alpha"), make_wheel(wheels, "beta"))
    assert environment.state(spec) == "absent"

    events = make(spec)

    assert environment.state(spec) == "ready"
    assert events[-1].state == "ready"
    assert version_of(spec, "alpha") == "1.0"
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0

    def no_process(*args, **kwargs):
        raise AssertionError("a ready environment needs no child process")

    monkeypatch.setattr(subprocess, "Popen", no_process)
    assert [event.state for event in make(spec)] == ["ready"]


@posix_only
@pytest.mark.parametrize("moment", ["venv", "installing"])
def test_a_killed_installation_is_incomplete_and_the_next_one_finishes_it(spec, wheels, root, moment):
    # Thousands of small files, so that putting them in place takes long enough to be killed in the middle of it.
    made = [make_wheel(wheels, name, files=2000) for name in ("alpha", "beta", "gamma")]
    write_lock(spec, *made)
    reached = {
        "venv": lambda: (spec.folder / environment.MARKER).exists(),
        "installing": lambda: any(spec.folder.glob("lib/*/site-packages/beta/module_5.py")),
    }[moment]
    child = start_installation(spec, root)
    try:
        wait_until(reached)
    finally:
        child.kill()
        child.wait()

    assert environment.state(spec) == "incomplete"
    # An orphaned child keeps the lock, and on a busy machine for longer than the next one waits.
    wait_until(lambda: not processes_in(spec.folder), 120)
    make(spec)
    assert environment.state(spec) == "ready"
    for name in ("alpha", "beta", "gamma"):
        assert version_of(spec, name) == "1.0"
        assert len(list((site_packages(spec) / name).glob("module_*.py"))) == 1999


def test_a_half_written_package_is_installed_again(begun, wheels):
    spec = begun
    write_lock(spec, make_wheel(wheels, "alpha", files=3))
    make(spec)
    # What a kill between two files leaves: metadata, but no RECORD, and modules missing.
    (site_packages(spec) / "alpha-1.0.dist-info/RECORD").unlink()
    (site_packages(spec) / "alpha/module_2.py").unlink()
    (spec.folder / environment.MARKER).write_text('{"complete": false}')
    assert environment.state(spec) == "incomplete"

    make(spec)

    assert (site_packages(spec) / "alpha/module_2.py").exists()


def test_an_environment_without_a_marker_is_incomplete(ready):
    spec = ready
    (spec.folder / environment.MARKER).unlink()
    assert environment.state(spec) == "incomplete"
    (spec.folder / environment.MARKER).write_text("{")  # cut off by a power failure
    assert environment.state(spec) == "incomplete"


@pytest.mark.parametrize("name", ["notes.txt", "pyvenv.cfg"])
def test_a_folder_with_files_of_somebody_else_is_left_as_it_is(spec, wheels, name):
    write_lock(spec, make_wheel(wheels, "alpha"))
    spec.folder.mkdir(parents=True)
    (spec.folder / name).write_text("mine")
    with pytest.raises(
        errors.DiskError, match=rf"holds files that are not SyncTalk's \({name}\): choose another folder"
    ):
        make(spec)
    assert [path.name for path in spec.folder.iterdir()] == [name]
    assert (spec.folder / name).read_text() == "mine"


def test_an_environment_whose_python_is_gone_is_incomplete(ready):
    spec = ready
    configuration = spec.folder / "pyvenv.cfg"
    lines = configuration.read_text().splitlines()
    gone = [line if not line.startswith("home") else f"home = {spec.folder / 'gone'}" for line in lines]
    configuration.write_text("\n".join(gone))
    assert environment.state(spec) == "incomplete"


def test_a_changed_lock_makes_it_outdated_and_updates_it(ready, wheels):
    spec = ready
    write_lock(spec, make_wheel(wheels, "alpha", "2.0"))
    assert environment.state(spec) == "outdated"

    make(spec)

    assert environment.state(spec) == "ready"
    assert version_of(spec, "alpha") == "2.0"


@posix_only
def test_an_interrupted_update_is_made_again(ready, wheels, root):
    spec = ready
    (site_packages(spec) / "left_over.py").write_text("")
    write_lock(spec, make_wheel(wheels, "alpha", "2.0", files=2500))
    child = start_installation(spec, root)
    try:
        wait_until(lambda: (site_packages(spec) / "alpha/module_2400.py").exists())
    finally:
        child.kill()
        child.wait()
    assert environment.state(spec) == "incomplete"

    make(spec)

    assert version_of(spec, "alpha") == "2.0"
    # Old and new files of a package may be mixed after such an end: nothing of the old environment is kept.
    assert not (site_packages(spec) / "left_over.py").exists()


def test_an_update_that_fails_for_want_of_a_network_keeps_what_is_there(ready, wheels):
    spec = ready
    (site_packages(spec) / "kept.py").write_text("")
    newer = make_wheel(wheels, "alpha", "2.0")
    write_lock(spec, newer)
    newer.rename(wheels / "away")
    with pytest.raises(errors.PackageError):
        make(spec)
    assert environment.state(spec) == "incomplete"
    (wheels / "away").rename(newer)

    make(spec)

    assert version_of(spec, "alpha") == "2.0"
    assert (site_packages(spec) / "kept.py").exists()


@posix_only
def test_cancelling_stops_uv_and_leaves_it_incomplete(begun, wheels):
    spec = begun
    write_lock(spec, *[make_wheel(wheels, name, files=3000) for name in ("alpha", "beta", "gamma")])

    def cancelled() -> bool:
        return any(spec.folder.glob("lib/*/site-packages/alpha"))

    with pytest.raises(errors.Cancelled, match="next run resumes"):
        make(spec, cancelled=cancelled)
    assert environment.state(spec) == "incomplete"
    wait_until(lambda: not processes_in(spec.folder), 2)


@posix_only
def test_closing_the_generator_stops_the_child_processes(begun, wheels):
    spec = begun
    write_lock(spec, make_wheel(wheels, "alpha", files=3000))
    events = environment.install(spec)
    while next(events).state != "download":
        pass
    events.close()
    assert environment.state(spec) == "incomplete"
    wait_until(lambda: not processes_in(spec.folder), 2)


def processes_in(folder: Path) -> list[str]:
    if not Path("/proc").is_dir():
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@posix_only
def test_ctrl_c_says_that_the_next_run_resumes(root):
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from install import cli\n"
         "cli._remove = lambda options: (print('ready', flush=True), time.sleep(60))\n"
         "sys.exit(cli.main(['remove']))"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, printed = child.communicate(timeout=20)
    assert child.returncode == 130
    assert printed.strip() == "Stopped. Run the same command to continue."


def test_two_installations_into_one_folder_do_not_meet(begun, monkeypatch):
    spec = begun
    original = folder_lock.held
    monkeypatch.setattr(folder_lock, "held", lambda path: original(path, wait_s=0.3))
    with original(spec.folder.parent / ".tiny.lock"), pytest.raises(errors.BusyError, match="Another installation"):
        make(spec)
    make(spec)


# -- failures, each a sentence -----------------------------------------------------------------------------------------


def test_a_package_that_is_not_offered_is_named(begun, wheels):
    spec = begun
    make_wheel(wheels, "alpha").unlink()
    with pytest.raises(
        errors.PackageError, match=r"has no alpha==1\.0 for this Python .*PIP_NO_INDEX.*run the same command"
    ):
        make(spec)
    assert environment.state(spec) == "incomplete"


def test_a_wheel_with_another_checksum_is_refused(begun, wheels):
    spec = begun
    make_wheel(wheels, "alpha", payload=10)
    with pytest.raises(errors.PackageError, match=r"checksum of alpha==1\.0.* does not match"):
        make(spec)


def test_a_damaged_wheel_is_a_sentence_with_the_log(begun, wheels):
    spec = begun
    made = make_wheel(wheels, "alpha")
    made.write_bytes(made.read_bytes()[:200])
    write_lock(spec, made)
    with pytest.raises(errors.PackageError, match=r"alpha.*install\.log"):
        make(spec)
    assert "alpha" in (spec.folder / environment.LOG).read_text()


def test_no_network_says_so(begun, wheels, monkeypatch):
    spec = begun
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels / "none"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(errors.NetworkError, match="The package index cannot be reached: check the network"):
        make(spec)
    assert environment.state(spec) == "incomplete"


def test_too_little_space_is_reported_before_anything_is_installed(spec, wheels):
    write_lock(spec, make_wheel(wheels, "alpha"), size=10**15)
    with pytest.raises(errors.DiskError, match=r"has .* free and the installation needs .*: free some space or choose"):
        make(spec)
    assert environment.state(spec) == "absent"


def test_the_disk_of_uvs_cache_is_checked_where_it_is_another_one(spec, wheels, small_disk, monkeypatch):
    monkeypatch.delenv("PIP_NO_CACHE_DIR")
    monkeypatch.setenv("UV_CACHE_DIR", str(small_disk / "cache"))
    write_lock(spec, make_wheel(wheels, "alpha"), size=20_000_000)
    with pytest.raises(errors.DiskError, match=r"The disk of .*small/cache has 4\d MB free .* 62 MB: .*UV_CACHE_DIR"):
        make(spec)
    assert environment.state(spec) == "absent"
    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    make(spec)
    assert environment.state(spec) == "ready"


@pytest.fixture
def small_disk(tmp_path, uv_folder):
    """A file system of 40 MB, as only root can mount one."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root on Linux can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    put_uv(folder, uv_folder)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_becomes_full_is_a_sentence_and_finished_later(spec, wheels, small_disk):
    write_lock(
        spec, make_wheel(wheels, "alpha", payload=60_000_000), size=1
    )  # the lock's size is off, the check passes
    tight = replace(spec, folder=small_disk / "tiny")
    with pytest.raises(
        errors.DiskError, match=r"The disk became full in .*tiny: free some space and run the same command"
    ):
        make(tight)
    assert environment.state(tight) == "incomplete"
    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    make(tight)
    assert environment.state(tight) == "ready"


def test_a_read_only_folder_is_a_sentence(spec, wheels, small_disk):
    write_lock(spec, make_wheel(wheels, "alpha"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(errors.DiskError, match="cannot be written to: choose another folder or change its permissions"):
        make(replace(spec, folder=small_disk / "tiny"))


def test_remove_deletes_only_what_install_made(ready):
    spec = ready
    foreign = spec.folder.parent / "foreign"
    foreign.mkdir()
    (foreign / "pyvenv.cfg").write_text("home = /usr/bin")

    environment.remove(spec.folder)
    environment.remove(foreign)

    assert environment.state(spec) == "absent"
    assert not spec.folder.exists()
    assert foreign.is_dir()


def test_children_get_no_variables_of_another_python(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("PIP_TARGET", "/anywhere")
    environment_of_child = process.child_environment()
    assert not {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET"} & environment_of_child.keys()
    assert environment_of_child["PIP_USER"] == "0"


FAILURES = [
    ("error: failed to write `a`: No space left on device (os error 28)", "disk", "full"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk", "full"),
    ("  cause: There is not enough space on the disk. (os error 112)", "disk", "full"),
    ("error: failed to create directory `/x`: Permission denied (os error 13)", "disk", "written"),
    ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'", "disk", "written"),
    ("error: Request failed after 3 retries\n  cause: error sending request for url (...)", "network", "reached"),
    ("  cause: invalid peer certificate: UnknownIssuer", "network", "reached"),
    ("WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError(...)'", "network", "reached"),
    (
        "  cause: Because there is no version of numba==9 and you require numba==9, we can conclude",
        "package",
        "numba==9",
    ),
    (
        "ERROR: No matching distribution found for numba==9 \nsatisfies the requirement numba==9 (",
        "package",
        "numba==9",
    ),
    (
        "error: Failed to download `a==1`\n  cause: Hash mismatch for `a==1`",
        "package",
        "checksum of a==1 does not match",
    ),
    ("error: Wheel 'x' located at y is invalid.", "package", "Wheel 'x' located at y is invalid"),
    ("error: Failed to install: a-1.whl (a==1)\n  cause: something new", "install", "a-1.whl (a==1): something new"),
    ("Killed", "package", "uv failed"),
    ("error: failed to remove file `c.dll`: Access is denied. (os error 5)", "disk", "in use"),
    ("ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied: 'c.dll'", "disk", "in use"),
    ("error: failed to rename `c.dll`: The process cannot access the file (os error 32)", "disk", "other Blender"),
]


@pytest.mark.parametrize(("printed", "kind", "words"), FAILURES)
def test_what_uv_and_pip_print_becomes_one_sentence(printed, kind, words, tmp_path):
    error = failures.failure(printed.splitlines(), tmp_path / "install.log")
    assert error.kind == kind
    assert words in str(error)
    assert "\n" not in str(error)


# -- the last step -----------------------------------------------------------------------------------------------------

COUNTS = """
import pathlib, time
for number in (1, 2, 3):
    print(f"{number} of 3: part {number}", flush=True)
    place = pathlib.Path(f"part{number}")
    if not place.exists():
        time.sleep(PAUSE)
        place.write_text("")
"""


def with_last_step(spec: EnvironmentSpec, folder: Path, code: str) -> EnvironmentSpec:
    return replace(spec, last_step=("-c", code), last_step_parts=3, last_step_folder=folder)


def test_the_last_step_is_followed_part_by_part_and_is_part_of_being_ready(begun, wheels, tmp_path):
    spec = with_last_step(begun, tmp_path, COUNTS.replace("PAUSE", "0"))
    write_lock(spec, make_wheel(wheels, "alpha"))

    events = make(spec)

    compiled = [(event.message, event.done) for event in events if event.state == "compile"]
    assert compiled == [(f"compiling kernels: part {n}", n) for n in (1, 2, 3)]
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions) and events[-1].state == "ready"
    assert environment.state(spec) == "ready"
    assert all((tmp_path / f"part{n}").exists() for n in (1, 2, 3))


@posix_only
def test_a_cancelled_last_step_is_resumed_without_network(begun, wheels, tmp_path, monkeypatch):
    spec = with_last_step(begun, tmp_path, COUNTS.replace("PAUSE", "1"))
    write_lock(spec, make_wheel(wheels, "alpha"))
    with pytest.raises(errors.Cancelled, match="next run resumes"):
        make(spec, cancelled=(tmp_path / "part1").exists)
    assert environment.state(spec) == "incomplete" and not (tmp_path / "part3").exists()
    assert not environment.needs_packages(spec)

    def no_uv(*args, **kwargs):
        raise AssertionError("nothing is left to download")

    monkeypatch.setattr(uv.Uv, "install", no_uv)
    make(spec)

    assert environment.state(spec) == "ready" and (tmp_path / "part3").exists()


def test_a_changed_lock_is_installed_before_the_last_step_is_resumed(begun, wheels, tmp_path):
    spec = with_last_step(begun, tmp_path, COUNTS.replace("PAUSE", "0"))
    write_lock(spec, make_wheel(wheels, "alpha"))
    make(spec)
    marker = json.loads((spec.folder / environment.MARKER).read_text())
    environment.write_marker(spec.folder, {**marker, "complete": False, "packages": True})
    assert environment.state(spec) == "incomplete" and not environment.needs_packages(spec)
    write_lock(spec, make_wheel(wheels, "alpha", "2.0"))
    assert environment.needs_packages(spec)

    make(spec)

    assert version_of(spec, "alpha") == "2.0"


def test_a_last_step_that_fails_leaves_a_ready_environment_and_says_so(begun, wheels, tmp_path):
    spec = with_last_step(begun, tmp_path, "import sys; print('1 of 3: one'); sys.exit('no memory for it')")
    write_lock(spec, make_wheel(wheels, "alpha"))
    events = make(spec)
    assert "could not be compiled now" in events[-2].message and "install.log" in events[-2].message
    assert environment.state(spec) == "ready"
    assert "no memory for it" in (spec.folder / environment.LOG).read_text()


def test_the_backends_last_step_compiles_the_kernels(root):
    spec = backend_environment.spec(Path(), "cpu")
    assert spec.last_step_folder == root
    parts = (root / "backend/renderer/precompile.py").read_text("utf-8")
    assert spec.last_step[-1] == "backend.renderer.precompile" and f"PARTS = {spec.last_step_parts}\n" in parts


def test_packages_are_counted_while_their_folders_come_and_go(tmp_path):
    """uv puts packages in place and takes others away as its progress is shown."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "kept-1.0.dist-info").mkdir(parents=True)
    going, stop = [site / f"package{number}" / "inner" for number in range(20)], threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for folder in going:
                folder.mkdir(parents=True)
            for folder in going:
                shutil.rmtree(folder.parent)

    worker = threading.Thread(target=come_and_go)
    worker.start()
    try:
        assert {installed_packages(tmp_path) for _ in range(300)} == {1}
    finally:
        stop.set()
        worker.join()
