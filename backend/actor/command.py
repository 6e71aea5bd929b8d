"""`python -m backend actor OUT`: the synthetic speaker's verb."""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from pathlib import Path

from ..progress import format_duration, terminal_reporter
from .production import Script, produce


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments on `parser`."""
    default = Script()
    parser.add_argument("out", type=Path, help="folder for speaker.mp4, drive.wav and truth.npz")
    parser.add_argument("--text", default=default.text, help="what the speaker says")
    parser.add_argument(
        "--voice", help="a flite voice (awb, kal16, rms, slt) or an espeak-ng voice; flite's rms where it is"
    )
    parser.add_argument("--seconds", type=float, default=default.seconds, help="length of the clip (%(default)s)")
    parser.add_argument("--size", type=int, default=default.size, help="side of the picture, pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=default.seed, help="of head motion, blinks and hair (%(default)s)")
    parser.add_argument("--drive-text", default=default.drive_text, help="what the other voice says in drive.wav")
    parser.add_argument("--drive-voice", help="its voice; flite's slt where it is")
    parser.add_argument("--samples", type=int, default=default.samples, help="light paths a pixel (%(default)s)")
    parser.add_argument("--blender", metavar="PYTHON", help="a Python that can import bpy (.venvs/blender)")
    parser.add_argument("--keep-frames", action="store_true", help="leave the frames and the character in OUT")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Make the clip that `add_arguments` declared.

    Raises:
        SyncTalkError: a sentence for the user.
    """
    if threading.current_thread() is threading.main_thread():
        # Every frame is written whole, so the first request may stop at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
    script = Script(
        text=args.text,
        voice=args.voice,
        drive_text=args.drive_text,
        drive_voice=args.drive_voice,
        seconds=args.seconds,
        size=args.size,
        seed=args.seed,
        samples=args.samples,
    )
    started = time.monotonic()
    result = produce(args.out, script, terminal_reporter(), blender=args.blender, keep=args.keep_frames)
    result["took_s"] = round(time.monotonic() - started, 1)
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{args.out}: {result['frames']} frames, made in {format_duration(result['took_s'])}")
    return 0
