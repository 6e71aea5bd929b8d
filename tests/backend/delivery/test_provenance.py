"""Deliverables carry a manifest that c2pa's own reader takes, and `verify` says when they were changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib

import av
import c2pa
import cv2
import numpy as np
import pytest
import soundfile

from backend.cli import main
from backend.commands.marking import Signature, open_seal
from backend.commands.verify import verify
from backend.delivery.provenance import certificate
from backend.delivery.provenance.manifest import HEAD_ALONE, OVER_FOOTAGE, SPEECH, Origin, consent_hash, speech_of
from backend.delivery.provenance.signing import BESIDE, EMBEDDED, Seal, sidecar_of
from backend.delivery.watermark import Marker, Message
from backend.errors import ProvenanceError
from backend.media.encode import VideoWriter
from backend.media.sequence import SequenceWriter
from backend.progress import Reporter
from backend.protocol import SYNTHETIC_NOTE
from backend.workspace.store import Workspace
from tests.backend.delivery.certificates import DAY, DOCUMENTS, NOW, write_certificate

CLIP = "ab" * 32
ORIGIN = Origin(CLIP, consent_hash({"given": True, "by": "Anna"}), {"kind": "gaussians", "checkpoint": "gaussians_1"})
FORMATS = ("mp4", "mov", "png", "tiff", "wav", "mkv", "webm")


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """A user's data folder without a certificate."""
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    for variable in (certificate.CERTIFICATE_VARIABLE, certificate.KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def workspace(tmp_path):
    """A workspace of `CLIP`, not processed."""
    workspace = Workspace.create(tmp_path / "anna.synctalk")
    workspace.subject.source, workspace.subject.source_sha256 = "/clips/anna.mp4", CLIP
    workspace.subject.consent = {"given": True, "by": "Anna Example", "clip": CLIP}
    workspace.save()
    return workspace


def deliverable(folder, extension):
    """A complete, unsigned file."""
    path = folder / f"shot.{extension}"
    image = np.random.default_rng(0).integers(0, 9, (48, 64, 4), np.uint8)
    if extension in ("mp4", "mov", "mkv"):
        with VideoWriter(path, 64, 48, audio=(np.zeros(9600), 48000)) as video:
            for shift in range(5):
                video.write(np.roll(image[..., :3], shift, 1))
    elif extension == "webm":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libvpx-vp9", rate=25, width=64, height=48, pix_fmt="yuv420p")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image[..., :3].copy(), "rgb24")))
            container.mux(stream.encode(None))
    elif extension == "png":
        SequenceWriter(folder).write(0, image)
        (folder / "000000.png").rename(path)
    elif extension == "tiff":
        cv2.imwrite(str(path), image[..., :3])
    else:
        soundfile.write(path, np.zeros(4800), 48000)
    return path


def signed(folder, extension, content=OVER_FOOTAGE, origin=ORIGIN):
    path = deliverable(folder, extension)
    Seal(certificate.load(), origin, content).sign(path)
    return path


def read(path):
    """By c2pa's own reader, as its documentation uses it."""
    kind = EMBEDDED.get(path.suffix)
    with open(path, "rb") as file:
        reader = c2pa.Reader(kind or BESIDE, file, None if kind else sidecar_of(path).read_bytes())
        return reader.get_validation_state(), reader.get_active_manifest()


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("content", [OVER_FOOTAGE, HEAD_ALONE], ids=lambda content: content.name)
def test_each_format_has_a_manifest_that_c2pa_finds_valid(tmp_path, extension, content):
    path = signed(tmp_path, extension, content)
    state, manifest = read(path)
    assert state == "Valid"
    assertions = {item["label"]: item["data"] for item in manifest["assertions"]}
    first = assertions["c2pa.actions.v2"]["actions"][0]
    assert first["action"] == "c2pa.created" and first["digitalSourceType"] == content.source_type
    (clip,) = manifest["ingredients"]
    assert CLIP in clip["description"]
    assert clip["relationship"] == ("componentOf" if content == OVER_FOOTAGE else "inputTo")
    assert assertions["org.synctalk.likeness"]["consent_sha256"] == ORIGIN.consent_sha256
    assert "time" not in manifest["signature_info"], "no time stamp authority was asked"
    assert verify(path).status == 0 and verify(path).manifest == "untrusted"
    assert sorted(item.name for item in tmp_path.iterdir() if item.is_file()) == sorted(
        [path.name] if extension in ("mp4", "mov", "png", "tiff", "wav") else [path.name, f"{path.name}.c2pa"]
    )


def test_processes_that_sign_for_the_first_time_at_once_have_one_certificate():
    code = "from backend.delivery.provenance import certificate; print(hash_of(certificate.load().chain))"
    code = f"from hashlib import sha256; hash_of = lambda data: sha256(data).hexdigest(); {code}"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0] * 4


def test_speech_is_a_conversion_of_its_recording_and_nothing_that_was_made_up(tmp_path):
    path = deliverable(tmp_path, "wav")
    before = soundfile.read(path)
    Seal(certificate.load(), ORIGIN, SPEECH).sign(path, content=speech_of("cd" * 32))
    state, manifest = read(path)
    assert state == "Valid"
    assertions = {item["label"]: item["data"] for item in manifest["assertions"]}
    actions = assertions["c2pa.actions.v2"]["actions"]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.transcoded"]
    assert not any("digitalSourceType" in action for action in actions)
    recording, clip = manifest["ingredients"]
    assert "cd" * 32 in recording["description"] and recording["relationship"] == "parentOf"
    assert CLIP in clip["description"] and clip["relationship"] == "inputTo"
    assert np.array_equal(soundfile.read(path)[0], before[0]) and soundfile.read(path)[1] == before[1]
    found = verify(path)
    assert found.status == 0 and found.made["content"] == "speech"
    assert "the audio that a synthetic likeness speaks" in found.summary
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    assert verify(path).status == 3


@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_a_signed_video_plays_as_before(tmp_path, extension):
    def frames(path):
        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    path = deliverable(tmp_path, extension)
    before = frames(path)
    Seal(certificate.load(), ORIGIN, OVER_FOOTAGE).sign(path)
    np.testing.assert_array_equal(frames(path), before)


def patched(data: bytes, extension: str) -> bytes:
    """One sample of the image or audio changed, the manifest left as it is."""
    if extension == "png":
        at = data.index(b"IDAT")
        length = int.from_bytes(data[at - 4 : at], "big")
        pixels = bytearray(zlib.decompress(data[at + 4 : at + 4 + length]))
        pixels[100] ^= 1
        chunk = b"IDAT" + zlib.compress(bytes(pixels))
        rest = data[at + 4 + length + 4 :]
        return (
            data[: at - 4] + (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + rest
        )
    place = {"mp4": data.rindex(b"mdat") + 300, "wav": data.index(b"data") + 100} if extension != "mkv" else {}
    at = place.get(extension, len(data) // 2)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("extension", ["mp4", "png", "mkv"])
def test_one_changed_sample_is_seen(tmp_path, capsys, extension):
    path = signed(tmp_path, extension)
    path.write_bytes(patched(path.read_bytes(), extension))
    assert main(["verify", str(path), "--json"]) == 3
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert found["manifest"] == "invalid" and found["source"] == CLIP
    assert "altered" in found["summary"] and "ash.mismatch" in found["summary"]


@pytest.mark.long
@pytest.mark.parametrize(("named", "agrees", "status"), [(CLIP, True, 0), ("cd" * 32, False, 3)])
def test_verify_reads_through_the_video_and_compares_the_watermark_with_the_manifest(tmp_path, named, agrees, status):
    path, marker = tmp_path / "shot.mp4", Marker(256, 256, Message.of_clip(named))
    grain = np.random.default_rng(0)
    with VideoWriter(path, 256, 256) as video:
        for index in range(150):
            frame = np.clip(grain.normal(120, 2, (256, 256, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
            video.write(marker.embed(frame) if index < 100 else frame)
    Seal(certificate.load(), ORIGIN, OVER_FOOTAGE).sign(path)
    found = verify(path)
    assert (found.watermark_clip, found.watermark_agrees, found.status) == (named[:12], agrees, status)
    assert (found.pieces, found.pieces_marked) == (3, 2)


@pytest.mark.long
def test_verify_reads_a_watermark_that_only_all_pieces_have_together(tmp_path):
    path, marker = tmp_path / "copied.mp4", Marker(256, 256, Message.of_clip(CLIP))
    rng = np.random.default_rng(2)
    with VideoWriter(path, 256, 256, crf=8) as video:
        for _ in range(6):
            noise = rng.normal(0, 6, (256, 256, 1))
            frame = marker.embed(np.full((256, 256, 3), 120, np.uint8))
            for _ in range(50):
                video.write(np.clip(frame + noise, 0, 255).round().astype(np.uint8))
    found = verify(path)
    assert (found.pieces, found.pieces_marked, found.watermark, found.watermark_clip) == (6, 0, "found", CLIP[:12])
    assert "in the 6 pieces read together, in none by itself" in found.summary


def test_a_changed_manifest_is_seen(tmp_path):
    path = signed(tmp_path, "mp4")
    path.write_bytes(path.read_bytes().replace(b"compositeWithTrained", b"compositeWithTrainee"))
    assert (verify(path).status, verify(path).manifest) == (3, "invalid")


def test_a_video_that_is_cut_off_is_altered(tmp_path):
    path = signed(tmp_path, "mp4")
    path.write_bytes(path.read_bytes()[:-200])
    assert (verify(path).status, verify(path).manifest) == (3, "invalid")


def test_a_re_encoded_video_is_known_by_its_note_alone_and_a_foreign_one_is_not_ours(tmp_path):
    path = signed(tmp_path, "mp4")
    copy, foreign = tmp_path / "copy.mp4", tmp_path / "foreign.webm"
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        target.metadata.update(source.metadata)
        stream = target.add_stream("libx264", rate=25, width=64, height=48)
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame.reformat()))
        target.mux(stream.encode(None))
    assert (verify(copy).status, verify(copy).manifest, verify(copy).note) == (3, "absent", "found")
    deliverable(tmp_path, "webm").rename(foreign)
    assert (verify(foreign).status, verify(foreign).manifest) == (1, "absent")


def test_what_another_program_signed_on_top_is_ours_but_edited(tmp_path):
    path, edited = signed(tmp_path, "png"), tmp_path / "edited.png"
    own = certificate.load()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(own.algorithm.encode(), own.chain, own.key, None))
    edit = {"claim_generator_info": [{"name": "Another Editor"}], "assertions": []}
    builder = c2pa.Builder(json.dumps(edit))
    builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
    builder.sign_file(str(path), str(edited), signer)
    found = verify(edited)
    assert (found.status, found.source) == (3, CLIP) and "edited afterwards with Another Editor" in found.summary


def test_names_are_there_only_when_asked_for(workspace, tmp_path):
    for asked in (False, True):
        folder = tmp_path / str(asked)
        folder.mkdir()
        path = signed(folder, "png", origin=Origin.of(workspace, with_names=asked))
        assert (b"Anna Example" in path.read_bytes()) is asked
        assert verify(path, workspace).clip == workspace.subject.source
        workspace_of_another = Workspace.create(tmp_path / "other.synctalk")
        workspace_of_another.subject.source_sha256 = "00"
        assert verify(path, workspace_of_another).clip == ""


def test_the_own_certificate_is_kept_and_its_key_is_the_users_alone():
    first, again = certificate.load(), certificate.load()
    assert first == again and first.own
    if sys.platform != "win32":
        folder = certificate.own_folder()
        assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_users_certificate_signs_and_who_trusts_its_root_reads_it_as_valid(tmp_path):
    leaf, key, root = write_certificate(tmp_path)
    path = deliverable(tmp_path, "mp4")
    Seal(certificate.load(leaf, key), ORIGIN, OVER_FOOTAGE).sign(path)
    assert verify(path).manifest == "untrusted" and "Anna's Studio" in verify(path).signer
    assert verify(path, trust=root).manifest == "valid"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"ends": NOW - 10 * DAY}, r"expired on 20\d\d-\d\d-\d\d: renew it"),
        ({"begins": NOW + DAY}, "is valid from"),
        ({"purpose": DOCUMENTS}, "lack e-mail protection"),
        ({"authority": True}, "an authority's own"),
        ({"password": b"secret"}, "is encrypted"),
    ],
)
def test_a_certificate_that_readers_refuse_is_refused_in_one_sentence(tmp_path, fault, sentence):
    leaf, key, _ = write_certificate(tmp_path, **fault)
    with pytest.raises(ProvenanceError, match=sentence) as refused:
        certificate.load(leaf, key)
    assert str(refused.value).count("\n") == 0


def test_a_key_of_another_certificate_and_a_missing_one_are_refused(tmp_path):
    leaf, key, _ = write_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other, _ = write_certificate(tmp_path / "other")
    with pytest.raises(ProvenanceError, match="does not belong"):
        certificate.load(leaf, other)
    with pytest.raises(ProvenanceError, match="both a certificate and its private key"):
        certificate.load(leaf)
    key.write_text("nothing")
    with pytest.raises(ProvenanceError, match="cannot be read"):
        certificate.load(leaf, key)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_a_failed_signing_leaves_the_unsigned_file_as_it_was(tmp_path, extension):
    leaf, key, _ = write_certificate(tmp_path, purpose=DOCUMENTS)  # past our own check, as one that c2pa alone refuses
    refused = certificate.Certificate(leaf.read_bytes(), key.read_bytes(), "es256", "Anna", own=False)
    path = deliverable(tmp_path, extension)
    before, files = path.read_bytes(), set(tmp_path.iterdir())
    with pytest.raises(ProvenanceError, match=re.escape(f"{path} is complete but carries no manifest")):
        Seal(refused, ORIGIN, OVER_FOOTAGE).sign(path)
    assert path.read_bytes() == before
    assert set(tmp_path.iterdir()) == files
    assert verify(path).manifest == "absent"


def test_without_the_package_deliveries_are_unsigned_with_a_warning_and_verify_says_what_is_missing(
    workspace, tmp_path, monkeypatch, capsys
):
    path = signed(tmp_path, "png")
    monkeypatch.setitem(sys.modules, "c2pa", None)
    reporter = Reporter()
    assert open_seal(Signature(), workspace, None, OVER_FOOTAGE, reporter) == (None, "")
    assert len(reporter.warnings) == 1 and "python3 install backend" in reporter.warnings[0]
    assert main(["verify", str(path)]) == 1
    assert "c2pa-python" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "none.mp4")]) == 1
    assert re.fullmatch(r"Error: .*none\.mp4 cannot be read .*\n", capsys.readouterr().err)


def rendered_by_blender(path, subject):
    """What Blender leaves: an image with its note, unsigned."""
    header = np.zeros((48, 64, 3), np.uint8)
    cv2.imwrite(str(path), header)
    data, text = path.read_bytes(), b"Note\0" + SYNTHETIC_NOTE.format(subject=subject).encode("latin-1")
    chunk = len(text).to_bytes(4, "big") + b"tEXt" + text + zlib.crc32(b"tEXt" + text).to_bytes(4, "big")
    path.write_bytes(data[:33] + chunk + data[33:])
    return path


def test_what_blender_rendered_is_signed_and_signed_once(workspace, tmp_path, capsys):
    folder = tmp_path / "shot"
    folder.mkdir()
    paths = [rendered_by_blender(folder / f"{index:04}.png", workspace.subject.name) for index in range(3)]
    assert verify(paths[0], workspace).status == 3
    assert main(["sign", str(workspace.root), str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["signed"]) == 3
    for path in paths:
        found = verify(path, workspace)
        assert (found.status, found.source, found.made["content"]) == (0, CLIP, "head over footage")
    before = [path.read_bytes() for path in paths]
    assert main(["sign", str(workspace.root), str(folder), "--alone"]) == 0
    assert "3 files were signed before" in capsys.readouterr().out
    assert [path.read_bytes() for path in paths] == before


def test_a_head_alone_is_signed_by_its_watermark(workspace, tmp_path):
    path = tmp_path / "head.png"
    grain = np.random.default_rng(1).normal(120, 2, (256, 256, 1)) + np.zeros(3)
    frame = np.clip(grain, 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), Marker(256, 256, Message.of_clip(CLIP)).embed(frame)[..., ::-1])
    assert main(["sign", str(workspace.root), str(path), "--alone"]) == 0
    assert verify(path).made["source_type"] == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("kind", ["of nobody", "of another subject", "of another clip", "changed"])
def test_nothing_is_signed_that_is_not_of_this_subject(workspace, tmp_path, capsys, kind):
    good, path = rendered_by_blender(tmp_path / "a.png", workspace.subject.name), tmp_path / "b.png"
    if kind == "of nobody":
        cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    elif kind == "of another subject":
        rendered_by_blender(path, "somebody")
    elif kind == "of another clip":
        frame = np.random.default_rng(1).normal(120, 2, (256, 256, 1)) + np.zeros(3)
        frame = np.clip(frame, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), Marker(256, 256, Message.of_clip("cd" * 32)).embed(frame)[..., ::-1])
    else:
        signed(tmp_path, "png").rename(path)
        path.write_bytes(patched(path.read_bytes(), "png"))
    before = good.read_bytes(), path.read_bytes()
    assert main(["sign", str(workspace.root), str(good), str(path)]) == 1
    sentence = {"of another clip": "shows the head of another clip", "changed": "was changed after it was signed"}
    assert sentence.get(kind, "has neither the watermark nor the note of anna") in capsys.readouterr().err
    assert (good.read_bytes(), path.read_bytes()) == before
