"""A CUDA graph played on the CPU: a step recorded once and replayed without its Python code.

As on CUDA, the operations of the recording run again, in the same memory, and nothing else does. So
a step that rebinds what should be written in place, or that takes a number from Python, comes out
differently; what cannot be recorded at all is an error that names the operation. So is memory that
was there before the recording and that nobody holds any more: on CUDA others would write there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hierlearn.engine.capture import WARM_UP, in_thread

FORBIDDEN = {
    torch.Tag.nondeterministic_seeded: "draws random numbers",
    torch.Tag.data_dependent_output: "reads a value, and waits for the device",
    torch.Tag.dynamic_output_shape: "has a result whose size depends on values",
}


class NotRecordable(AssertionError):
    """A step does what a graph cannot hold."""


class _Recorder(TorchDispatchMode):
    """Keeps every operation with its arguments and what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict, list[Tensor]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        _check(func, args)
        out = func(*args, **kwargs)
        # Aliases, so that who else holds the memory can be counted.
        kept_args, kept_kwargs = tree_map_only(Tensor, Tensor.detach, (args, kwargs))
        self.calls.append((func, kept_args, kept_kwargs, [one.detach() for one in _tensors(out)]))
        return out

    def held_from_outside(self) -> list[tuple[Tensor, int]]:
        """One tensor of each storage that was there before, and how many of its holders are ours.

        A tensor object holds its storage once; what this recording made does not count.
        """
        made: set[int] = set()
        ours: dict[int, dict[int, Tensor]] = {}
        for _, args, kwargs, outs in self.calls:
            given = _tensors((args, kwargs))
            known = {one.untyped_storage().data_ptr() for one in given} - made
            for one in (*given, *outs):
                place = one.untyped_storage().data_ptr()
                if place in known and one.numel():
                    ours.setdefault(place, {})[id(one)] = one
                elif place not in ours:
                    made.add(place)
        return [(next(iter(own.values())), len(own)) for own in ours.values()]


def _n_holders(tensor: Tensor) -> int:
    storage = tensor.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata) - 1  # the last is `storage` itself


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _check(func: Any, args: tuple) -> None:
    name = func.overloadpacket.__name__
    masks = any(leaf.dtype in (torch.bool, torch.uint8) for leaf in _tensors(args[1:]))
    whys = [why for tag, why in FORBIDDEN.items() if tag in func.tags]
    if name in ("index", "index_put", "index_put_"):  # with numbers their size is known
        whys = ["selects by a mask, whose count depends on values"] if masks else []
    if name == "lift_fresh":
        whys = ["makes a tensor out of Python numbers"]
    if whys:
        raise NotRecordable(f"a step cannot be recorded: {name} {whys[0]}")


class _Replay:
    def __init__(self, step: Callable[..., None]) -> None:
        self.step, self.n_calls = step, 0
        self.inputs: list[Tensor] = []
        self.recorder = _Recorder()

    def __call__(self, *given: Tensor) -> None:
        if not self.n_calls:
            self.inputs = [torch.empty_like(one) for one in given]
        for mine, one in zip(self.inputs, given, strict=True):
            mine.copy_(one)
        self.n_calls += 1
        if self.n_calls <= WARM_UP:
            self.step(*self.inputs)
        elif self.n_calls == WARM_UP + 1:
            with self.recorder:  # computes as well, other than on CUDA
                found = self.step(*self.inputs)
            if found is not None:
                raise NotRecordable(f"a step must return nothing; it returned {type(found)}")
            self.held = self.recorder.held_from_outside()
        else:
            self._replay()

    def _replay(self) -> None:
        for tensor, n_ours in self.held:
            if _n_holders(tensor) <= n_ours:
                raise NotRecordable(f"memory that the step reads was given up: {tensor.shape}")
        for func, args, kwargs, before in self.recorder.calls:
            for old, new in zip(before, _tensors(func(*args, **kwargs)), strict=True):
                if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)


def recorded(step: Callable[..., None], device: torch.device) -> Callable[..., None]:
    """Stand in for `hierlearn.engine.capture.captured`."""
    return _Replay(step)


def ahead(draw, n_draws, device):  # type: ignore[no-untyped-def]
    """Stand in for `hierlearn.engine.capture.ahead`: drawn ahead in a thread, as on CUDA."""
    return in_thread(lambda: tuple(one.clone() for one in draw()), n_draws)
