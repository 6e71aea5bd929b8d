"""LPIPS with made-up weights: a distance, made of the published files' names and shapes, that a loss can use."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend import models
from backend.errors import ModelError
from backend.evaluation.evaluate import FramePair, evaluate
from backend.evaluation.lpips import Lpips

_CONVOLUTIONS = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
"""Number in torchvision's `AlexNet.features`: channels out, channels in, side of the kernel."""


def published() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of chance under the names of the two published files."""
    generator = torch.Generator().manual_seed(0)
    backbone, heads = {}, {}
    for number, (channels, inputs, side) in _CONVOLUTIONS.items():
        scale = (2 / (inputs * side * side)) ** 0.5
        backbone[f"features.{number}.weight"] = scale * torch.randn(channels, inputs, side, side, generator=generator)
        backbone[f"features.{number}.bias"] = 0.1 * torch.randn(channels, generator=generator)
    backbone["classifier.1.weight"] = torch.zeros(4, 4)
    for number, (channels, _, _) in enumerate(_CONVOLUTIONS.values()):
        heads[f"lin{number}.model.1.weight"] = torch.rand(1, channels, 1, 1, generator=generator)
    return backbone, heads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    for name, weights in zip(("lpips_backbone", "lpips_heads"), published(), strict=True):
        torch.save(weights, path / models.record(name).file)
    return path


@pytest.fixture(scope="module")
def lpips(folder) -> Lpips:
    found = Lpips.load(folder)
    assert found is not None
    return found


def some_images(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def test_it_is_a_distance(lpips):
    one = some_images()
    other = (one + 0.1 * torch.randn(one.shape, generator=torch.Generator().manual_seed(4))).clamp(0, 1)
    assert lpips(one, one).tolist() == [0, 0]
    distance = lpips(one, other)
    assert distance.shape == (2,) and (distance > 0).all()
    torch.testing.assert_close(distance, lpips(other, one))
    assert (lpips(one, 1 - one) > distance).all()
    torch.testing.assert_close(lpips(one[1:], other[1:]), distance[1:])


def test_it_is_that_of_its_formula(lpips):
    one, other = some_images(1), some_images(3)[2:]
    backbone, heads = published()

    def features(image: torch.Tensor) -> list[torch.Tensor]:
        mean, deviation = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x = ((2 * image - 1).permute(0, 2, 3, 1) - mean) / deviation
        x = x.permute(0, 3, 1, 2)
        found = []
        for layer, number in enumerate(_CONVOLUTIONS):
            if layer in (1, 2):
                x = torch.nn.functional.max_pool2d(x, 3, 2)
            stride, padding = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))[layer]
            weight, bias = backbone[f"features.{number}.weight"], backbone[f"features.{number}.bias"]
            x = torch.relu(torch.nn.functional.conv2d(x, weight, bias, stride, padding))
            found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return found

    expected = sum(
        (heads[f"lin{layer}.model.1.weight"] * (a - b) ** 2).sum(dim=1).mean()
        for layer, (a, b) in enumerate(zip(features(one), features(other), strict=True))
    )
    torch.testing.assert_close(lpips(one, other), expected[None], rtol=1e-4, atol=1e-6)


def test_it_is_a_loss_whose_own_weights_stand_still(lpips):
    truth = some_images()
    predicted = torch.full_like(truth, 0.5)
    predicted[1] = truth[1]  # an equal image must not spoil the gradient either
    predicted.requires_grad_()
    before = float(lpips(predicted, truth).sum().detach())
    lpips(predicted, truth).sum().backward()
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()
    assert predicted.grad[0].abs().max() > 0
    assert all(weight.grad is None and not weight.requires_grad for weight in lpips.parameters())
    step = predicted.detach() - 0.01 * predicted.grad / predicted.grad.norm()
    assert float(lpips(step, truth).sum()) < before


def test_places_without_any_feature_leave_the_gradient_finite():
    backbone, heads = published()
    dead = Lpips()
    dead.load_published({name: value - 100 if "bias" in name else value for name, value in backbone.items()}, heads)
    predicted = some_images().requires_grad_()
    distance = dead(predicted, 1 - some_images())
    distance.sum().backward()
    assert distance.tolist() == [0, 0]
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()


def test_what_cannot_be_compared_is_refused(lpips):
    with pytest.raises(ValueError, match="at least 31 pixels"):
        lpips(some_images(side=30), some_images(side=30))
    assert float(lpips(some_images(side=31), some_images(side=31)).sum()) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        lpips(some_images(1), some_images(2))


def test_weights_that_are_missing_or_others_are_reported(folder, tmp_path):
    assert Lpips.load(tmp_path) is None
    backbone, heads = (models.record(name).file for name in ("lpips_backbone", "lpips_heads"))
    (tmp_path / backbone).write_bytes((folder / backbone).read_bytes())
    assert Lpips.load(tmp_path) is None
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / heads)
    with pytest.raises(ModelError, match="do not hold the weights of LPIPS"):
        Lpips.load(tmp_path)
    (tmp_path / heads).write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be read"):
        Lpips.load(tmp_path)


def test_evaluate_measures_it_where_the_weights_are(lpips, monkeypatch):
    truth = (255 * some_images(4)).byte().permute(0, 2, 3, 1).numpy()
    pairs = [FramePair(i, truth[(i + 1) % 4], truth[i]) for i in range(4)]
    monkeypatch.setattr(Lpips, "load", lambda: None)
    assert evaluate(pairs).figures["lpips"] is None
    monkeypatch.setattr(Lpips, "load", lambda: lpips)
    images = torch.from_numpy(truth).permute(0, 3, 1, 2) / 255
    expected = lpips(images, images.roll(1, 0)).mean()
    assert evaluate(pairs).figures["lpips"] == pytest.approx(float(expected), abs=1e-4)
    small = [FramePair(i, image[:20], image[:20]) for i, image in enumerate(truth)]
    assert evaluate(small).figures["lpips"] is None
    assert np.isnan(evaluate(small).lpips).all()
