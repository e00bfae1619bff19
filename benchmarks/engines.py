"""What the benchmarks of the engines share: steps taken from real groups, and floors for them.

A step's floor is a roofline, operation by operation: the larger of its floating-point operations
over the measured speed of a large matrix product, and of the bytes of its arguments and result over
the measured speed of a large copy. It is the floor of the step as written: fusing passes would
lower the bytes.
"""

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from hierlearn.engine import capture

MODULES = (
    "hierlearn.quadratic.training",
    "hierlearn.cube.training",
    "hierlearn.ball.training",
    "hierlearn.quadratic.simpler.two_layer",
    "hierlearn.grammar.networks",
)
SOLVES = ("linalg_eigh", "_linalg_eigh", "linalg_cholesky_ex", "cholesky_solve",
          "cholesky_inverse", "linalg_solve", "_linalg_solve_ex", "linalg_qr")  # fmt: skip
GATHERS = ("index", "index_select", "gather")
VIEWS = ("detach", "_unsafe_view", "_reshape_alias")
MEBIBYTE = 1 << 20


@dataclass
class Work:
    """Operations of one call: how many, their flops in products and solves, and their floor.

    `seconds` is their CPU time by kind: "products", "solves", "draws" and "other operations".
    """

    n_calls: int = 0
    flops: float = 0.0
    n_bytes: float = 0.0
    operations: list[tuple[float, float]] = field(default_factory=list)
    flops_of: Counter[torch.dtype] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers in most of the flops."""
        return max(self.flops_of, key=lambda one: self.flops_of[one], default=torch.float32)

    def floor(self, machine: "Machine") -> float:
        """Seconds that the roofline allows."""
        return sum(
            max(flops / machine.peak, n_bytes / machine.bandwidth(n_bytes))
            for flops, n_bytes in self.operations
        )


class Count(TorchDispatchMode):
    """Counts and times the operations that run inside; counting one adds `own` seconds to it."""

    def __init__(self, own: float) -> None:
        super().__init__()
        self.work, self.own = Work(), own

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        start = time.process_time()
        out = func(*args, **kwargs)
        taken = time.process_time() - start - self.own
        name = func.overloadpacket.__name__
        if func.is_view or name in VIEWS:
            return out
        seen = (args[1:], out) if name in GATHERS else (args, kwargs, out)  # a few rows are read
        tensors = {id(t): t for t in tree_leaves(seen) if isinstance(t, Tensor)}
        n_bytes = float(sum(t.numel() * t.element_size() for t in tensors.values()))
        flops = float(_flops(func, name, args, kwargs, out))
        self.work.seconds[_kind(name.rstrip("_"), flops)] += taken
        self.work.n_calls += 1
        self.work.flops += flops
        if flops:
            self.work.flops_of[next(iter(tensors.values())).dtype] += flops
        self.work.n_bytes += n_bytes
        self.work.operations.append((flops, n_bytes))
        return out


def _flops(func: Any, name: str, args: tuple, kwargs: dict, out: Any) -> float:
    """Products exactly; of an eigendecomposition the reduction and the back-transform only.

    Of a reduced QR: the reflections, and their product.
    """
    if name in SOLVES:
        m, n = args[0].shape[-2:]
        batch = args[0][..., 0, 0].numel()
        return batch * {
            "linalg_eigh": 10 / 3 * n**3, "_linalg_eigh": 10 / 3 * n**3,
            "linalg_cholesky_ex": n**3 / 3, "cholesky_inverse": 2 / 3 * n**3,
            "cholesky_solve": 2.0 * args[0].numel() / batch * args[1].shape[-1]
            if name == "cholesky_solve" else 0,
            "linalg_qr": 4 * m * n**2 - 4 / 3 * n**3,
        }.get(name, 2 / 3 * n**3)  # fmt: skip
    if func.overloadpacket in flop_registry:
        kwargs = {key: value for key, value in kwargs.items() if key != "out"}
        return flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)
    return 0.0


def _kind(name: str, flops: float) -> str:
    if name in SOLVES:
        return "solves"
    if name in ("normal", "randint", "random", "rand", "randn", "uniform", "randperm"):
        return "draws"
    return "products" if flops else "other operations"


def counted(function: Callable[[], Any], own: float = 0.0) -> Work:
    """Count what `function` does in one call; `own` is what counting adds to an operation."""
    with Count(own) as count:
        function()
    return count.work


@dataclass(frozen=True)
class Machine:
    """Measured limits of a device: flops a second, bytes a second by size, seconds a launch."""

    peak: float
    copies: dict[int, float]
    launch: float

    def bandwidth(self, n_bytes: float) -> float:
        """Speed of a copy that touches at least `n_bytes`, or of the largest measured."""
        fits = [size for size in sorted(self.copies) if size >= n_bytes]
        return self.copies[fits[0] if fits else max(self.copies)]

    @classmethod
    def measure(cls, device: torch.device, dtype: torch.dtype, *, small: bool) -> "Machine":
        """Time a large product, copies, and operations on one number, as steps are run there."""
        on_cpu = device.type == "cpu"
        n = 128 if small else 2048 if on_cpu else 8192
        a = torch.randn(n, n, dtype=dtype, device=device)
        peak = 2 * n**3 / seconds(lambda: a @ a, device, times=2 if on_cpu else 10)
        kib = [256, 1024, 4096, 16384, 524288] if on_cpu else [4194304]
        sizes = [MEBIBYTE] if small else [1024 * size for size in kib]
        copies = {}
        for size in sizes:  # half is read and half is written
            source = torch.ones(size // 8, dtype=torch.float32, device=device)
            target = torch.empty_like(source)
            times = max(1, (1 << 28) // size)
            copies[size] = size / seconds(lambda: target.copy_(source), device, times=times)  # noqa: B023
        one = torch.zeros(1, device=device)

        def hundred() -> None:
            for _ in range(100):
                one.add_(1)

        calls = capture.captured(hundred, device)
        launch = seconds(calls, device, times=capture.WARM_UP + 1 if small else 20) / 100
        return cls(peak, copies, launch)

    def __str__(self) -> str:
        copies = ", ".join(f"{v / 1e9:.3g} GB/s at {k >> 10} KiB" for k, v in self.copies.items())
        return (
            f"{self.peak / 1e9:.4g} GFLOP/s; copies {copies}; {1e6 * self.launch:.2g} us a launch"
        )


def seconds(function: Callable[[], Any], device: torch.device, *, times: int) -> float:
    """Seconds a call: CPU time of this process on the CPU, time between events on CUDA."""
    for _ in range(capture.WARM_UP + 1 if device.type == "cuda" else 1):
        function()
    if device.type == "cpu":
        start = time.process_time()
        for _ in range(times):
            function()
        return (time.process_time() - start) / times
    ends = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    torch.cuda.synchronize()
    ends[0].record()
    for _ in range(times):
        function()
    ends[1].record()
    torch.cuda.synchronize()
    return ends[0].elapsed_time(ends[1]) / 1e3 / times


@dataclass
class Watch:
    """The last step that an engine took inside `watching`, and its data."""

    step: Callable[..., None] | None = None
    given: tuple[Tensor, ...] = ()

    def again(self, device: torch.device) -> Callable[[], None]:
        """Return the last step on its last data, captured as on that device."""
        if self.step is None:
            raise RuntimeError("no engine took a step inside `watching`")
        given = tuple(one.to(device) for one in self.given)
        run = capture.captured(self.step, device)
        return lambda: run(*given)


@contextmanager
def watching() -> Iterator[Watch]:
    """Keep the last step of whatever trains inside."""
    watch = Watch()

    def captured(step: Callable[..., None], device: torch.device) -> Callable[..., None]:
        def kept(*given: Tensor) -> None:
            watch.step, watch.given = step, tuple(one.to(device) for one in given)
            step(*watch.given)

        return kept

    modules = [importlib.import_module(name) for name in MODULES]
    before = [module.captured for module in modules]
    try:
        for module in modules:
            module.captured = captured  # type: ignore[attr-defined]
        yield watch
    finally:
        for module, old in zip(modules, before, strict=True):
            module.captured = old  # type: ignore[attr-defined]
