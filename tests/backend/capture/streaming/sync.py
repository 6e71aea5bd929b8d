"""Measures lips against audio as a viewer gets them: `python -m tests.backend.capture.streaming.sync WS [--minutes 10] [--size 256]`.

The head plays an animation in which the mouth opens, and a tone begins, once a second. A real Chromium receives the stream
from `python -m backend stream`: when the open mouth is displayed and when the tone is played are both read on the browser's clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
import time
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.idle_part import calm_part
from backend.workspace.landmarks import LIPS
from backend.workspace.store import Workspace
from tests.backend.capture.streaming import chromium

SECONDS = 10
OPEN_FRAMES = 6
SAMPLES = 48000
CLOCK = 90000

RECORD = """
(async () => {
  window.frames_ = []; window.tones_ = []; window.reports_ = [];
  const canvas = document.createElement("canvas"), side = 24;
  let reference = null;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const each = (now, data) => {
    context.drawImage(video, ...BOX, 0, 0, side, side);
    const values = context.getImageData(0, 0, side, side).data;
    reference = reference || values;
    let sum = 0;
    for (let at = 1; at < values.length; at += 4) sum += Math.abs(values[at] - reference[at]);
    frames_.push([data.expectedDisplayTime, data.rtpTimestamp, sum / side / side]);
    video.requestVideoFrameCallback(each);
  };
  video.requestVideoFrameCallback(each);
  const audio = new AudioContext({ latencyHint: "interactive" });
  await audio.resume();
  const code = `registerProcessor("onsets", class extends AudioWorkletProcessor {
    constructor() { super(); this.quiet = 1e9; }
    process(inputs) {
      const samples = inputs[0][0] || [];
      for (let at = 0; at < samples.length; at++) {
        if (Math.abs(samples[at]) < 0.15) { this.quiet++; continue; }
        if (this.quiet > sampleRate / 4) this.port.postMessage(currentTime + at / sampleRate);
        this.quiet = 0;
      }
      return true;
    }
  });`;
  await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  // What goes from a stream into the graph waits there: known tones through a stream of our own show for how long.
  const tap = new AudioWorkletNode(audio, "onsets"), own = audio.createMediaStreamDestination(), waits = [];
  audio.createMediaStreamSource(own.stream).connect(tap);
  const starts = Array.from({ length: 12 }, (_, number) => audio.currentTime + 1 + 0.4 * number);
  tap.port.onmessage = ({ data }) => waits.push(Math.min(...starts.map((start) => data - start).filter((wait) => wait >= 0)));
  for (const start of starts) {
    const tone = new OscillatorNode(audio, { frequency: 1000 });
    tone.connect(own);
    tone.start(start);
    tone.stop(start + 0.02);
  }
  await new Promise((done) => setTimeout(done, 7000));
  window.wait_ = waits.sort((a, b) => a - b)[waits.length >> 1];
  const onsets = new AudioWorkletNode(audio, "onsets");
  audio.createMediaStreamSource(video.srcObject).connect(onsets);
  onsets.port.onmessage = ({ data }) => {
    const now = audio.getOutputTimestamp();
    tones_.push(now.performanceTime + (data - wait_ - now.contextTime) * 1000);
  };
  setInterval(async () => {
    const found = {};
    for (const report of (await connection.getStats()).values()) if (report.type === "inbound-rtp") found[report.kind] = report;
    reports_.push({ video: found.video, audio: found.audio });
  }, 2000);
  return true;
})()
"""
TAKE = "JSON.stringify({ frames: frames_.splice(0), tones: tones_.splice(0), reports: reports_.splice(0) })"


def write_marks(workspace: Workspace, folder: Path, size: int) -> tuple[Path, list[int]]:
    """The animation, and x, y, width and height of the mouth in frames of this size."""
    track, rate = workspace.head_track(), workspace.subject.rate
    assert rate == round(rate), "marks are a whole number of frames apart"
    clip, fps = workspace.footage_animation(track), round(rate)
    frame, frames = round(calm_part(track, rate)[0] * float(rate)), SECONDS * fps
    shapes = np.repeat(track.blendshapes[[frame]], frames, 0)
    place = np.arange(frames)
    shapes[:, BLENDSHAPE_NAMES.index("jawOpen")] = 0.6 * (place % fps < OPEN_FRAMES)
    poses = np.repeat(track.head_to_camera[[frame]], frames, 0)
    samples = np.zeros((SECONDS, SAMPLES))
    samples[:, :960] = np.sin(np.arange(960) * (2 * np.pi * 1000 / SAMPLES)) * 20000
    with wave.open(str(folder / "marks.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLES, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    audio = folder / "marks.wav"
    marks = replace(clip, blendshapes=shapes, head_to_camera=poses, plate_frame=np.full(frames, frame), audio=audio)
    marks.write(folder / "animation.npz")
    subject = workspace.subject
    lips = track.landmarks_px[frame][list(LIPS)] * subject.scale + (subject.place.x, subject.place.y)
    scale = size / max(subject.source_size)
    margin = 0.3 * (lips.max(0) - lips.min(0))
    low, high = (lips.min(0) - margin) * scale, (lips.max(0) + margin) * scale
    return folder / "animation.npz", [round(float(value)) for value in (*low, *(high - low))]


async def record(root: Path, minutes: float, size: int) -> dict[str, list[Any]]:
    """Frames, tones and reports of a viewer."""
    found: dict[str, list[Any]] = {"frames": [], "tones": [], "reports": [], "first_ms": [], "wait_s": []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        path, box = write_marks(Workspace.open(root), folder, size)
        given = ("-m", "backend", "stream", str(root), "--port", "0", "--size", str(size), "--directions", str(path))
        process = await asyncio.create_subprocess_exec(sys.executable, *given, stderr=asyncio.subprocess.PIPE)
        program = chromium.find()
        assert process.stderr is not None
        assert program is not None, "there is no Chromium here"
        while not (url := re.search(rb"Open (\S+)", await process.stderr.readline())):
            pass
        show = asyncio.create_task(_show(process.stderr))
        flags = ("--autoplay-policy=no-user-gesture-required", "--disable-background-timer-throttling")
        async with chromium.opened(program, folder / "profile", *flags, size="400,420") as tab:
            await asyncio.sleep(15)  # until the frames of the loop are made
            await tab.call("Page.setBypassCSP", enabled=True)
            await tab.call("Page.navigate", url=url[1].decode())
            await tab.until("performance.getEntriesByName('first-image').length > 0", 30)
            found["first_ms"].append(await tab.evaluate("performance.getEntriesByName('first-image')[0].startTime"))
            await asyncio.sleep(3)
            await tab.evaluate(RECORD.replace("BOX", json.dumps(box)))
            found["wait_s"].append(await tab.evaluate("wait_"))
            end_s = time.monotonic() + 60 * minutes
            while time.monotonic() < end_s:
                await asyncio.sleep(10)
                for kind, values in json.loads(await tab.evaluate(TAKE)).items():
                    found[kind] += values
        process.send_signal(signal.SIGINT)
        await process.wait()
        await show
    return found


async def _show(lines: asyncio.StreamReader) -> None:
    async for line in lines:
        print(line.decode().rstrip(), file=sys.stderr, flush=True)


def summary(found: dict[str, list[Any]]) -> dict[str, Any]:
    """Milliseconds by which lips are later than audio (earlier: below 0), by minutes."""
    times, stamps, change = np.array(found["frames"], float).T
    is_open = change > (np.percentile(change, 2) + np.percentile(change, 98)) / 2
    is_open = is_open if is_open.mean() < 0.5 else ~is_open  # change is from the first frame, which may show either
    first = np.flatnonzero(is_open[1:] & ~is_open[:-1]) + 1
    # The frame with which the mouth opens may not have been displayed: a later one then counts by its own time.
    phase = float(np.median(stamps[first] % CLOCK))
    missed_ms = ((stamps[first] - phase + CLOCK / 2) % CLOCK - CLOCK / 2) * 1000 / CLOCK
    displayed, tones = times[first], np.array(found["tones"])
    nearest = np.abs(tones[:, None] - displayed).argmin(1)
    late = displayed[nearest] - tones
    kept = np.abs(late) < 500
    late, exact, at = late[kept], (late - missed_ms[nearest])[kept], tones[kept]
    minutes = ((at - at[0]) / 60000).astype(int)
    reports = [report for report in found["reports"] if report.get("video") and report.get("audio")]
    named = "estimatedPlayoutTimestamp"
    apart = [report["video"].get(named, np.nan) - report["audio"].get(named, np.nan) for report in reports]
    last = reports[-1]
    return {
        "first_image_ms": round(found["first_ms"][0]),
        "wait_of_the_audio_graph_ms": round(1000 * found["wait_s"][0], 1),
        "marks": len(late),
        "seconds": round(float(at[-1] - at[0]) / 1000),
        "as_displayed_ms": _spread(late),
        "of_frames_that_were_displayed_ms": _spread(exact),
        "median_by_minute_ms": [round(float(np.median(exact[minutes == minute])), 1) for minute in np.unique(minutes)],
        "by_libwebrtc_ms": _spread(np.array(apart)[np.isfinite(apart)]),
        "frames_displayed": len(times),
        "frames_decoded": last["video"]["framesDecoded"],
        "frames_dropped": last["video"].get("framesDropped"),
        "audio_concealed": last["audio"]["concealedSamples"] / last["audio"]["totalSamplesReceived"],
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.percentile(values, (2.5, 50, 97.5))
    beyond = np.mean(np.abs(values) > 40)
    return {
        "median": round(float(middle), 1), "from": round(float(low), 1), "to": round(float(high), 1),
        "largest": round(float(np.abs(values).max()), 1), "share_beyond_40": round(float(beyond), 4),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--raw", type=Path)
    options = parser.parse_args()
    recorded = asyncio.run(record(options.workspace, options.minutes, options.size))
    if options.raw:
        options.raw.write_text(json.dumps(recorded))
    print(json.dumps(summary(recorded), indent=1))
