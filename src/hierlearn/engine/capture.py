"""Training steps on CUDA: recorded once and replayed as a graph, with data drawn ahead of time.

A step of our small networks is some sixty operations of a few microseconds, so that on a GPU their
launches take longer than the work. On the CPU `captured` returns the step itself and `ahead` draws
when asked; on CUDA the first is a CUDA graph and the second a thread that draws the next data while
the GPU works. The environment variable HIERLEARN_EAGER, set to anything, turns the graphs off.

What a captured step must obey, since its Python code is not run again:

- it takes tensors, which it does not keep, and returns nothing;
- whatever a later step reads is written in place, into tensors that exist from the first calls on;
- numbers that change from step to step, such as learning rates, come in as tensors;
- it draws nothing, reads no tensor's value (`.item()`, `float()`, `if` on a tensor), and makes no
  tensor out of Python numbers.

`tests/recorded.py` replays steps on the CPU as a graph would and fails where one is violated. It
cannot see what only CUDA forbids: tensors on two devices, or operations that wait for the GPU. What
the graphs gain `benchmarks/gpu.py` tells: on an H100 6 to 17 times the eager step.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

EAGER = "HIERLEARN_EAGER"
WARM_UP = 3  # calls that run as they are, so that libraries and work space exist before
DEPTH = 4  # draws that are ready or under way at any time

Step = Callable[..., None]
Drawn = tuple[Tensor, ...]


def captured(step: Step, device: torch.device) -> Step:
    """Return what to call in place of `step`: itself on the CPU, a replayed graph on CUDA.

    Each call takes one step with the tensors it is given, which may lie on the CPU; their shapes
    stay the same. Capture anew when anything else that the step reads is replaced.
    """
    if device.type != "cuda":
        return step
    if os.environ.get(EAGER):
        return lambda *given: step(*(one.to(device) for one in given))
    return _Graph(step, device)


class _Graph:
    """A step on CUDA: eager on a side stream for the first calls, then recorded and replayed."""

    def __init__(self, step: Step, device: torch.device) -> None:
        self.step, self.device = step, device
        self.n_calls = 0
        self.inputs: Drawn = ()
        self.graph = torch.cuda.CUDAGraph()

    def __call__(self, *given: Tensor) -> None:
        if not self.n_calls:
            self.inputs = tuple(torch.empty_like(one, device=self.device) for one in given)
        for mine, one in zip(self.inputs, given, strict=True):
            mine.copy_(one, non_blocking=True)
        self.n_calls += 1
        if self.n_calls <= WARM_UP:
            self._on_a_side_stream()
            return
        if self.n_calls == WARM_UP + 1:
            # This computes nothing. Only this thread is watched: the other one may allocate
            # page-locked memory. The outer stream: a recording that fails would leave its own.
            with (
                torch.cuda.stream(torch.cuda.current_stream(self.device)),
                torch.cuda.graph(self.graph, capture_error_mode="thread_local"),
            ):
                self.step(*self.inputs)
        self.graph.replay()

    def _on_a_side_stream(self) -> None:
        side, main = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        side.wait_stream(main)
        with torch.cuda.stream(side):
            self.step(*self.inputs)
        main.wait_stream(side)


def ahead(draw: Callable[[], Drawn], n_draws: int, device: torch.device) -> Iterator[Drawn]:
    """Yield `draw()` exactly `n_draws` times; the numbers are the same on every device.

    On the CPU each is drawn when it is asked for and may reuse the memory of the last. On CUDA a
    thread draws up to `DEPTH` ahead into page-locked memory, from which copies do not wait.
    """
    if device.type != "cuda":
        for _ in range(n_draws):
            yield draw()
        return
    yield from in_thread(lambda: tuple(one.pin_memory() for one in draw()), n_draws)


def in_thread(draw: Callable[[], Drawn], n_draws: int) -> Iterator[Drawn]:
    """Yield `draw()` exactly `n_draws` times, in order, computed in one thread ahead of use."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Drawn]] = deque()
        try:
            for index in range(n_draws + DEPTH):
                if index < n_draws:
                    waiting.append(pool.submit(draw))
                if index >= DEPTH:
                    yield waiting.popleft().result()
        finally:  # a consumer that stops early leaves draws that nobody needs
            for one in waiting:
                one.cancel()
