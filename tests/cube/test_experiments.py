"""The experiments of chapter 2: the search for N50, shared factorizations, statistics."""

import math
from types import SimpleNamespace

import pytest
import torch

from hierlearn.cube import certificates, experiments, figures, measures
from hierlearn.cube.certificates import ErrorsConfig, HalfErrorConfig, SpanConfig
from hierlearn.cube.exact_error import class_average_error, required_bytes
from hierlearn.cube.runs import NetworkConfig
from hierlearn.cube.target import ParityClass, draw_points, hamming, hierarchy_class
from hierlearn.engine.seeds import stream
from hierlearn.experiment import PROFILES, AbsentArm, Group, Run, Runs, every

from .test_target import all_points

CPU = torch.device("cpu")


@pytest.mark.parametrize("n_targets", [45, 1000])
@pytest.mark.parametrize("share", [0.51, 0.8, 1.0, 1.4, 2.0])
def test_the_search_finds_where_a_smooth_error_crosses_one_half(n_targets, share):
    def error(n):
        return 0.5 * (share * n_targets / n) ** 1.3

    found = certificates._search(error, n_targets, int(2.2 * n_targets))
    assert found == pytest.approx(share * n_targets, rel=0.03)


def test_the_search_says_when_the_error_stays_above_one_half():
    tried: list[int] = []
    assert certificates._search(lambda n: tried.append(n) or 1.0, 100, 220) is None
    assert max(tried) == 220


def test_the_measured_half_error_size_is_where_the_exact_error_crosses():
    config = HalfErrorConfig(dim=10, degree=2, kernel="poly4", ridges=(1e-3,))
    work = Group((Run("x", config.as_dict(), 5),))
    found = certificates.measure_half_error(work, CPU)[0]["n_samples"]
    target = ParityClass(10, (2,), (1.0,))
    kernel = certificates.cube_kernel("poly4", target)
    points = draw_points(99, 10, stream("samples", 5))

    def error(n):
        return class_average_error(kernel, target, hamming(points[:n], points[:n]), ridge=1e-3)

    assert error(math.floor(found) - 2) > 0.5 - 0.02
    assert error(math.ceil(found) + 2) < 0.5 + 0.02


def test_errors_of_a_group_are_those_of_its_runs_alone():
    target = hierarchy_class(10, (1.0, 0.7))
    configs = [
        ErrorsConfig(10, target.degrees, target.amplitudes, name, (20, 60))
        for name in ("rbf", "harmonic")
    ]
    runs = tuple(Run("x", config.as_dict(), seed) for seed in (1, 2) for config in configs)
    together = certificates.measure_errors(Group(runs), CPU)
    for run, result in zip(runs, together, strict=True):
        alone = certificates.measure_errors(Group((run,)), CPU)[0]
        assert result["relative"] == pytest.approx(alone["relative"], abs=1e-12)
        assert all(e >= b - 1e-7 for e, b in zip(alone["relative"], alone["bound"], strict=True))


@pytest.mark.parametrize("kernel", ["poly4", "harmonic"])
def test_no_weights_come_nearer_to_a_parity_than_the_measured_span(kernel):
    """Least squares on the whole cube, with the sections of the kernel as columns."""
    config = SpanConfig(8, 2, kernel, 12, n_draws=40)
    run = Run("x", config.as_dict(), 5)
    found = certificates.measure_spans(Group((run,)), CPU)[0]
    cube, x = all_points(8), draw_points(12, 8, stream("samples", 5)).double()
    values = certificates.cube_kernel(kernel, ParityClass(8, (2,), (1.0,))).values
    sections = values[hamming(cube, x)]
    shuffled = torch.rand(40, 8, generator=stream("parities", 5)).argsort(1)
    parities = cube[:, shuffled[:, :2]].prod(2)
    best = sections @ torch.linalg.lstsq(sections, parities, driver="gelsd").solution
    missed = (best - parities).square().mean(0)
    assert found["mean"] == pytest.approx(float(missed.mean()), abs=1e-9)
    assert found["percentile"] == pytest.approx(float(missed.quantile(0.01)), abs=1e-9)
    assert found["mean"] >= 1 - 12 / 28 - 0.2


@pytest.mark.parametrize("profile", PROFILES)
def test_the_largest_fit_of_a_profile_fits_into_memory(profile):
    of = {one.name: one for one in experiments.EXPERIMENTS}
    largest = max(
        math.ceil(1.3 * math.comb(run.config["dim"], run.config["degree"]))
        for group in of["kernel_half_error"].groups(profile)
        for run in group.runs
    )
    limit = {"smoke": 2**30, "laptop": 2 * 2**30, "paper": 100 * 2**30}[profile]
    assert required_bytes(largest) < limit


def runs_of_toy_networks(errors):
    """Toy runs of one seed on a parity of degree 4: errors by dimension and number of samples."""
    configs = {cell: NetworkConfig(cell[0], (0.0, 1.0), cell[1], 10) for cell in errors}
    records = [
        SimpleNamespace(config=configs[cell].as_dict(), seed=0, measurement={"rel": value})
        for cell, value in errors.items()
    ]
    return Runs("x", {"parity of degree 4": list(configs.values())}, records)


def test_the_exponent_is_read_off_the_crossings_of_one_tenth():
    errors = {}
    for dim in (8, 16, 32):
        crossing = 10 * dim**1.5
        for factor in (0.5, 0.8, 1.25, 2):
            errors[dim, round(factor * crossing)] = 0.1 * (crossing / round(factor * crossing)) ** 2
    found = experiments.SAMPLE_STATISTICS["parity_4_exponent"](runs_of_toy_networks(errors))
    assert found[0] == pytest.approx(1.5, abs=1e-6)


def test_an_error_that_never_falls_leaves_no_exponent():
    errors = {(8, 100): 1.0, (8, 200): 0.9, (16, 100): 1.0, (16, 200): 0.01}
    runs = runs_of_toy_networks(errors)
    assert math.isnan(experiments.SAMPLE_STATISTICS["parity_4_exponent"](runs)[0])
    with pytest.raises(AbsentArm, match="inside the grid"):
        figures.growth(runs, runs)


def test_an_unfit_kernel_that_never_reaches_one_half_leaves_a_bound():
    config = HalfErrorConfig(10, 2, "laplace", (1e-3,), largest=8.0)
    found = measures.n50_over_targets(config, {"n_samples": None})
    assert found == 8 and found.side == "≥"


def test_a_network_is_held_against_the_bound_of_its_own_number_of_samples():
    config = NetworkConfig(16, (0.0, 1.0), 910, 10)
    assert measures.network_over_bound(config, {"rel": 0.05}) == pytest.approx(0.05 / 0.5)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_largest_cell_of_a_target_is_an_arm(profile):
    arms = experiments.sample_arms(profile)
    for target in experiments.DIMS[profile]:
        largest = max(arms[target], key=lambda one: (one.dim, one.n_samples))
        assert arms[f"{target}, largest d and N"] == largest


@pytest.mark.parametrize("profile", PROFILES)
def test_where_the_bound_is_void_there_are_more_samples_than_targets(profile):
    arms = experiments.certificate_arms(profile)
    for name in ("void bound", "one hidden layer, degree 3", "poly4, degree 3"):
        for one in every(arms, name):
            assert one.sizes[-1] == max(one.sizes) > sum(one.target.multiplicities)


def test_only_the_sizes_at_which_the_bound_holds_are_held_against_it():
    measurement = {"bound": [0.5, 0.25, 0.0], "relative": [0.6, 0.5, 1e-9]}
    config = ErrorsConfig(10, (2,), (1.0,), "rbf", (20, 30, 60))
    assert measures.over_bound_of(True)(config, measurement) == pytest.approx(1.2)


def test_an_unknown_kernel_is_refused_with_the_valid_names():
    with pytest.raises(ValueError, match="no kernel 'gauss'; valid: rbf, laplace"):
        certificates.cube_kernel("gauss", ParityClass(8, (2,), (1.0,)))
