"""Parameters as tiny-cuda-nn lays them out, on a reference of its layout, and on the package where it can run."""

from types import SimpleNamespace

import pytest
import torch

from backend.renderer.field.kernels import get_kernel, why_not
from backend.renderer.field.kernels import tinycudann_layout as layouts
from backend.renderer.field.kernels.interface import GATE_HIDDEN, SPHERICAL_HARMONICS, Samples
from backend.renderer.field.kernels.tinycudann_kernel import TinycudannKernel
from backend.renderer.field.kernels.torch_kernel import encode
from backend.renderer.field.triplane import TriplaneLayout
from tests.backend.renderer import tinycudann_reference
from tests.backend.renderer.made_up_field import random_networks

ORACLE = get_kernel("torch")
PAPER = TriplaneLayout()
HAS_GPU = torch.cuda.is_available()
KERNELS = [
    pytest.param("reference", id="reference"),
    pytest.param(
        "package",
        id="package",
        marks=pytest.mark.skipif(
            not HAS_GPU or bool(why_not("tinycudann", "cuda")),
            reason="tinycudann runs on an NVIDIA GPU, where it is installed",
        ),
    ),
]


def _kernel(which: str) -> TinycudannKernel:
    return TinycudannKernel(ORACLE, tinycudann_reference if which == "reference" else None)


def _layout(random: torch.Generator) -> TriplaneLayout:
    number = lambda low, high: int(torch.randint(low, high, (), generator=random))  # noqa: E731
    return TriplaneLayout(number(1, 15), number(6, 13), number(2, 17), number(20, 513))


@pytest.mark.parametrize("which", KERNELS)
@pytest.mark.parametrize("layout", [PAPER, TriplaneLayout(3, 6, 2, 20)], ids=["paper", "small"])
def test_the_package_counts_as_many_parameters_as_the_conversion_makes(which, layout):
    modules = _kernel(which)._modules(layout, 64, 2)
    tables = torch.zeros(layout.features, layout.table_size)
    assert len(modules.encoding.params) == len(layouts.tables_to_parameters(tables, layout))
    for module, (inputs, hidden, outputs) in (
        (modules.gate, (layout.features + 1, GATE_HIDDEN, 2)),
        (modules.density, (layout.features + 5, 64, 64)),
        (modules.colour, (64 + SPHERICAL_HARMONICS + 1, 64, 3)),
    ):
        made = layouts.matrices_to_parameters(torch.zeros(hidden, inputs), torch.zeros(outputs, hidden))
        assert len(module.params) == len(made)


def test_the_papers_levels_have_the_lengths_of_the_documentation():
    sizes = layouts.level_sizes(PAPER)
    assert sizes[0] == 296  # 17² vertices, to a multiple of 8
    assert sizes[-1] == PAPER.table_size == 16384  # hashed
    assert all(size % 8 == 0 for size in sizes)


@pytest.mark.parametrize("seed", range(20))
def test_parameters_come_back_as_they_were(seed):
    random = torch.Generator().manual_seed(seed)
    layout = _layout(random)
    tables = torch.randn(layout.features, layout.table_size, generator=random)
    for number, resolution in enumerate(layout.resolutions().tolist() * 3):
        if (resolution + 1) ** 2 <= layout.table_size:
            tables[number, (resolution + 1) ** 2 :] = 0  # no vertex has them
    assert torch.equal(layouts.parameters_to_tables(layouts.tables_to_parameters(tables, layout), layout), tables)
    first, last = torch.randn(24, 43, generator=random), torch.randn(5, 24, generator=random)
    parameters = layouts.matrices_to_parameters(first, last)
    found = layouts.parameters_to_matrices(parameters, 43, 24, 5)
    assert torch.equal(found[0], first) and torch.equal(found[1], last)


@pytest.mark.parametrize("seed", range(20))
def test_grids_read_what_the_oracle_reads_at_the_cubes_faces_too(seed):
    random = torch.Generator().manual_seed(seed)
    layout = _layout(random)
    points = torch.rand(300, 3, generator=random)
    points[:8] = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)])
    tables = torch.randn(layout.features, layout.table_size, generator=random)
    config = layouts.encoding_config(layout)
    module = tinycudann_reference.Encoding(2 * layout.features, config, dtype=torch.float32)
    module.params = torch.nn.Parameter(layouts.tables_to_parameters(tables, layout))
    found = module(layouts.encoding_inputs(points, layout))
    torch.testing.assert_close(found, encode(points, tables, layout), atol=1e-3, rtol=0)


def _shaded(kernel, seed: int, device: str = "cpu", samples_at_least: int = 1):
    """Values, and gradients of a random weighting of them, of samples in some frames, one of them empty."""
    random = torch.Generator().manual_seed(seed)
    layout, rays = _layout(random), 20
    hidden, total = (16, 24, 64)[seed % 3], samples_at_least - 1 + int(torch.randint(1, 400, (), generator=random))
    positions = torch.rand(total, 3, generator=random)
    positions[0] = torch.tensor([0.0, 1.0, 0.5])
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=random), dim=1)
    ray_of = torch.randint(0, rays, (total,), generator=random).sort().values.int()
    ends = torch.zeros(rays + 1, dtype=torch.int64)
    samples = Samples(*(x.to(device) for x in (positions, torch.ones(total), ray_of, ends, torch.ones(total))))
    starts = torch.tensor([0, total // 3, total // 3, total], device=device)
    networks = random_networks(3, layout.features, hidden, random)
    tables = torch.randn(layout.features, layout.table_size, generator=random)
    tables = tables.to(device).requires_grad_()
    for name, value in vars(networks).items():
        setattr(networks, name, value.detach().to(device).requires_grad_(name != "regions"))
    weight = 1e-6 * torch.randn(total, 4, generator=random).to(device)  # as small as a step's gradients are
    if samples_at_least > 1:
        weight = weight.abs()  # so that sums are as large as they may be
    density, colour, gates = kernel.shade(samples, directions.to(device), starts, tables, layout, networks)
    ((density * weight[:, 0]).sum() + (colour * weight[:, 1:]).sum()).backward()
    gradients = {name: value.grad for name, value in vars(networks).items() if value.requires_grad}
    named = {"density": density, "colour": colour, "gates": gates, "gradient of tables": tables.grad}
    return {name: value.detach().cpu() for name, value in (named | gradients).items()}


@pytest.mark.parametrize("which", KERNELS)
@pytest.mark.parametrize("seed", range(12))
def test_samples_are_shaded_as_the_oracle_shades_them(which, seed):
    expected = _shaded(ORACLE, seed)
    found = _shaded(_kernel(which), seed, "cpu" if which == "reference" else "cuda")
    tolerance = 1e-3 if which == "reference" else 3e-2  # half precision
    for name, value in expected.items():
        exact = name in ("density", "colour", "gates")
        worst = float((found[name] - value).abs().max())
        assert worst <= (tolerance if exact else 10 * tolerance) * float(value.abs().max()), (name, worst)


@pytest.mark.parametrize("seed", (0, 2))
def test_sums_over_many_samples_stay_within_half_precision(seed):
    half = SimpleNamespace(Encoding=tinycudann_reference.Encoding, Network=tinycudann_reference.HalfNetwork)
    found = _shaded(TinycudannKernel(ORACLE, half), seed, samples_at_least=20_000)
    for name, value in _shaded(ORACLE, seed, samples_at_least=20_000).items():
        assert float((found[name] - value).abs().max()) <= 3e-2 * float(value.abs().max()), name


def test_a_frame_without_samples_is_shaded():
    networks = random_networks(1, PAPER.features, 64, torch.Generator().manual_seed(0))
    none = Samples(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0).int(), torch.zeros(2).long(), torch.zeros(0))
    tables = torch.zeros(PAPER.features, PAPER.table_size)
    density, colour, gates = _kernel("reference").shade(
        none, torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0, 0]), tables, PAPER, networks
    )
    assert (density.shape, colour.shape, gates.shape) == ((0,), (0, 3), (0, 2))


def test_networks_wider_than_it_fuses_are_named():
    with pytest.raises(ValueError, match="at most 128 hidden units, not 200"):
        layouts.width_of(200)
