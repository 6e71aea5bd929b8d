"""uv, which makes the environments and fills them: pip fetches its pinned wheel into a folder beside them.

uv reads none of pip's settings. They are passed on, as a machine may have torch in a local folder, or reach only its
company's index.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from . import disk, environment, folder_lock, locks
from .errors import DiskError, InstallError, NetworkError, PackageError, PythonError
from .failures import failure
from .process import Run, call, child_environment
from .progress import IsCancelled, Progress

FOLDER = "synctalk-uv"
"""Beside the environments that it makes."""

_ANY_PYTHON = (3, 11)
"""uv's wheels are the same for each."""

_MIB = 1 << 20
_UNPACKED = 3
"""Bytes on disk for a byte of a wheel that is being unpacked while it arrives."""

_MEASURE_EVERY_S = 0.5

_STARTED = re.compile(r"Downloading (\S+) \(([\d.]+)([KMG])iB\)")
_ENDED = re.compile(r"\s*Downloaded (\S+)")


def executable(root: Path) -> Path:
    """uv itself, for the environments in `root`, there or not."""
    return environment.python_of(root / FOLDER).with_name("uv.exe" if sys.platform == "win32" else "uv")


def lock() -> locks.Lock:
    """uv's own pin."""
    return locks.read("uv", _ANY_PYTHON)


def is_there(root: Path) -> bool:
    """Whether `root` has the uv that this version needs."""
    folder = root / FOLDER
    current = environment.read_marker(folder).get("uv") == lock().sha256
    return current and executable(root).exists() and environment.python_runs(folder)


def fetch(
    root: Path, base: Path, cancelled: IsCancelled | None = None, inherited: Sequence[int] = ()
) -> Iterator[Progress]:
    """Put uv into `root`, with the pip of a virtual environment made by the Python `base`.

    Raises:
        PythonError: `base` cannot make virtual environments.
        NetworkError, DiskError, PackageError, BusyError, Cancelled
    """
    if is_there(root):
        return
    folder = root / FOLDER
    with folder_lock.held(root / f".{FOLDER}.lock", wait_s=60):
        if is_there(root):  # another installation has fetched it meanwhile
            return
        yield Progress("prepare", "fetching uv, which installs the packages")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        environment.write_marker(folder, {"complete": False})
        log = folder / environment.LOG
        run = Run([base, "-I", "-X", "utf8", "-m", "venv", folder], cancelled=cancelled, inherited=inherited, log=log)
        if run.finish():
            raise _environment_error(base, folder, run.tail, "".join(run.tail[-1:]) or "no output")
        command = _pip(folder)
        command += ["install", "--no-input", "--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"]
        command += ["--progress-bar", "off", "--no-color", "--retries", "2", "--no-warn-script-location"]
        command += ["-r", locks.path_of("uv")]
        quiet = child_environment({"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        run = Run(command, cancelled=cancelled, inherited=inherited, log=log, environment=quiet)
        if run.finish():
            raise failure(run.tail, log)
        environment.write_marker(folder, {"complete": True, "uv": lock().sha256})


def _environment_error(base: Path, folder: Path, printed: Sequence[str], reason: str) -> InstallError:
    error = failure(printed, folder / environment.LOG)
    if isinstance(error, DiskError):
        return error
    return PythonError(
        f"{base} could not make a virtual environment in {folder} ({reason}): choose another Python or folder."
    )


def _pip(folder: Path) -> list[str | Path]:
    return [environment.python_of(folder), "-I", "-X", "utf8", "-m", "pip"]


def pip_settings(folder: Path) -> dict[str, str]:
    """pip's settings by name ("index-url", "find-links"), from its files and PIP_ variables as pip merges them."""
    done = call([*_pip(folder), "config", "list"], capture_output=True)
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        with suppress(ValueError, SyntaxError):
            sections.setdefault(section, {})[key] = str(ast.literal_eval(value))
    return {**sections["global"], **sections["install"], **sections[":env:"]}


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """uv's environment: its own defaults, with pip's `settings` in its words."""
    timeout = settings.get("timeout", settings.get("default-timeout", ""))
    # pip's HTTP library reads these variables, in this order, where pip itself is given no certificates.
    certificates = settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE", "")
    handed_on = {
        "UV_DEFAULT_INDEX": settings.get("index-url", ""),
        "UV_INDEX": " ".join(settings.get("extra-index-url", "").split()),
        "UV_INSECURE_HOST": " ".join(settings.get("trusted-host", "").split()),
        "UV_NO_CACHE": "1" if _is_true(settings.get("no-cache-dir")) else "",
        "UV_HTTP_TIMEOUT": timeout.partition(".")[0],
        "SSL_CERT_DIR" if Path(certificates).is_dir() else "SSL_CERT_FILE": certificates,
        "SSL_CLIENT_CERT": settings.get("client-cert", ""),
        "HTTPS_PROXY": settings.get("proxy", ""),
        "HTTP_PROXY": settings.get("proxy", ""),
        "UV_KEYRING_PROVIDER": "subprocess" if settings.get("keyring-provider", "disabled") != "disabled" else "",
    }
    own = {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    # As pip: a version may be in any of the indexes, and the system's certificates count.
    own["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if sys.platform != "linux" or Path("/etc/pki/tls/certs").is_dir() or any(Path("/etc/ssl/certs").glob("*")):
        own["UV_SYSTEM_CERTS"] = "1"
    return child_environment({**own, **{name: value for name, value in handed_on.items() if value}})


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in ("1", "true", "yes", "on", "y", "t")


class Download:
    """How far an installation is, by what uv prints and what is in its cache.

    Attributes:
        current: the largest package that is being downloaded.
        bytes_done: downloaded so far; it never falls.
        installing: whether packages are being put in place.
    """

    def __init__(self, cache: Path) -> None:
        self.current, self.bytes_done, self.installing = "", 0, False
        self._cache = cache
        self._sizes: dict[str, float] = {}  # of what is being downloaded
        self._finished, self._arriving, self._measured = 0.0, 0.0, 0.0

    def update(self, line: str) -> None:
        """Take in a line of uv's, or an empty one while it prints nothing."""
        if started := _STARTED.match(line):
            self._sizes[started[1]] = float(started[2]) * _MIB * {"K": 1 / 1024, "M": 1, "G": 1024}[started[3]]
        elif ended := _ENDED.match(line):
            self._finished += self._sizes.pop(ended[1], 0)
        elif line.startswith(("Prepared", "Uninstalled", "Installed", "Checked")):
            self.installing = True
        self.current = max(self._sizes, key=self._sizes.__getitem__, default=self.current)
        if time.monotonic() - self._measured > _MEASURE_EVERY_S:
            self._arriving = sum(map(disk.size_of, self._cache.glob(".tmp*"))) / _UNPACKED
            self._measured = time.monotonic()
        arriving = min(self._arriving, sum(self._sizes.values()))
        self.bytes_done = max(self.bytes_done, int(self._finished + arriving))


class Uv:
    """uv for one environment, with pip's settings.

    Args:
        folder: the environment; uv is beside it.
        cancelled, inherited: as for `Run`.

    Attributes:
        cache: the folder that it unpacks downloads into.
    """

    def __init__(self, folder: Path, cancelled: IsCancelled | None = None, inherited: Sequence[int] = ()) -> None:
        root = folder.parent
        self._folder = folder
        self._executable = executable(root)
        self._settings = pip_settings(root / FOLDER)
        self._environment = variables(self._settings)
        self._cancelled, self._inherited = cancelled, inherited
        done = call([self._executable, "cache", "dir"], self._environment, capture_output=True)
        self.cache = Path(done.stdout.strip())

    def make_environment(self, base: Path) -> None:
        """`uv venv`; files that are there stay.

        Raises:
            PythonError, DiskError, Cancelled
        """
        run = self._run("venv", "--quiet", "--no-project", "--allow-existing", "--python", base, self._folder)
        if run.finish():
            raise _environment_error(base, self._folder, run.tail, " ".join(run.tail[:2]))

    def install(self, *arguments: str, host: str = "the package index") -> Iterator[Download]:
        """`uv pip install ARGUMENTS`, from its cache alone if all is there; wheels only.

        Raises:
            NetworkError, DiskError, PackageError, Cancelled
        """
        if not (self.no_index or "--no-index" in arguments):
            try:
                yield from self._install("--offline", *arguments, host=host)
            except (NetworkError, PackageError):
                pass
            else:
                return
        yield from self._install(*arguments, host=host)

    @property
    def no_index(self) -> bool:
        """Whether pip is configured to use local folders alone."""
        return _is_true(self._settings.get("no-index"))

    def _install(self, *arguments: str, host: str) -> Iterator[Download]:
        links = [link for link in self._settings.get("find-links", "").split() if "://" in link or Path(link).exists()]
        given = [*arguments, *(part for link in links for part in ("--find-links", link))]
        given += ["--no-index"] if self.no_index else []
        run = self._run(
            "pip", "install", "--python", environment.python_of(self._folder), "--only-binary", ":all:", *given
        )
        shown = Download(self.cache)
        for line in run:
            shown.update(line or "")
            yield shown
        if run.status:
            raise failure(run.tail, self._folder / environment.LOG, host, self.cache)

    def _run(self, *arguments: str | Path) -> Run:
        return Run(
            [self._executable, *arguments],
            cancelled=self._cancelled,
            environment=self._environment,
            inherited=self._inherited,
            log=self._folder / environment.LOG,
        )
