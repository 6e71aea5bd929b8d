"""The footage's mattes in the composite: each at its place in the render, with the footage's frame, and the artist's links kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from . import synthetic_workspace as synthetic
from .composite_kit import composed, node

pytestmark = pytest.mark.usefixtures("client")

PARTS = ("head", "hair", "neck", "torso", "background")
SOURCE = {"source_size": (320, 180), "crop": (150.0, 30.0, 120.0), "size": 60}


def write_mattes(folder: Path) -> None:
    """The torso grows by five columns a frame from the left of the 60 pixels; the background is what it leaves."""
    for frame in range(12):
        torso = np.zeros((60, 60, 1))
        torso[:, : 5 * frame] = 1.0
        for part in PARTS:
            matte = {"torso": torso, "background": 1.0 - torso}.get(part, np.zeros((60, 60, 1)))
            image = np.concatenate([matte, matte, matte, np.ones_like(matte)], -1)
            synthetic.write_image(folder / part / f"{frame:06d}.png", image)


def show(kit, folder: Path):
    found, workspace, animation = kit.part("work.composite").subject_in(kit.scene)
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    mattes = kit.part("scene.composite_mattes")
    return mattes.show(kit.scene, tree, workspace.subject, folder, PARTS, animation.plate_frame)


def rendered(kit, name: str, frame: int) -> np.ndarray:
    """(H, W) of one of the node's outputs."""
    nodes = kit.part("scene.nodes")
    tree = nodes.tree_of(kit.scene)
    tree.links.new(node(kit, "mattes").outputs[name], nodes.output_socket(tree))
    image = kit.render(frame)
    return image[..., 0] * image[..., 3]


@pytest.mark.parametrize("percent", [100, 200])
def test_each_matte_lies_on_the_footage_and_shows_the_footage_s_frame(kit, percent):
    composed(kit, **SOURCE)
    folder = kit.tmp_path / "mattes"
    write_mattes(folder)
    show(kit, folder)
    kit.scene.render.resolution_percentage = percent
    k = percent // 100
    for frame in (4, 17):  # the second beyond the footage's end, where it plays backwards
        torso, background = rendered(kit, "Torso", frame), rendered(kit, "Background", frame)
        assert torso.shape == (180 * k, 320 * k)
        edge = 150 + 2 * 5 * synthetic.there_and_back(frame - 1, 12)  # two pixels of the footage for one of the matte
        inside = torso[34 * k : 146 * k]
        assert inside[:, 153 * k : (edge - 3) * k].min() > 0.99
        assert inside[:, (edge + 3) * k :].max() < 0.01
        assert inside[:, : 148 * k].max() < 0.01
        assert background[34 * k : 146 * k, (edge + 3) * k : 267 * k].min() > 0.99
        assert max(torso[: 27 * k].max(), background[: 27 * k].max(), background[:, 273 * k :].max()) < 0.01


def test_showing_them_again_keeps_what_the_artist_connected_and_took_out(kit):
    composed(kit, **SOURCE)
    folder = kit.tmp_path / "mattes"
    write_mattes(folder)
    first = show(kit, folder)
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    own = tree.nodes.new("CompositorNodeBlur")
    tree.links.new(first.outputs["Hair"], own.inputs["Image"])
    tree.nodes.remove(node(kit, "matte neck"))
    count = len(tree.nodes)
    again = show(kit, folder)
    assert again == first and len(tree.nodes) == count
    assert own.inputs["Image"].links[0].from_socket == first.outputs["Hair"]


def test_without_files_a_sentence_says_which_is_missing(kit):
    composed(kit, **SOURCE)
    with pytest.raises(kit.part("scene.errors").SceneError, match="000000.png is missing"):
        show(kit, kit.tmp_path / "nothing")
