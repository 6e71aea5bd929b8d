"""One run of pip in an environment: its progress, and its failures in a sentence each."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import DiskError, InstallError, NetworkError, PackageError
from .locks import normalised
from .process import child_environment, lines
from .progress import IsCancelled

_COLLECTING = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)")
_PROCESSING = re.compile(r"^Processing .*?([A-Za-z0-9._]+)-[^-\\/]+(?:-[^-\\/]+){3}\.whl")  # a wheel in a local folder
_NO_VERSION = re.compile(r"satisfies the requirement ([^\s(;]+)")
_OFFLINE = re.compile(
    r"Failed to establish a new connection|Temporary failure in name resolution|Name or service not known"
    r"|getaddrinfo failed|nodename nor servname|NewConnectionError|Connection refused|ConnectTimeout|Read timed out"
    r"|Network is unreachable|ProxyError|Tunnel connection failed|Connection aborted|RemoteDisconnected|IncompleteRead"
    r"|Connection broken"
    r"|certificate verify failed|SSLError|HTTP error 5\d\d|5\d\d Server Error|50[234] Service"
)


@dataclass
class PipState:
    """What the run has come to: packages it has dealt with, whether it now writes them, its last lines."""

    collected: set[str] = field(default_factory=set)
    current: str = ""
    installing: bool = False
    tail: list[str] = field(default_factory=list)


def install(
    python: Path,
    arguments: Sequence[str],
    *,
    log: Path,
    temporary: Path,
    cancelled: IsCancelled | None = None,
    inherited: Sequence[int] = (),
    optional: bool = False,
    host: str = "the package index",
) -> Generator[PipState, None, bool]:
    """`python -m pip install ARGUMENTS`, yielding its state at every line and at least every 0.1 s.

    The generator's return value is True, or False when `optional` and nothing was found.

    Args:
        log: everything pip says is appended to it.
        temporary: pip downloads to a folder in it, so that it shows how far a large wheel is, and a kill leaves nothing
            behind elsewhere.
        host: where the packages come from, for messages.

    Raises:
        NetworkError, DiskError, PackageError, Cancelled: see `failure`.
    """
    command: list[str | Path] = [
        python,
        "-I",
        "-X",
        "utf8",  # what it says is read so, also of a user with another alphabet
        "-m",
        "pip",
        "install",
        "--no-input",
        "--no-compile",
        "--only-binary",
        ":all:",
    ]
    command += ["--progress-bar", "off", "--no-color", "--no-warn-script-location", "--retries", "2", *arguments]
    place = str(temporary)
    environment = child_environment(
        {"TMPDIR": place, "TEMP": place, "TMP": place, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}
    )
    state = PipState()
    output = lines(command, cancelled=cancelled, environment=environment, inherited=inherited)
    with log.open("a", encoding="utf-8") as record:
        record.write("pip install " + " ".join(map(str, arguments)) + "\n")
        while True:
            try:
                line = next(output)
            except StopIteration as end:
                status = end.value
                break
            if line:
                record.write(line + "\n")
                record.flush()
                state.tail = [*state.tail[-40:], line]
                _follow(state, line)
            yield state
    if status == 0:
        return True
    text = "\n".join(state.tail)
    if optional and "No matching distribution found" in text:
        return False
    raise failure(text, log, host)


def _follow(state: PipState, line: str) -> None:
    match = _COLLECTING.match(line) or _PROCESSING.match(line)
    if match:
        state.current = match[1]
        state.collected.add(normalised(match[1]))
    elif line.startswith("Installing collected packages"):
        state.installing = True


def failure(text: str, log: Path, host: str = "the package index") -> InstallError:
    """pip's last lines as one error: what is wrong, and what to do."""
    if "No space left on device" in text or "Errno 28" in text or "There is not enough space on the disk" in text:
        return DiskError(f"The disk became full in {log.parent}: free some space and run the same command again.")
    if "[WinError 5]" in text or "[WinError 32]" in text:
        return DiskError(
            f"A file in {log.parent} is in use or may not be written: close every other Blender that runs SyncTalk, and run "
            f"the same command again (see {log})."
        )
    if "Read-only file system" in text or "Permission denied" in text:
        return DiskError(f"{log.parent} cannot be written to: change its permissions and run the same command again.")
    mismatch = re.search(r"^\s+(\S+) from .*\n\s+Expected sha256", text, re.MULTILINE)
    if "DO NOT MATCH THE HASHES" in text:
        package = mismatch[1] if mismatch else "A package"
        return PackageError(
            f"{package} arrived with another checksum than the lock file's: the download was damaged or the index "
            "serves another file; run `pip cache purge` and try again, or set PIP_INDEX_URL to another index "
            f"(see {log})."
        )
    if _OFFLINE.search(text):
        return NetworkError(
            f"{host[0].upper()}{host[1:]} cannot be reached: check the network connection and the proxy (HTTPS_PROXY) "
            f"and run the same command again, finished downloads are kept (see {log})."
        )
    no_version = _NO_VERSION.search(text)
    if no_version:
        return PackageError(
            f"{no_version[1]} is not offered for this Python and platform by {host} as pip is configured: check "
            f"PIP_INDEX_URL, PIP_NO_INDEX and pip's configuration file, and run the same command again (see {log})."
        )
    last = next((line for line in reversed(text.splitlines()) if line.startswith("ERROR:")), "ERROR: pip failed")
    return PackageError(f"{last[7:].strip().rstrip('.')}: run the same command again; the whole report is in {log}.")


def installed_packages(site_packages: Path) -> dict[str, str]:
    """Name (normalised) and version of every whole package: one whose RECORD, which pip writes last, is there."""
    found = {}
    for info in site_packages.glob("*.dist-info"):
        if (info / "RECORD").is_file():
            name, _, version = info.name[: -len(".dist-info")].rpartition("-")
            found[normalised(name)] = version
    return found


def broken_packages(site_packages: Path) -> Collection[Path]:
    """Metadata folders of packages that a killed pip left half written; pip itself would take them for installed."""
    return [info for info in site_packages.glob("*.dist-info") if not (info / "RECORD").is_file()]
