"""A clip in a colour space of an OpenColorIO config: S-Log3, whose formula Sony publishes, in a config that is made here."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from backend.commands import process
from backend.errors import MediaError, UsageError
from backend.media.encodings import BT709, Encoding, _to_xyz, encoding_of
from backend.media.ocio import VERSION, OcioSpace, ocio_encoding
from backend.media.samples import SampleFormat
from backend.workspace.subject import FrameCorrections
from install import locks
from tests.backend.delivery import test_complete
from tests.backend.delivery.test_complete import FFV1, Source

SPACE = "S-Log3, BT.709"
CUT = 171.2102946929


def decode(signal):
    code = np.asarray(signal) * 1023
    return np.where(code >= CUT, 10 ** ((code - 420) / 261.5) * 0.19 - 0.01, (code - 95) * 0.01125 / (CUT - 95))


def encode(light):
    light = np.asarray(light)
    log = 420 + np.log10(np.maximum(light + 0.01, 1e-9) / 0.19) * 261.5
    return np.where(light >= 0.01125, log, light * (CUT - 95) / 0.01125 + 95) / 1023


def write_config(path):
    """A config whose reference is ACES2065-1, with a space of S-Log3's curve and BT.709's primaries."""
    ocio = pytest.importorskip("PyOpenColorIO")
    config = ocio.Config.CreateRaw()
    config.setVersion(2, 1)
    config.addColorSpace(ocio.ColorSpace(name="ACES2065-1"))
    config.setRole("aces_interchange", "ACES2065-1")
    curve = ocio.LogCameraTransform(
        linSideBreak=[0.01125] * 3,
        base=10,
        logSideSlope=[261.5 / 1023] * 3,
        logSideOffset=[420 / 1023] * 3,
        linSideSlope=[1 / 0.19] * 3,
        linSideOffset=[0.01 / 0.19] * 3,
        linearSlope=[(CUT - 95) / 0.01125 / 1023] * 3,
        direction=ocio.TRANSFORM_DIR_INVERSE,
    )
    matrix = np.eye(4)
    matrix[:3, :3] = _to_xyz(BT709)
    to_xyz = ocio.MatrixTransform(matrix=matrix.ravel().tolist())
    to_aces = ocio.BuiltinTransform(style="UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD", direction=ocio.TRANSFORM_DIR_INVERSE)
    space = ocio.ColorSpace(name=SPACE, aliases=["slog3"])
    space.setTransform(ocio.GroupTransform([curve, to_xyz, to_aces]), ocio.COLORSPACE_DIR_TO_REFERENCE)
    config.addColorSpace(space)
    path.write_text(config.serialize())
    return path


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path / "config.ocio")


def test_light_is_that_of_the_formula_and_comes_back(config):
    found = encoding_of(OcioSpace.of(config, SPACE).name)
    signal = np.random.default_rng(2).uniform(0.05, 0.95, (40, 50, 3)).astype(np.float32)
    light = found.decode(signal)
    np.testing.assert_allclose(light, decode(signal), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(found.encode(light), signal, atol=2e-4)
    np.testing.assert_allclose(found.decode(np.full((1, 1, 3), 420 / 1023)), 0.18, rtol=1e-3)


def test_working_frames_are_those_of_a_built_in_curve_and_the_head_returns(config):
    found = encoding_of(OcioSpace.of(config, "slog3").name)
    built_in = Encoding("s-log3", "S-Log3", decode, encode, BT709, 4.0)
    image = np.random.default_rng(3).integers(6000, 45000, (50, 40, 3)).astype(np.uint16)
    shown = found.to_working(image)
    assert np.abs(shown.astype(int) - built_in.to_working(image)).max() <= 1 and shown.std() > 20
    head = np.random.default_rng(4).uniform(0.05, 0.8, (50, 40, 3)).astype(np.float32)
    back = found.from_working(head)
    np.testing.assert_allclose(back, built_in.from_working(head), atol=1e-3)
    again = found.to_working(np.rint(back * 65535).astype(np.uint16))
    assert np.abs(again - 255 * head).max() <= 1


@pytest.mark.parametrize("kind", ["png16", "exr"])
def test_a_delivery_has_the_clips_own_values_and_the_head_in_its_space(tmp_path, config, kind, monkeypatch):
    source = Source(SampleFormat(10, (0, 0), 1), **FFV1, transfer=2, colour=OcioSpace.of(config, SPACE).name)
    if kind == "png16":
        test_complete.test_frames_of_16_bits_have_the_clips_own_values_but_for_the_head(tmp_path, source)
        return
    monkeypatch.setitem(test_complete.SOURCES, "ocio", source)
    test_complete.test_exr_frames_have_the_light_of_the_clip_and_its_code_values_come_back(tmp_path, "ocio")


def test_the_space_and_the_hash_of_its_config_are_kept(config):
    space = OcioSpace.of(config, SPACE)
    kept = FrameCorrections.of({"colour": space.name}).colour
    assert ocio_encoding(kept).title == SPACE
    assert space.sha256 in kept and str(config) in kept


def test_a_config_that_is_gone_or_has_changed_is_named(config):
    space = OcioSpace.of(config, SPACE)
    config.write_text(config.read_text() + "\n# edited\n")
    ocio_encoding.cache_clear()
    with pytest.raises(
        MediaError, match=r"config\.ocio is not the OpenColorIO config that this clip was processed with"
    ):
        encoding_of(space.name)
    config.unlink()
    with pytest.raises(MediaError, match=r"config\.ocio, the OpenColorIO config of this clip, is missing: restore it"):
        encoding_of(space.name)


def test_what_cannot_be_used_is_one_sentence(tmp_path, config):
    with pytest.raises(MediaError, match=r"has no colour space V-Log: give one of raw, ACES2065-1, S-Log3, BT\.709"):
        OcioSpace.of(config, "V-Log")
    with pytest.raises(MediaError, match=r"none\.ocio cannot be read \(No such file or directory\)"):
        OcioSpace.of(tmp_path / "none.ocio", SPACE)
    (tmp_path / "text.ocio").write_text("no config")
    with pytest.raises(MediaError, match=r"text\.ocio is no OpenColorIO config that can be used"):
        OcioSpace.of(tmp_path / "text.ocio", SPACE)
    config.write_text(config.read_text().replace("aces_interchange", "other"))
    with pytest.raises(MediaError, match="does not say what light S-Log3, BT.709 is"):
        OcioSpace.of(config, SPACE)


def test_without_the_package_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    (tmp_path / "config.ocio").write_text("any")
    with pytest.raises(MediaError, match=r"need the package opencolorio, which is not installed.*opencolorio==2\.6\.0"):
        OcioSpace.of(tmp_path / "config.ocio", SPACE)


def test_the_options_go_together(tmp_path):
    options = process.Options(workspace=tmp_path, colour="ocio", ocio_config=tmp_path / "a.ocio", ocio_space=SPACE)
    for part in ({"ocio_space": None}, {"ocio_config": None}):
        with pytest.raises(UsageError, match="--colour ocio needs --ocio-config FILE and --ocio-space NAME"):
            replace(options, **part)
    with pytest.raises(UsageError, match="belong to --colour ocio"):
        replace(options, colour="hlg")


def test_the_release_that_is_named_is_the_one_that_is_tested():
    assert f"opencolorio=={VERSION} # for backend-opencolorio" in (locks.FOLDER / "backend.in").read_text("utf-8")
    for platform in locks.EXTRAS["opencolorio"]:
        lock = locks.read(locks.with_extra("opencolorio"), (3, 11), platform=platform)
        assert f"opencolorio=={VERSION} " in lock.text
    assert "opencolorio==" not in locks.read("backend", (3, 11)).text
