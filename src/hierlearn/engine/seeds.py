"""Named random streams: every number drawn comes from an explicit generator."""

import hashlib

import torch

from hierlearn.engine.doors import checked


@checked
def stream(purpose: str, seed: int) -> torch.Generator:
    """Return the CPU generator that belongs to `purpose` and `seed`.

    Streams of different purposes are independent: drawing more test points leaves the training data
    as they were. On the CPU whatever the device, a seed means the same numbers on every machine.
    """
    key = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
