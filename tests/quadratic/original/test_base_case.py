"""Two levels: the loss by quadrature, and the proof's two constants on and off assumptions."""

import math

import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic.original.alternation import turned
from hierlearn.quadratic.original.base_case import BaseConfig, claim_bound, loss, measure_base


def test_the_loss_is_the_mean_over_inputs_of_both_laws():
    form = torch.tensor([[0.7, -0.4], [-0.4, 0.2]]).double()
    nodes, weights = (torch.from_numpy(a) for a in hermegauss(9))
    z = torch.cartesian_prod(nodes, nodes) ** 2 - 1
    mass = torch.outer(weights, weights).flatten() / (2 * math.pi)
    exact = (mass * ((z @ form) * z).sum(1) ** 2).sum()
    torch.testing.assert_close(loss(form, second=2.0, fourth=60.0), exact)
    signs = 0.3 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 2)
    exact = ((signs @ form) * signs).sum(1).square().mean()
    torch.testing.assert_close(loss(form, second=0.3**2, fourth=0.3**4), exact)


@pytest.mark.parametrize("size", [1e-4, 1e-2, 0.1])
def test_claim_i_10_bounds_the_distance_up_to_rotation_of_any_features(size):
    draws = stream("test base case", 0)
    true = torch.randn(3, 7, generator=draws, dtype=torch.float64)
    near = true + size * torch.randn(3, 7, generator=draws, dtype=torch.float64)
    found = torch.linalg.qr(torch.randn(3, 3, generator=draws, dtype=torch.float64)).Q @ near
    distance = float((found.T @ turned(found.T, true.T) - true.T).norm())
    bound = claim_bound(found, true)
    assert distance <= bound or size > 0.05 and math.isnan(bound)
    assert math.isnan(claim_bound(3 * true, true))


def test_constants_hold_for_gaussian_inputs_and_the_first_fails_where_inputs_are_nearly_bits():
    configs = [BaseConfig(5, 2, 1500), BaseConfig(5, 2, 1500, flat=0.1)]
    gaussian, bits = measure_base(Group.of("x", configs, [0]), torch.device("cpu"))
    assert gaussian["converged"]
    assert max(gaussian["top"], gaussian["features"]) < 1 < min(bits["top"], gaussian["unturned"])
