"""The kernels agree with plain PyTorch in value and gradient, on random sizes."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from backend.compilation.processor import has_bfloat16
from backend.renderer.field.kernels import get_kernel
from backend.renderer.field.kernels.interface import (
    Grid,
    Samples,
    empty_block_distance,
)
from backend.renderer.field.triplane import TriplaneLayout
from tests.backend.renderer.made_up_field import random_networks

pytest.importorskip("numba")

from backend.renderer.field.kernels.numba_kernel import NumbaKernel

ORACLE, COMPILED = get_kernel("torch"), get_kernel("numba")
BFLOAT16 = pytest.mark.skipif(not has_bfloat16(), reason="this processor does not multiply bfloat16")


@pytest.fixture(params=range(3))
def random(request):
    return torch.Generator().manual_seed(request.param)


def _layout(random) -> TriplaneLayout:
    levels = int(torch.randint(1, 8, (), generator=random))
    return TriplaneLayout(levels, log2_table_size=10, base_resolution=7, finest_resolution=300)


def _shaded(kernel, layout, hidden, seed):
    """Values, and gradients of a random weighting of them, of samples in three frames, one of them empty."""
    random = torch.Generator().manual_seed(seed)
    total, rays = int(torch.randint(1, 3000, (), generator=random)), 50
    positions = torch.rand(total, 3, generator=random)
    positions[0] = torch.tensor([0.0, 1.0, 0.5])  # the cube's faces belong to it
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=random), dim=1)
    ray_of = torch.randint(0, rays, (total,), generator=random).sort().values.int()
    samples = Samples(positions, torch.ones(total), ray_of, torch.zeros(rays + 1, dtype=torch.int64), torch.ones(total))
    starts = torch.tensor([0, total // 3, total // 3, total])
    networks = random_networks(3, layout.features, hidden, random)
    tables = torch.randn(layout.features, layout.table_size, generator=random).requires_grad_()
    weight = torch.randn(total, 4, generator=random)
    density, colour, gates = kernel.shade(samples, directions, starts, tables, layout, networks)
    ((density * weight[:, 0]).sum() + (colour * weight[:, 1:]).sum()).backward()
    gradients = {name: value.grad for name, value in vars(networks).items() if value.requires_grad}
    return {"density": density.detach(), "colour": colour.detach(), "gates": gates}, {
        "tables": tables.grad,
        **gradients,
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hidden", [16, 64])
def test_samples_are_shaded_alike_and_with_the_same_gradients(seed, hidden):
    layout = _layout(torch.Generator().manual_seed(seed))
    (value, gradient), (value_c, gradient_c) = (
        _shaded(kernel, layout, hidden, seed) for kernel in (ORACLE, NumbaKernel(bfloat16=False))
    )
    for name, expected in value.items():
        torch.testing.assert_close(value_c[name], expected, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    for name, expected in gradient.items():
        size = float(expected.abs().max())
        torch.testing.assert_close(
            gradient_c[name], expected, atol=2e-5 * size, rtol=2e-3, msg=lambda m, n=name: f"{n}: {m}"
        )


@BFLOAT16
@pytest.mark.parametrize("seed", range(4))
def test_bfloat16_products_stay_near_the_oracle(seed):
    layout = _layout(torch.Generator().manual_seed(seed))
    (value, gradient), (value_c, gradient_c) = (
        _shaded(kernel, layout, 64, seed) for kernel in (ORACLE, NumbaKernel(bfloat16=True))
    )
    assert (value_c["colour"] - value["colour"]).abs().max() < 0.05
    assert (value_c["density"] / value["density"] - 1).abs().mean() < 0.05
    for name, expected in gradient.items():  # a step in nearly the same direction
        agreement = torch.nn.functional.cosine_similarity(gradient_c[name].flatten(), expected.flatten(), 0)
        assert agreement > (0.99 if expected.numel() > 64 else 0.95), name


@pytest.mark.parametrize("bfloat16", [False, pytest.param(True, marks=BFLOAT16)])
def test_a_frame_drawn_at_once_is_what_its_parts_make(bfloat16):
    random = torch.Generator().manual_seed(7)
    layout = TriplaneLayout(7, 12, 8, 200)
    occupied = torch.zeros(32, 32, 32, dtype=torch.uint8)
    occupied[6:26, 8:28, 10:22] = (torch.rand(20, 20, 12, generator=random) > 0.3).to(torch.uint8)
    grid = Grid(occupied, empty_block_distance(occupied), 0.3, 0.004, 48)
    tables = torch.randn(layout.features, layout.table_size, generator=random)
    networks = random_networks(1, layout.features, 64, random)
    networks.density_bias = torch.tensor([5.0])
    v, u = torch.meshgrid(torch.linspace(-0.3, 0.3, 50), torch.linspace(-0.3, 0.3, 70), indexing="ij")
    directions = torch.nn.functional.normalize(torch.stack([u, v, torch.ones_like(u)], -1).reshape(-1, 3), dim=1)
    origin = torch.tensor([0.5, 0.5, -1.2])
    given = origin, directions, grid, tables, layout, networks
    expected = ORACLE.draw(*given)
    drawn = NumbaKernel(bfloat16=bfloat16).draw(*given)
    assert expected[:, 3].max() > 0.99 and (expected[:, 3] == 0).any()
    # The early end of a ray and bfloat16 are worth less than a grey level.
    assert (drawn - expected)[:, :4].abs().max() < (2.5 / 255 if bfloat16 else 0.5 / 255)
    assert (drawn - expected)[:, 4:].abs().max() < 0.02


def _rays(count, random):
    origins = torch.rand(count, 3, generator=random) * 0.4 + 0.3
    origins[:, 2] = -1.0
    directions = torch.randn(count, 3, generator=random) * 0.2
    directions[:, 2] = 1.0
    return origins, directions / directions.norm(dim=1, keepdim=True)


def _march(kernel, random, max_samples):
    grid = 32
    occupied = (torch.rand(grid, grid, grid, generator=random) > 0.97).to(torch.uint8)
    occupied[8:20, 10:25, 12:15] = 1
    origins, directions = _rays(int(torch.randint(1, 2000, (), generator=random)), random)
    jitter = torch.rand(len(origins), generator=random)
    return kernel.march(
        origins, directions, Grid(occupied, empty_block_distance(occupied), 0.3, 0.004, max_samples), jitter
    ), occupied


@pytest.mark.parametrize("max_samples", [1, 6, 64])
def test_marching_places_the_same_samples(max_samples):
    first, _ = _march(ORACLE, torch.Generator().manual_seed(4), max_samples)
    second, occupied = _march(COMPILED, torch.Generator().manual_seed(4), max_samples)
    # A sample within rounding of a cell's border may fall to either side.
    assert abs(len(first.positions) - len(second.positions)) <= 1 + len(first.positions) // 2000
    same = first.offsets.diff() == second.offsets.diff()
    assert same.float().mean() > 0.998
    cell = (second.positions * occupied.shape[0]).long().clamp(0, occupied.shape[0] - 1)
    assert occupied[cell[:, 0], cell[:, 1], cell[:, 2]].float().mean() > 0.999
    assert int(second.offsets.diff().max()) <= max_samples


def test_samples_fade_alike_and_to_nothing_at_the_border_of_occupied_cells():
    (first, occupied), (second, _) = (_march(k, torch.Generator().manual_seed(4), 64) for k in (ORACLE, COMPILED))
    both = (first.offsets.diff() == second.offsets.diff()).repeat_interleave(first.offsets.diff())
    also = (first.offsets.diff() == second.offsets.diff()).repeat_interleave(second.offsets.diff())
    torch.testing.assert_close(second.fade[also], first.fade[both], atol=1e-3, rtol=0)
    assert first.fade.min() < 0.05 and first.fade.max() == 1
    # By brute force: how far the nearest empty cell is, by the largest axis, in cells.
    grid = occupied.shape[0]
    empty = torch.nn.functional.pad(occupied, (1,) * 6).eq(0).nonzero() - 1.0
    for point, fade in zip(first.positions[:200] * grid, first.fade[:200], strict=True):
        outside = torch.maximum(empty - point, point - (empty + 1)).clamp(min=0).amax(1)
        assert abs(float(outside.min()) / 0.5 - float(fade)) < 1e-3 or (outside.min() > 0.5 and fade == 1)


def test_empty_block_distance_counts_empty_blocks_around():
    occupied = torch.zeros(32, 32, 32, dtype=torch.uint8)
    occupied[9, 0, 0] = 1  # block (2, 0, 0)
    clear = empty_block_distance(occupied)
    assert clear[:, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5]
    assert clear[2, 6, 3] == 6
    assert empty_block_distance(torch.zeros(32, 32, 32, dtype=torch.uint8)).eq(16).all()


def test_a_ray_that_misses_the_cube_has_no_samples():
    occupied = torch.ones(8, 8, 8, dtype=torch.uint8)
    origins, directions = torch.tensor([[3.0, 3.0, -1.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    for kernel in (ORACLE, COMPILED):
        samples = kernel.march(
            origins, directions, Grid(occupied, empty_block_distance(occupied), 0.3, 0.004, 8), torch.zeros(1)
        )
        assert len(samples.positions) == 0 and samples.offsets.tolist() == [0, 0]


def test_compositing_and_its_gradient_agree(random):
    counts = torch.randint(0, 9, (500,), generator=random)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    total = int(offsets[-1])
    rays = torch.repeat_interleave(torch.arange(500, dtype=torch.int32), counts)
    # A ray's samples go away from the camera, with gaps where it crosses empty cells.
    distances = 1 + 0.004 * torch.randint(1, 4, (total,), generator=random).cumsum(0).float()
    samples = Samples(torch.rand(total, 3), distances, rays, offsets, torch.ones(total))
    weight, distortion_weight = torch.randn(500, 4, generator=random), torch.randn(500, generator=random)
    density, colour = torch.rand(total, generator=random) * 400, torch.rand(total, 3, generator=random)
    results = []
    for kernel in (ORACLE, COMPILED):
        d, c = density.clone().requires_grad_(), colour.clone().requires_grad_()
        rgba, weights, distortion = kernel.composite(d, c, samples, 0.004)
        ((rgba * weight).sum() + (distortion * distortion_weight).sum()).backward()
        results.append((rgba.detach(), weights, distortion.detach(), d.grad, c.grad))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(second, first, atol=5e-5, rtol=5e-4)


def test_distortion_is_the_weighted_distance_of_each_two_samples():
    distances = torch.tensor([1.0, 1.01, 1.05])
    samples = Samples(torch.zeros(3, 3), distances, torch.zeros(3).int(), torch.tensor([0, 3]), torch.ones(3))
    for kernel in (ORACLE, COMPILED):
        _, w, distortion = kernel.composite(torch.tensor([30.0, 60.0, 90.0]), torch.zeros(3, 3), samples, 0.01)
        pairs = (w[:, None] * w[None] * (distances[:, None] - distances[None]).abs()).sum() / 0.01
        assert float(distortion[0]) == pytest.approx(float(pairs), rel=1e-4)


def test_a_solid_sample_hides_what_lies_behind():
    rays, offsets = torch.zeros(2, dtype=torch.int32), torch.tensor([0, 2])
    samples = Samples(torch.zeros(2, 3), torch.zeros(2), rays, offsets, torch.ones(2))
    colour = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for kernel in (ORACLE, COMPILED):
        rgba, *_ = kernel.composite(torch.tensor([1e5, 1e5]), colour, samples, 0.01)
        torch.testing.assert_close(rgba, torch.tensor([[1.0, 0.0, 0.0, 1.0]]))


@pytest.mark.long
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="names a processor of that family")
def test_a_processor_without_wide_vectors_computes_the_same(tmp_path):
    """The code for narrower vectors: these tests once more, compiled for a processor of 2013."""
    chosen = [
        "test_samples_are_shaded_alike_and_with_the_same_gradients",
        "test_a_frame_drawn_at_once_is_what_its_parts_make",
    ]
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "SYNCTALK_KERNELS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", f"({chosen[0]} and 64-1) or {chosen[1]}"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "2 passed, 1 skipped" in done.stdout  # bfloat16 is not for that processor
