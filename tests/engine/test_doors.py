"""Doors: what public functions are given is right, or refused with a ValueError.

Every public function, constructor and method of the library is called with arguments made from its
own signature, and then with one of them spoilt: another rank, a size off by one, an axis of one
entry that would broadcast, an index that is negative or too large, another dtype, nan. The shapes
that jaxtyping and beartype find while testing, behind the door, are the independent judge. The
doors are tried without them, as a reader has them, and what has come through is then shown to them.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from signatures import (
    ABSTRACT,
    CALLABLES,
    NAN_STAYS_NAN,
    NEGATIVE,
    Levels,
    arguments,
    doors_alone,
    generator,
    instances,
    negative,
    not_a_number,
    special,
    spoilt,
)

from hierlearn import certificate
from hierlearn.ball import measures as radial
from hierlearn.ball import networks as sigmoid
from hierlearn.ball import target as balls
from hierlearn.ball import training as descent
from hierlearn.conditions import bits
from hierlearn.cube import bounds, exact_error
from hierlearn.cube import target as cube
from hierlearn.engine import kernels
from hierlearn.engine.doors import checked, plain
from hierlearn.engine.memory import TooLargeError
from hierlearn.engine.seeds import stream
from hierlearn.grammar import derivations
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.quadratic import modules, protocols
from hierlearn.quadratic.layerwise import floors
from hierlearn.quadratic.measures import unexplained
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.original import alternation
from hierlearn.quadratic.target import QuadraticTeachers

NAMES = sorted(CALLABLES.keys() - {ABSTRACT})


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(floors, "MAX_STEPS", 2)  # of a search that takes seconds


def forget_what_was_made() -> None:
    for one in (instances, special):
        one.cache_clear()


def test_every_public_callable_has_a_door():
    assert [name for name, one in CALLABLES.items() if not hasattr(one, "unchecked")] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_made_from_the_signature_is_taken_and_a_spoilt_one_refused_or_fits(name):
    function, right = arguments(name)
    function(**right)
    for key, one in right.items():
        for wrong in spoilt(one):
            takes_or_refuses(name, key, wrong)


def takes_or_refuses(name: str, key: str, wrong: Any) -> None:
    """Call with one wrong argument: first as a reader does, then, if it was taken, judged."""
    function, given_values = arguments(name)
    try:
        with doors_alone():
            result = function(**given_values | {key: wrong})
    except ValueError as error:
        assert str(error), (name, key)
        return
    must = (
        negative(wrong)
        and not (name in NEGATIVE or key in NEGATIVE)
        or (not_a_number(wrong) and key not in NAN_STAYS_NAN)
        or wrong is True
    )
    assert not must, f"{name} took {key} = {wrong!r}"
    for number in result if isinstance(result, (tuple, list)) else [result]:
        assert not (isinstance(number, float) and math.isnan(number)), (name, key, wrong)
    function, given_values = arguments(name)
    try:
        function(**given_values | {key: wrong})
    except TypeCheckError as error:
        raise AssertionError(f"{name} let {key} = {wrong!r} through") from error


# --- cases that once ended in a wrong answer, or in words of torch ----------------------------


def refused(*words: str) -> Any:
    """A ValueError that says all of this, in order."""
    return pytest.raises(ValueError, match=".*".join(words))


def target(n_seeds: int = 1, dtype: torch.dtype | None = None) -> QuadraticTeachers:
    return QuadraticTeachers.draw(range(n_seeds), dim=4, widths=(3, 2), skip=0.5, dtype=dtype)


def test_a_column_of_targets_is_refused_where_it_would_broadcast():
    batches = ((torch.ones(5, 4), torch.ones(5, 1)) for _ in range(3))
    protocol = protocols.Protocol(opens=(0, 1))
    with refused(r"inputs \[batch, dim\] and targets \[batch\]", r"\[5, 4\] and \[5, 1\]"):
        modules.train(Levels(4), protocol, batches=batches, n_steps=3)
    short = ((torch.ones(5, 4), torch.ones(5)) for _ in range(2))
    with refused("must last for 3 steps", "ended after 2"):
        modules.train(Levels(4), protocol, batches=short, n_steps=3)


def test_every_level_has_a_gap_of_its_own():
    for gaps in ((0.5,), (1.0, 0.2, 0.1), (1.0, math.inf)):
        with refused("gaps must be 2 finite numbers"):
            modules.fresh_batches(target(), gaps, size=3, generator=generator())
    with refused("one target", "got 2"):
        modules.fresh_batches(target(2), (1.0, 0.2), size=3, generator=generator())
    for gaps in ((0.0, 1.0), (1.0,), (1.0, -1.0)):
        with refused("gaps must be 2 numbers, one a level, positive"):
            protocols.compile_plan([protocols.Protocol(opens=(0, 2))], [gaps], 5)


def test_labels_and_choices_lie_inside_the_grammar():
    grammar = instances()[RandomHierarchy]
    zeros = [torch.zeros(1, n, dtype=torch.int64) for n in (1, 2)]
    grammar.derive(torch.tensor([3]), zeros)
    for label in (-1, 4):
        with refused(r"labels must lie in 0..3", f"got {label}"):
            grammar.derive(torch.tensor([label]), zeros)
    with refused(r"choices\[0\] must lie in 0..1", "got 2"):
        grammar.derive(torch.tensor([0]), [zeros[0] + 2, zeros[1]])
    with refused("one tensor a level", r"\[1, 2\]"):
        grammar.derive(torch.tensor([0]), [zeros[0], zeros[0]])
    with refused("strings must lie in 0..3", "got 0..5"):
        grammar.parse(torch.tensor([[0, 5, 0, 0]], dtype=torch.uint8))


def test_a_row_against_a_column_is_refused_with_both_sizes():
    with refused(
        "target of unexplained", "run = 1 as in prediction", r"got float32 of shape \[9, 1\]"
    ):
        unexplained(torch.ones(1, 9), torch.ones(9, 1))


def test_steps_and_rates_of_a_protocol_are_possible_ones():
    for wrong in (
        {"thaw": -5}, {"opens": (0, 2.5)}, {"rate": math.nan}, {"rate": -1.0}, {"rate": math.inf},
        {"lower_rate": math.nan}, {"look_back": 0}, {"thaw": 1.5},
    ):  # fmt: skip
        with refused("must be"):
            protocols.Protocol(**{"opens": (0, 2)} | wrong)


def test_the_axes_of_an_object_are_those_of_its_arguments():
    with refused("x of QuadraticTeachers.level_sums", "seed = 2 as in self", r"\[1, 3, 4\]"):
        target(2).level_sums(torch.ones(1, 3, 4))
    net = instances()[QuadraticNetworks]
    with refused("weights of QuadraticNetworks.head", "run = 4 as in z|self"):
        net.head(torch.ones(4, 5, 3), torch.ones(1, 2))
    with refused("one of them|give 2 seeds"):
        net.initialize([0])


def test_numbers_of_numpy_are_numbers_and_a_list_is_as_good_as_a_tuple():
    def takes(n: int, rate: float, steps: tuple[int, ...]) -> int:
        return n

    door = checked(takes)
    assert door(np.int64(3), np.float32(0.5), [1, np.int32(2)]) == 3
    for wrong in ((3.0, 0.5, (1,)), (3, np.float32("nan"), (1,)), (3, 0.5, (1.5,)), (3, 0.5, 1),
                  (3, 10**400, (1,))):  # fmt: skip
        with refused("must be"):
            door(*wrong)


def test_integers_of_numpy_do_not_overflow():
    def product(n: int, steps: tuple[int, ...]) -> int:
        return n * sum(steps) + n.bit_length()

    assert checked(product)(np.uint8(200), steps=(np.int8(100), 100)) == 40_008


def test_tensors_of_a_graph_or_of_inference_mode_are_refused_where_one_computes_in_place():
    for kind in (sigmoid.TrainedNetworks, QuadraticNetworks):
        net = instances()[kind]
        x = torch.ones(*((2, 5, 5) if kind is sigmoid.TrainedNetworks else (2, 5, 4)))
        method = net.units if kind is sigmoid.TrainedNetworks else net.level_outputs
        with refused("computes in place", r"x.detach\(\)", "requires grad"):
            method(x.clone().requires_grad_())
        method(x)


def test_plain_objects_share_their_tensors_and_check_nothing():
    teachers = target(2)
    twin = plain(teachers)
    assert isinstance(twin, QuadraticTeachers) and twin.first is teachers.first
    assert not hasattr(type(twin).level_sums, "unchecked")
    x = torch.randn(2, 5, 4, generator=generator())
    assert torch.equal(twin.level_sums(x), teachers.level_sums(x))
    net = QuadraticNetworks(1, 1, dim=4, widths=(3, 2))
    plain(net).initialize([0])
    assert bool(net.theta.any())


def hierarchy(*rules: list[list[list[int]]]) -> RandomHierarchy:
    return RandomHierarchy(tuple(torch.tensor(r, dtype=torch.uint8) for r in rules), 2)


def points(*rows: list[float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(rows, dtype=dtype)


X, FAR = torch.randn(40, 3, generator=generator()), 1e4
NORMS = torch.linspace(0.5, 1.9, 9)
COLUMN = torch.arange(9.0)
RANGES: dict[str, tuple[Any, str]] = {
    "a tuple of two parents": (
        lambda: hierarchy([[[0, 1], [1, 0]], [[0, 1], [1, 1]]]), r"two parents.*\[3\] of \[4\]"),
    "a tuple of two rules of one parent": (
        lambda: hierarchy([[[0, 1], [0, 1]], [[0, 0], [1, 1]]]), r"two rules of one.*\[3\]"),
    "symbols that are no uint8": (
        lambda: derivations.tuples_of(torch.tensor([70000]), 300, 2), "at most 256.*got 300"),
    "codes that are no int64": (
        lambda: derivations.codes_of(torch.full((1, 20), 9), 10), r"2\*\*62.*10\*\*20"),
    "coordinates that are no signs": (
        lambda: cube.hamming(points([1, 0.5]), points([1, -1])), r"-1 or 1.*\[0.5\]"),
    "coordinates that are not numbers": (
        lambda: cube.hamming(points([1, math.nan]), points([1, -1])), "-1 or 1.*nan"),
    "more signs than the dtype counts": (
        lambda: cube.hamming(*[torch.ones(1, 300, dtype=torch.bfloat16)] * 2), "counts to 128"),
    "a zero point in float32": (
        lambda: kernels.neural_tangent_kernel(X, 0 * X, hidden=1), "length 0: take float64"),
    "points far from the origin in float32": (
        lambda: kernels.rbf_kernel(X + FAR, X + FAR, bandwidth=1.0), "subtract their mean"),
    "points that are not finite": (
        lambda: kernels.rbf_kernel(X, X / 0, bandwidth=1.0), "must be finite"),
    "centered features": (
        lambda: descent.smoothness(X - X.mean(0)), "do not center"),
    "no features": (lambda: descent.smoothness(X[:0]), "not zero"),
    "a clip that is not a number": (
        lambda: descent.descend(
            X + 1, X[:, :1].T, X[0], n_steps=1, rate=0.5, momentum=0.0,
            low=points([0.0]), high=points([math.nan])), "low must be at most high.*nan"),
    "norms that are not numbers": (
        lambda: balls.ball_indicator(COLUMN / 0, 1.0), "norms must be numbers; 1 are not"),
    "points from which nothing is solved": (
        lambda: bits.solve(X / 0, X[:, 0], torch.ones(40)), "finite numbers; got columns with"),
    "a form without eigenvectors": (
        lambda: alternation.root(X[:3].double() * math.nan, 2), "finite numbers; got form with"),
    "a seed that is True": (lambda: stream("rules", True), "an integer; got True"),
    "a seed that is 1.0": (lambda: stream("rules", 1.0), "an integer; got 1.0"),
    "a number that is False": (
        lambda: kernels.rbf_kernel(X, X, bandwidth=False), "neither a bool nor nan.*got False"),
    "degrees that nodes do not resolve": (
        lambda: radial.polynomial_floor(4, 1.9, 450), "degrees to 178.*degree = 450"),
    "dimensions that nodes do not resolve": (
        lambda: radial.polynomial_floor(10**6, 1.0, 2), "smaller degree, dim.*dim = 1000000"),
    "a negative norm": (
        lambda: radial.certificate(COLUMN, -COLUMN, floor=0.1, dim=4), "norms.*at least 0.*-8"),
    "a weight that is not a number": (
        lambda: radial.certificate(COLUMN / 0, COLUMN, floor=0.1, dim=4), "1 weights that"),
    "a negative floor": (
        lambda: radial.certificate(COLUMN, COLUMN, floor=-0.1, dim=4), "floor = -0.1"),
    "harmonics beyond float64": (
        lambda: radial.certificate(COLUMN, COLUMN, floor=0.1, dim=4000, degree=900), "1e300"),
    "a ball of radius 2": (
        lambda: radial.learned_fractions(COLUMN, COLUMN, NORMS, dim=9, radius=2.0), "radius = 2 "),
    "norms beyond 2": (
        lambda: radial.learned_fractions(COLUMN, COLUMN, COLUMN, dim=9, radius=1.0), "norms in"),
    "labels that are all alike": (
        lambda: radial.learned_fractions(COLUMN, 0 * COLUMN, NORMS, dim=9, radius=1.0), "alike"),
    "a degree that a ball has no part of": (
        lambda: radial.learned_fractions(
            COLUMN, COLUMN, NORMS, dim=9, radius=2**0.5, degrees=(1, 2)), r"radius = 1.414"),
    "a level of too many parities": (
        lambda: cube.ParityClass(3000, (1500,), (1.0,)), "1e300 parities.*dim = 3000"),
    "a table beyond float64": (
        lambda: cube.ParityClass(1100, (2,), (1.0,)).covariance_table(), "dim <= 1000; got 1100"),
    "a kernel beyond float64": (
        lambda: exact_error.CubeKernel.of(kernels.rbf, 1100), "dim <= 1000; got 1100"),
    "multiplicities beyond float64": (
        lambda: bounds.water_filling(1, [0.5], [10**400]), "at most 1e300"),
    "a size beyond int64": (lambda: balls.sphere(3, 2**63, generator()), "64 bits.*dim = 9223372"),
    "a power beyond float64": (
        lambda: radial.polynomial_floor(9, 1e300, 4), "64 bits.*radius = 1e\\+300.*out of range"),
    "orders that fill the memory": (
        lambda: certificate.symmetrized(torch.zeros([4] * 12)), "12! orders.*8 GiB"),
    "a tensor in float16": (
        lambda: certificate.least_errors([torch.ones(3).half()], [1]), "float32 or float64"),
    "a tensor that is not finite": (
        lambda: certificate.least_errors([torch.ones(3) / 0], [1]), "3 entries that are not"),
    "tensors that are zero": (
        lambda: certificate.least_errors([torch.zeros(3)], [1]), "not all zero"),
    "no width": (lambda: certificate.least_errors([torch.ones(3)], []), "at least one width"),
    "an exponent of 400": (
        lambda: protocols.Protocol(opens=(0, 2), lower_rate=400.0), r"\[-10, 10\]; got 400"),
    "rates that overflow": (
        lambda: protocols.compile_plan(
            [protocols.Protocol(opens=(0, 2), lower_rate=10.0)], [(1.0, 1e-4)], 5),
        "level 2 has 1e-42"),
}  # fmt: skip


@pytest.mark.parametrize("case", RANGES)
def test_what_no_number_can_come_of_is_refused(case):
    call, words = RANGES[case]
    with doors_alone(), refused(words):
        call()


def test_what_does_not_fit_into_memory_is_refused_as_such():
    with pytest.raises(TooLargeError, match="draw needs more memory.*dim = 1099511627776.*bytes"):
        QuadraticTeachers.draw([0, 1], dim=2**40, widths=(3, 2), skip=0.5)


def test_what_is_just_inside_the_range_is_taken(monkeypatch):
    hierarchy([[[0, 1]], [[1, 0]]])
    assert derivations.tuples_of(torch.tensor([65535]), 256, 2).tolist() == [[255, 255]]
    codes = derivations.codes_of(torch.ones(1, 31, dtype=torch.int64), 4)
    assert codes.item() == (4**31 - 1) // 3
    assert bool(
        torch.isfinite(kernels.neural_tangent_kernel(X.double(), 0 * X.double(), hidden=1)).all()
    )
    near = kernels.rbf_kernel(X + 10, X + 10, bandwidth=1.0)
    exact = kernels.rbf_kernel(X.double(), X.double(), bandwidth=1.0)
    assert float((near - exact).abs().max()) < 2e-3
    assert descent.smoothness(X + 1) > 2
    exact = radial.polynomial_floor(9, 2**0.5, 300)  # against finer nodes
    radial._nodes.cache_clear()
    monkeypatch.setattr(radial, "N_NODES", 1000)
    assert abs(radial.polynomial_floor(9, 2**0.5, 300) - exact) < 1e-12
    radial._nodes.cache_clear()


# --- dtypes -----------------------------------------------------------------------------------


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trained(dtype: torch.dtype | None) -> tuple[torch.dtype, float]:
    """The dtype and the error of two levels trained on a target of this dtype."""
    one = target(dtype=dtype)
    batches = modules.fresh_batches(one, (1, 0.5), size=32, generator=generator())
    net = Levels(4).to(one.first.dtype)
    predict = modules.train(
        net, protocols.Protocol(opens=(0, 2)), batches=batches, gaps=(1, 0.5), n_steps=4
    )
    x, y = next(batches)
    error = unexplained(predict(x)[None], y[None])
    assert x.dtype == y.dtype == predict(x).dtype
    return x.dtype, float(error)


def test_a_target_of_either_dtype_trains_a_module_of_it():
    assert trained(torch.float64)[0] == torch.float64
    assert trained(None)[0] == torch.float32


def test_a_default_dtype_of_double_is_taken_throughout(double):
    assert trained(None)[0] == torch.float64
    teachers = target(3)
    x = torch.randn(3, 256, 4)
    gaps = torch.tensor([1.0, 0.2]).expand(3, 1, 2)
    y = (teachers.amplitudes(gaps) @ teachers.level_sums(x))[:, 0]  # the listing of the README
    assert (
        y.dtype == torch.float64
        and QuadraticNetworks(1, 1, dim=4, widths=(2,)).theta.dtype == y.dtype
    )


@pytest.mark.slow
def test_every_public_callable_computes_under_a_default_dtype_of_double(double):
    forget_what_was_made()  # of the dtype that was the default
    try:
        for name in NAMES:
            function, right = arguments(name)
            function(**right)
    finally:
        forget_what_was_made()


# Only the dtype and the device of `like` are read; `eye` spreads the inputs of one layer.
NAN_IS_COVERED = {"grammar/networks.forward eye", "cube/networks.Normalization.__init__ like"}


def numbers(thing: Any) -> list[torch.Tensor]:
    """All floating-point tensors and numbers in what a function returns."""
    if isinstance(thing, (torch.Tensor, float)):
        return [torch.as_tensor(thing)]
    if isinstance(thing, (list, tuple)) or hasattr(thing, "__next__"):
        return [one for part in thing for one in numbers(part)]
    return [one for part in getattr(thing, "__dict__", {}).values() for one in numbers(part)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_number_is_refused_or_seen_in_what_comes_out(name):
    for key, right in arguments(name)[1].items():
        if not isinstance(right, torch.Tensor) or not right.is_floating_point():
            continue
        function, given_values = arguments(name)
        spoilt_one = given_values[key].clone(memory_format=torch.contiguous_format)
        spoilt_one.view(-1)[-1:] = math.nan
        try:
            found = numbers(function(**given_values | {key: spoilt_one}))
        except ValueError as error:
            assert str(error), (name, key)
            continue
        floats = [one for one in found if one.is_floating_point()]
        hidden = floats and all(bool(one.isfinite().all()) for one in floats)
        assert not hidden or f"{name} {key}" in NAN_IS_COVERED, (name, key)


@pytest.mark.slow
def test_every_public_callable_computes_on_the_cpu_under_another_default_device():
    """The device of no numbers stands for any other: what was made there could not be read."""
    for name in NAMES:
        function, right = arguments(name)
        with torch.device("meta"):
            found = function(**right)
        for one in found if isinstance(found, (tuple, list)) else [found]:
            assert not (isinstance(one, torch.Tensor) and one.is_meta), name


def odd_forms(right: Any) -> list[Any]:
    """What is right in another form: views, parts of a graph, numpy's integers."""
    if isinstance(right, torch.Tensor):
        found = [torch.stack([right, right], -1)[..., 0]]
        found += [right[:1].expand_as(right)] if right.ndim else []
        with torch.inference_mode():
            found.append(right.clone())
        return found + ([right.clone().requires_grad_()] if right.is_floating_point() else [])
    if isinstance(right, int) and not isinstance(right, bool):
        return [np.uint8(right), np.int64(right)]
    return []


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_another_form_of_a_right_argument_is_taken_or_refused():
    for name in NAMES:
        for key, right in arguments(name)[1].items():
            for odd in odd_forms(right):
                function, given_values = arguments(name)
                try:
                    with doors_alone():
                        function(**given_values | {key: odd})
                except ValueError as error:
                    assert str(error), (name, key)
                    forget_what_was_made()  # its buffers may have become part of a graph
    forget_what_was_made()


def test_two_dtypes_that_do_not_mix_are_named():
    with refused("fit each other in shape, dtype and device", "float32", "float64"):
        target().level_sums(torch.ones(1, 3, 4, dtype=torch.float64))
