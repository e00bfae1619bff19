"""Named random streams: every number drawn comes from an explicit generator."""

import hashlib

import torch


def stream(purpose: str, seed: int) -> torch.Generator:
    """Return the CPU generator that belongs to `purpose` and `seed`.

    Streams of different purposes are independent, so that drawing more test points, say, leaves
    the training data as they were. The generator lives on the CPU whatever the device, so that a
    seed means the same target, the same initial weights and the same data on every machine.
    """
    key = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
