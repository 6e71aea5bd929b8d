"""Triton's kernels agree with plain PyTorch in value and gradient, in Triton's interpreter where there is no GPU."""

import importlib
import importlib.util
import os

import numpy as np
import pytest
import torch

from backend.renderer.field.kernels import Networks, get_kernel
from backend.renderer.field.kernels.interface import Grid, empty_block_distance
from backend.renderer.field.triplane import TriplaneLayout
from tests.backend.renderer.compiled_triton import SHARED_KB, assert_compiles
from tests.backend.renderer.made_up_field import random_networks
from tests.backend.renderer.watched_launches import watch_launches

if not importlib.util.find_spec("triton"):
    pytest.skip("Triton is not installed: `python3 install test --triton PATH` brings it", allow_module_level=True)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported

triton_kernel = importlib.import_module("backend.renderer.field.kernels.triton_kernel")
TritonKernel = triton_kernel.TritonKernel

ORACLE = get_kernel("torch")
HALF = get_kernel("triton", DEVICE).dtype
"""Of a GPU's products; single precision in the interpreter."""
RANDOM_CASES = 208
ROUNDING = 1e-6
DEGENERATE = ("one ray", "no sample", "all empty", "all occupied", "one sample a ray")


class Case:
    """Rays, a grid, tables and networks of random sizes, and what weighs the results in a loss."""

    def __init__(self, seed: int, kind: str = "random") -> None:
        random = torch.Generator().manual_seed(seed)

        def number(low: int, high: int) -> int:
            return int(torch.randint(low, high, (), generator=random))

        cells, self.rays = (8, 16, 24, 32)[number(0, 4)], 1 if kind == "one ray" else number(1, 90)
        occupied = torch.rand((cells,) * 3, generator=random) < torch.rand((), generator=random) ** 2
        occupied[cells // 4 : cells // 2, cells // 4 : cells // 2, cells // 4 : 3 * cells // 4] = True
        if kind in ("all empty", "all occupied"):
            occupied[:] = kind == "all occupied"
        occupied = occupied.to(torch.uint8)
        most = 1 if kind == "one sample a ray" else number(1, 24)
        step = 0.3 * (0.3 + float(torch.rand((), generator=random))) / 16
        self.grid = Grid(occupied, empty_block_distance(occupied), 0.3, step, most)
        levels = number(1, 15)
        self.layout = TriplaneLayout(levels, number(5, 11), number(2, 9), number(20, 300))
        self.hidden = (8, 16, 24, 32, 64)[number(0, 5)]
        self.frames = number(1, 5)
        self.networks = random_networks(self.frames, self.layout.features, self.hidden, random)
        self.networks.density_bias = (5 * torch.rand(1, generator=random)).requires_grad_()
        self.tables = torch.randn(self.layout.features, self.layout.table_size, generator=random).requires_grad_()
        self.origins = torch.rand(self.rays, 3, generator=random) * 0.6 + 0.2
        self.origins[:, 2] = -0.5
        towards = torch.randn(self.rays, 3, generator=random) * 0.3 + torch.tensor([0.0, 0.0, 1.0])
        if kind == "no sample":
            towards[:, 2] = -1
        self.directions = torch.nn.functional.normalize(towards, dim=1)
        self.jitter = torch.rand(self.rays, generator=random)
        # The first rays are the first frame's, and so on; frames may be empty.
        borders = torch.randint(0, self.rays + 1, (self.frames - 1,), generator=random).sort().values
        self.borders = torch.cat([torch.tensor([0]), borders, torch.tensor([self.rays])])
        self.weights = torch.randn(self.rays, 5, generator=random)

    def _leaves(self) -> dict[str, torch.Tensor]:
        named = {"tables": self.tables} | vars(self.networks)
        return {name: value for name, value in named.items() if value.requires_grad}

    def trained(self, kernel, device: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """What a step of training sees of a kernel, and the gradients of a loss."""
        to = lambda value: value.detach().to(device).requires_grad_(value.requires_grad)  # noqa: E731
        tables, networks = to(self.tables), Networks(**{name: to(value) for name, value in vars(self.networks).items()})
        grid = Grid(
            **{
                **vars(self.grid),
                "occupied": to(self.grid.occupied),
                "empty_block_distance": to(self.grid.empty_block_distance),
            }
        )
        samples = kernel.march(to(self.origins), to(self.directions), grid, to(self.jitter))
        starts, total = samples.offsets[self.borders.to(device)], int(samples.offsets[-1])
        density, colour, gates = kernel.shade(samples, to(self.directions), starts, tables, self.layout, networks)
        rgba, weights, distortion = kernel.composite(density * samples.fade, colour, samples, grid.step)
        loss = (rgba * to(self.weights)[:, :4]).sum() + (distortion * to(self.weights)[:, 4]).sum()
        loss.backward()
        values = {"rgba": rgba, "weights": weights[:total], "distortion": distortion, "density": density[:total],
                  "colour": colour[:total], "gates": gates[:total], "fade": samples.fade[:total],
                  "positions": samples.positions[:total], "offsets": samples.offsets}  # fmt: skip
        gradients = {"tables": tables.grad} | {
            name: value.grad for name, value in vars(networks).items() if value.requires_grad
        }
        return tuple({name: value.detach().cpu() for name, value in part.items()} for part in (values, gradients))

    def on_the_same_side(self, found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The oracle's gradients with biases changed by a rounding error, where that brings them to what was found.

        A unit of one sample that is zero to within rounding has a gradient on one side and none on the other: both are right.
        """
        biases = [getattr(self.networks, name) for name in ("first_bias", "hidden_bias", "colour_bias")]
        tried = []
        for change in (ROUNDING, -ROUNDING):
            for bias in biases:
                kept = bias.detach().clone()
                bias.data += change
                tried.append(self.trained(ORACLE, "cpu")[1])
                bias.data = kept
        return min(tried, key=lambda given: max(worst_difference(found[name], given[name]) for name in given))

    def drawn(self, kernel, device: str) -> torch.Tensor:
        networks = Networks(**{name: value.detach().to(device) for name, value in vars(self.networks).items()})
        networks.condition = networks.condition[:1]
        grid = Grid(
            **{
                **vars(self.grid),
                "occupied": self.grid.occupied.to(device),
                "empty_block_distance": self.grid.empty_block_distance.to(device),
            }
        )
        given = self.origins[0].to(device), self.directions.to(device), grid, self.tables.detach().to(device)
        return kernel.draw(*given, self.layout, networks).cpu()


def assert_near(found: torch.Tensor, expected: torch.Tensor, tolerance: float, name: str) -> None:
    """To within `tolerance` of the largest value."""
    assert found.shape == expected.shape, name
    assert near(found, expected, tolerance), (name, worst_difference(found, expected))


def near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    worst = worst_difference(found, expected)
    return np.isfinite(worst) and worst <= tolerance * float(expected.abs().max() if expected.numel() else 0) + 1e-12


def worst_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).abs().max()) if expected.numel() else 0.0


def assert_agrees(case: Case, dtype: torch.dtype = torch.float32, value: float = 1e-3, gradient: float = 1e-2) -> None:
    kernel = TritonKernel(dtype)
    expected, expected_gradients = case.trained(ORACLE, "cpu")
    found, found_gradients = case.trained(kernel, DEVICE)
    for name in expected:
        assert_near(found[name], expected[name], value, name)
    if not all(near(found_gradients[name], expected_gradients[name], gradient) for name in expected_gradients):
        expected_gradients = case.on_the_same_side(found_gradients)
    for name in expected_gradients:
        assert_near(found_gradients[name], expected_gradients[name], gradient, f"gradient of {name}")
    assert_near(case.drawn(kernel, DEVICE), case.drawn(ORACLE, "cpu"), value, "a frame")


@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_rays_and_grids_agree_with_the_oracle(kind):
    assert_agrees(Case(3, kind))


@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_training_and_a_frame_agree_with_the_oracle(seed):
    assert_agrees(Case(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 100 + RANDOM_CASES))
def test_random_sizes_agree_with_the_oracle(seed):
    assert_agrees(Case(seed, (*["random"] * 11, *DEGENERATE)[seed % 16]))


@pytest.mark.parametrize("seed", range(2))
def test_half_precision_stays_near_the_oracle(seed):
    """The interpreter multiplies float16 as a GPU does."""
    assert_agrees(Case(10 + seed), torch.float16, value=2e-2, gradient=5e-2)


@pytest.mark.skipif(DEVICE != "cpu", reason="of the interpreter")
@pytest.mark.parametrize("seed", (1, 4))
def test_bfloat16_stays_near_the_oracle(seed, monkeypatch):
    """Of many samples: of a few, gradients are far off in plain PyTorch's bfloat16 too, where a unit near zero changes sign."""
    importlib.import_module("tests.backend.renderer.rounded_products").round_products(monkeypatch)
    assert_agrees(Case(seed), value=5e-3, gradient=0.1)


def test_gradients_too_small_for_half_precision_are_kept():
    case = Case(0)
    case.weights *= 1e-9
    _, expected = case.trained(ORACLE, "cpu")
    _, found = case.trained(TritonKernel(torch.float16), DEVICE)
    for name in expected:
        assert_near(found[name], expected[name], 5e-2, name)


def test_room_without_samples_is_empty():
    case = Case(1)
    kernel = TritonKernel()
    samples = kernel.march(
        *(value.to(DEVICE) for value in (case.origins, case.directions)),
        Grid(case.grid.occupied.to(DEVICE), case.grid.empty_block_distance.to(DEVICE), *list(vars(case.grid).values())[2:]),
        case.jitter.to(DEVICE),
    )  # fmt: skip
    total = int(samples.offsets[-1])
    assert len(samples.positions) == case.rays * case.grid.max_samples > total > 0
    assert not samples.fade[total:].any() and not samples.positions[total:].any()


def test_kernels_are_launched_on_the_device_of_their_tensors(monkeypatch):
    launched, case = watch_launches(monkeypatch, triton_kernel), Case(3, "one ray")
    case.trained(TritonKernel(), DEVICE)
    case.drawn(TritonKernel(), DEVICE)
    assert len(set(launched)) == 7


@pytest.mark.slow
def test_kernels_compile_where_sizes_are_one(tmp_path):
    """Triton makes constants of arguments that are 1."""
    assert_compiles("field", 90, 7, tmp_path, "ones")


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_KB)
def test_kernels_compile_for_gpus_that_are_not_there(capability, tmp_path):
    assert_compiles("field", capability, 7, tmp_path)


@pytest.mark.slow
def test_a_checkpoint_is_rendered_alike_by_all_kernels(trained_once, monkeypatch):
    from backend.renderer.field.renderer import FieldRenderer
    from backend.training import checkpoints
    from backend.workspace.store import Workspace

    workspace = Workspace.open(trained_once)
    track = workspace.head_track(head="field")
    field = checkpoints.load_newest(workspace).field()
    frame = int(np.flatnonzero(track.valid)[20])
    images = {}
    kernels = {
        "torch": ORACLE,
        "numba": get_kernel("numba"),
        "triton": TritonKernel(),
        "triton, half": TritonKernel(HALF),
    }
    for name, kernel in kernels.items():
        device = DEVICE if kernel.name == "triton" else "cpu"
        if name == "triton, half" and DEVICE == "cpu":
            importlib.import_module("tests.backend.renderer.rounded_products").round_products(monkeypatch)
        renderer = FieldRenderer(field.to(device), kernel)
        images[name] = renderer.render(
            track.camera.scaled(64, 64), track.head_to_camera[frame], track.blendshapes[frame]
        ).rgba
    assert images["torch"][..., 3].max() > 0.9
    for name, image in images.items():
        assert np.abs(image - images["torch"]).max() <= 1 / 255, name
