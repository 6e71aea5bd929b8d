"""Who watches a stream: a WebRTC connection each, of a bounded number, and nothing is kept of one that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fractions import Fraction

import aioice.ice
import numpy as np
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.codecs import h264, vpx
from aiortc.mediastreams import VIDEO_CLOCK_RATE, MediaStreamError
from av import AudioFrame, VideoFrame

from ...media.audio_rates import DELIVERY_RATE
from ..streaming.broadcast import Broadcast
from .timing import BLOCK

CONNECT_S = 10.0
"""An offer that is not followed by a connection is given up after so long."""
SILENT_S = 10.0
"""A viewer whose reports of reception (RTCP, about one a second) have stopped for so long is gone."""
_WATCH_S = 1.0
_STEADY = 0.05
_BEHIND_S = 0.2
"""Audio that could not be sent for so long is left out: it would only be heard too late."""

START_BITRATE, MAX_BITRATE = 1_500_000, 6_000_000
"""Bits a second of video; between them what a viewer's connection takes, as it reports. aiortc's own begin at 0.5 million."""

for codec in (vpx, h264):
    codec.DEFAULT_BITRATE, codec.MAX_BITRATE = START_BITRATE, MAX_BITRATE


class StreamFullError(Exception):
    """There are as many viewers as may be."""


class BadOfferError(Exception):
    """What a viewer sent is no offer to receive audio and video."""


class VideoTrack(VideoStreamTrack):
    """The frames of a broadcast, each at its time; what a slow connection has not taken by then is left out.

    Attributes:
        behind_s: how long a frame takes, in the mean of the last ones, from when it is due until it is encoded and sent.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        super().__init__()
        self._broadcast, self._due_s = broadcast, 0.0
        self.behind_s = 0.0

    async def recv(self) -> VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._due_s:  # the sender asks for a frame when it has sent the one before
            self.behind_s += _STEADY * (min(time.monotonic() - self._due_s, _BEHIND_S / 2) - self.behind_s)
        shown = await self._broadcast.next_frame()
        self._due_s = self._broadcast.clock.frame_due_s(shown.number)
        frame = video_frame(shown.planes)
        frame.pts = round(shown.number * VIDEO_CLOCK_RATE / self._broadcast.clock.rate)
        frame.time_base = Fraction(1, VIDEO_CLOCK_RATE)
        return frame


class AudioTrack(AudioStreamTrack):
    """The audio of a broadcast: blocks of 20 ms, 16 bit, stereo, as aiortc sends them without loss.

    aiortc states in its reports (RTCP) that what it sends is of the moment when it is sent. Frames take longer to encode: audio
    waits as long, or viewers would show the lips that much later.
    """

    def __init__(self, broadcast: Broadcast, video: VideoTrack) -> None:
        super().__init__()
        self._broadcast, self._video = broadcast, video
        self._number = -1

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        clock, now = self._broadcast.clock, time.monotonic()
        self._number += 1
        if self._number == 0 or now - clock.block_due_s(self._number) > _BEHIND_S:
            self._number = clock.block_from(now)
        await asyncio.sleep(max(0.0, clock.block_due_s(self._number) + self._video.behind_s - now))
        samples = np.repeat(self._broadcast.audio(self._number), 2)[None]
        frame = AudioFrame.from_ndarray(samples, "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = DELIVERY_RATE, self._number * BLOCK, Fraction(1, DELIVERY_RATE)
        return frame


def video_frame(planes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> VideoFrame:
    """Planes of 4:2:0 as a frame of its own: an encoder writes into what it is given."""
    height, width = planes[0].shape
    flat = np.concatenate([plane.ravel() for plane in planes])
    return VideoFrame.from_ndarray(flat.reshape(height * 3 // 2, width), "yuv420p")


@dataclass
class Viewer:
    """One connection."""

    connection: RTCPeerConnection
    since_s: float = field(default_factory=time.monotonic)

    async def silent_s(self) -> float:
        """How long nothing has been reported; of one that is not connected yet, since it asked."""
        newest: datetime | None = None
        for sender in self.connection.getSenders():
            for report in (await sender.getStats()).values():
                if report.type == "remote-inbound-rtp":
                    newest = report.timestamp if newest is None else max(newest, report.timestamp)
        if newest is None:
            return time.monotonic() - self.since_s
        return (datetime.now(timezone.utc) - newest).total_seconds()


class Viewers:
    """All viewers of a broadcast.

    Args:
        limit: how many there may be.
        address: that is listened on; media go over no other.
        changed: called with their number when it changes.
    """

    def __init__(self, broadcast: Broadcast, limit: int, address: str, changed: Callable[[int], None]) -> None:
        self._broadcast, self.limit, self._changed = broadcast, limit, changed
        self._viewers: dict[str, Viewer] = {}
        self._asking = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        listen_on(address)

    def __len__(self) -> int:
        return len(self._viewers)

    async def answer(self, offer: str) -> tuple[str, str]:
        """A new viewer, by its offer (SDP).

        Returns:
            A name by which it can leave, and the answer.

        Raises:
            StreamFullError: there is no room.
            BadOfferError: the offer cannot be used.
        """
        if len(self) + self._asking >= self.limit:
            raise StreamFullError
        name, connection = secrets.token_urlsafe(16), RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._asking += 1
        try:
            video = VideoTrack(self._broadcast)
            for track in (AudioTrack(self._broadcast, video), video):
                _prefer_vp8(connection, connection.addTrack(track))
            await connection.setRemoteDescription(RTCSessionDescription(_without_candidates(offer), "offer"))
            for transceiver in connection.getTransceivers():
                transceiver.direction = "sendonly"
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:  # aiortc has no class of its own for what it cannot use
            await connection.close()
            raise BadOfferError(str(error)) from error
        finally:
            self._asking -= 1

        @connection.on("connectionstatechange")
        async def changed() -> None:
            if connection.connectionState in ("failed", "closed"):
                await self.leave(name)

        self._viewers[name] = Viewer(connection)
        self._broadcast.join()
        self._watching = self._watching or asyncio.create_task(self._watch())
        self._changed(len(self))
        return name, connection.localDescription.sdp

    async def leave(self, name: str) -> None:
        """Free all of a viewer; nothing where there is none of this name."""
        viewer = self._viewers.pop(name, None)
        if viewer is None:
            return
        self._broadcast.leave()
        self._changed(len(self))
        closing = asyncio.create_task(viewer.connection.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.wait([closing])

    async def close(self) -> None:
        """All leave."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await asyncio.gather(*(self.leave(name) for name in list(self._viewers)))
        if self._closing:  # of those that were just leaving
            await asyncio.wait(self._closing)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            for name, viewer in list(self._viewers.items()):
                connected = viewer.connection.connectionState == "connected"
                if await viewer.silent_s() > (SILENT_S if connected else CONNECT_S):
                    await self.leave(name)


def listen_on(address: str) -> None:
    """Let connections listen on this address alone: aioice takes all but the loopback one, and has no setting for it."""
    if address in ("0.0.0.0", "::"):
        return

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return [address] if (use_ipv6 if ":" in address else use_ipv4) else []

    aioice.ice.get_host_addresses = addresses


def _without_candidates(offer: str) -> str:
    """An offer without the viewer's addresses: it finds ours, and some of its own could only be resolved by asking the network."""
    return re.sub(r"(?m)^a=(candidate:.*|end-of-candidates)\r?\n", "", offer)


def _prefer_vp8(connection: RTCPeerConnection, sender: RTCRtpSender) -> None:
    """The codec for which the frames are coloured (`composition.SAMPLES`), and for which every browser has a decoder."""
    if sender.kind == "video":
        codecs = RTCRtpSender.getCapabilities("video").codecs
        (transceiver,) = (each for each in connection.getTransceivers() if each.sender is sender)
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType in ("video/VP8", "video/rtx")])
