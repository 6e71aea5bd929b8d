"""What the tests of the scene share: the add-on's modules by name, a subject in an empty scene, the backend of the tests."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import synthetic_workspace

HEAD_BACKEND = Path(__file__).with_name("head_backend.py")


@dataclass(frozen=True)
class Kit:
    """The add-on in an empty scene."""

    package: str
    tmp_path: Path

    def part(self, name: str) -> ModuleType:
        """A module of the add-on, such as `scene.rig`."""
        return importlib.import_module(f"{self.package}.synctalk_blender.{name}")

    def record(self, name: str) -> ModuleType:
        """A module of the workspace's records, such as `store`."""
        return importlib.import_module(f"{self.package}.backend.workspace.{name}")

    def opened(self, root: Path) -> Any:
        """The workspace at `root`, as the add-on opens it."""
        return self.record("store").Workspace.open_processed(root)

    @property
    def names(self) -> tuple[str, ...]:
        return importlib.import_module(f"{self.package}.backend.protocol").BLENDSHAPE_NAMES

    def workspace(self, name: str = "anna", **options: Any) -> Path:
        """A synthetic workspace; options of `make_workspace`."""
        return synthetic_workspace.make_workspace(self.tmp_path / name, self.names, **options)

    def import_tracking(self, root: Path, **options: Any) -> Any:
        """The rig of a workspace, moved as the footage; options of `import_subject`."""
        return self.part("scene.importer").import_subject(self.scene, self.opened(root), **options)

    def import_speech(self, root: Path) -> None:
        """The speech of the workspace on its rig."""
        rig, workspace = self.part("scene.rig"), self.opened(root)
        animation = root / "renders" / "speech" / "animation.npz"
        found = rig.find_rig(self.scene, root, workspace.subject.id)
        self.part("scene.importer").import_animation(self.scene, found, workspace, workspace.animation(animation))
        found.collection[rig.ANIMATION] = str(animation)

    def strips(self) -> list[Any]:
        """The strips of the sequencer."""
        editor = self.scene.sequence_editor
        return [] if editor is None else list(self.part("scene.audio_strip").strips_of(editor))

    @property
    def has_sound(self) -> bool:
        """Whether this build of Blender knows sound; the `bpy` wheel 4.2 does not."""
        return self.part("scene.audio_strip").can_hold_audio()

    @property
    def scene(self) -> Any:
        import bpy

        return bpy.context.scene

    def read(self, found: Any, frame: int) -> Any:
        """The pose and shapes of the evaluated rig at `frame`."""
        import bpy

        self.scene.frame_set(frame)
        return self.part("scene.rig").read_rig(found, bpy.context.evaluated_depsgraph_get())

    def render(self, frame: int) -> np.ndarray:
        """(H, W, 4) of a still of `frame`, written as PNG and read back: sRGB, straight alpha, top row first."""
        import bpy

        path = self.tmp_path / f"still_{frame}.png"
        self.part("scene.output").set_images(self.scene, self.tmp_path)
        self.scene.render.filepath = str(path)
        self.scene.frame_set(frame)
        bpy.ops.render.render(write_still=True)
        return synthetic_workspace.read_image(path)

    def use_backend(self, monkeypatch: Any, command: Callable[[], tuple] | str = "") -> ModuleType:
        """Have the shared backend be `head_backend.py` with that fault; returns the client's module."""
        client = self.part("client.shared")
        client.close_shared_backend()
        if isinstance(command, str):
            words = [sys.executable, str(HEAD_BACKEND), *([command] if command else [])]
            monkeypatch.setattr(client, "backend_command", lambda: (words, None, None))
        return client


def premultiplied(image: np.ndarray) -> np.ndarray:
    """(H, W, 4) straight values times their alpha."""
    return np.concatenate([image[..., :3] * image[..., 3:], image[..., 3:]], -1)


def as_png(linear: np.ndarray) -> np.ndarray:
    """(H, W, 4) premultiplied linear values as an 8-bit sRGB image shows them, premultiplied."""
    alpha = linear[..., 3:]
    straight = linear[..., :3] / np.maximum(alpha, 1e-9)
    encoded = np.where(straight <= 0.0031308, straight * 12.92, 1.055 * np.maximum(straight, 0) ** (1 / 2.4) - 0.055)
    return np.concatenate([encoded * alpha, alpha], -1)
