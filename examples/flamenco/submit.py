"""A batch as a job of Flamenco: printed as JSON, or sent to a Flamenco Manager.

    .venvs/backend/bin/python examples/flamenco/submit.py jobs.toml [--out DIR] [--manager http://HOST:8080]

The type of job is `synctalk-batch.js`, beside this file. Needs nothing but the backend's environment.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def job_of(file: Path, out: Path) -> dict[str, Any]:
    """The job as Flamenco takes it; exits with the backend's sentence where the file has a mistake."""
    command = [sys.executable, "-m", "backend", "batch", str(file), "--dry-run", "--json"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode:
        sys.exit(listed.returncode)
    jobs = [{"name": job["name"], "needs": job["needs"]} for job in json.loads(listed.stdout)["jobs"]]
    return {
        "name": file.stem,
        "type": "synctalk-batch",
        "priority": 50,
        "submitter_platform": {"Darwin": "darwin", "Windows": "windows"}.get(platform.system(), "linux"),
        "settings": {
            "python": sys.executable,
            "backend": str(ROOT),
            "batch": str(file),
            "out": str(out),
            "jobs": json.dumps(jobs),
        },
        "metadata": {},
    }


def main() -> None:
    """Print the job, or send it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="the batch's TOML file")
    parser.add_argument("--out", type=Path, help="the batch's folder (the file's name with .batch)")
    parser.add_argument("--manager", help="address of the Flamenco Manager; without it the job is printed")
    args = parser.parse_args()
    file = args.file.absolute()
    text = json.dumps(job_of(file, (args.out or file.with_suffix(".batch")).absolute()), indent=1)
    if not args.manager:
        print(text)
        return
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{args.manager.rstrip('/')}/api/v3/jobs", text.encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(json.load(answer)["id"])


if __name__ == "__main__":
    main()
