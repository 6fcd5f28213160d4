"Derivatives, continuity and conditioning of the hash grid"
import pytest
import torch
from torch import nn

from sdf_dino.core.errors import ParameterError
from sdf_dino.field.hashgrid import GridConfig, HashGrid, cell_corners, hash_index

CONFIG = GridConfig(levels=3, rank=2, log2_rows=6, coarsest=3, finest=9)


@pytest.fixture
def grid():
    "A grid whose tables are not near zero"
    torch.manual_seed(0)
    grid = HashGrid(5, CONFIG)
    for table in grid.tables: nn.init.normal_(table)
    return grid


def test_weights_of_a_cell_by_hand():
    corners, weights = cell_corners(torch.tensor([[-.5 + .25 * .3, .1, .5]]), 4)    # 0.3, 2.4 and the last plane
    assert corners[0, 0].tolist() == [0, 2, 3] and corners[0, 7].tolist() == [1, 3, 4]
    by_hand = [a * b * c for a in (.7, .3) for b in (.6, .4) for c in (0, 1)]
    assert torch.allclose(weights[0], torch.tensor(by_hand), atol=1e-6)


def test_points_outside_take_the_value_of_the_border():
    outside = cell_corners(torch.full((1, 3), .7), 4)[1]
    assert torch.equal(outside, cell_corners(torch.full((1, 3), .5), 4)[1])


def test_neighbouring_corners_rarely_share_a_row():
    torch.manual_seed(0)
    neighbours = torch.cartesian_prod(*[torch.arange(2)] * 3)[1:]
    corners = torch.randint(0, 30, (2000, 1, 3))
    same = hash_index(corners, 31, 4096) == hash_index(corners + neighbours, 31, 4096)
    assert same.float().mean() < .01


@pytest.mark.parametrize("name, value", [("rank", 0), ("finest", 2)])
def test_impossible_sizes_are_refused_by_name(name, value):
    with pytest.raises(ParameterError, match=f"grid.{name}"): GridConfig(**{name: value})


def test_first_and_second_derivatives_are_right(grid):
    "The eikonal term needs second derivatives"
    grid = grid.double()
    codes = torch.randn(2, 5, dtype=torch.double, requires_grad=True)
    points = (torch.rand(2, 6, 3, dtype=torch.double) - .5).requires_grad_(True)
    assert torch.autograd.gradcheck(grid, (points, codes))
    assert torch.autograd.gradgradcheck(grid, (points, codes))


def test_tables_get_the_gradient_of_finite_differences(grid):
    grid = grid.double()
    codes = torch.randn(2, 5, dtype=torch.double)
    points = torch.rand(2, 6, 3, dtype=torch.double) - .5
    loss = grid(points, codes).square().sum()
    loss.backward()
    table = grid.tables[0]
    row = int(hash_index(cell_corners(points[0], 3)[0], 3, 64)[0, 0])
    with torch.no_grad(): table[row, 0] += 1e-6
    slope = (grid(points, codes).square().sum() - loss).item() / 1e-6
    assert slope == pytest.approx(table.grad[row, 0].item(), rel=1e-3, abs=1e-3)
    assert all(t.grad.abs().sum() > 0 for t in grid.tables)


@torch.no_grad()
def test_batches_equal_single_shapes_and_codes_matter(grid):
    codes = torch.randn(2, 5)
    points = torch.rand(2, 400, 3) - .5
    together = grid(points, codes)
    assert together.shape == (2, 400, 6)
    assert torch.allclose(together[1], grid(points[1], codes[1]), atol=1e-6)
    assert (together[0] - grid(points[0], codes[1])).abs().mean() > .1
    with torch.autocast("cpu", torch.bfloat16): assert torch.equal(grid(points, codes), together)


@torch.no_grad()
@pytest.mark.parametrize("cells", CONFIG.cells)
def test_features_are_continuous_across_cells(grid, cells):
    points = torch.rand(400, 3) - .5
    points[:, 0] = torch.randint(1, cells, (400,)) / cells - .5
    step = torch.tensor([1e-5, 0, 0])
    code = torch.randn(5)
    assert (grid(points - step, code) - grid(points + step, code)).abs().max() < 5e-3


@torch.no_grad()
def test_the_mixture_equals_tables_of_the_shape(grid):
    code = torch.randn(5)
    points = torch.rand(400, 3) - .5
    mix = grid.mix(code).reshape(3, 2, 2)
    separate = HashGrid(5, GridConfig(3, 2, 1, 6, 3, 9))
    separate.mix.weight.zero_()
    separate.mix.bias.fill_(1)
    for level, table in enumerate(grid.tables):
        separate.tables[level].copy_((table.reshape(-1, 2, 2) * mix[level]).sum(-1))
    assert torch.allclose(separate(points, code), grid(points, code), atol=1e-5)
