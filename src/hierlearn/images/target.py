r"""What is learned: the classes of small images, or labels that one convolution could compute."""

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from hierlearn.engine.doors import checked
from hierlearn.engine.seeds import stream

FULL, SIZE = 32, 16
"""Pixels of a side, and after halving."""


def sized(
    images: UInt8[np.ndarray, "image channel height width"], size: int = SIZE
) -> Float[Tensor, "..."]:
    """Return images of 16x16 or 32x32 values; those that have that size already stay.

    Smaller than 32x32 they are framed with zeros; halving takes the mean of 2x2 pixels.
    """
    if images.shape[2] == size:
        return torch.from_numpy(images).float()
    frame = (FULL - images.shape[2]) // 2
    # In pieces: all of CIFAR-10 in floats of full size would take 600 MB.
    pieces = torch.from_numpy(images).split(5000)
    framed = (pad(piece.float(), (frame,) * 4) for piece in pieces)
    return torch.cat([avg_pool2d(piece, FULL // size) for piece in framed])


@checked
def standardized(
    x: Float[Tensor, "image channel height width"], by: Float[Tensor, "n channel height width"]
) -> Float[Tensor, "image channel height width"]:
    """Center and scale each channel by its mean and deviation over the images `by`."""
    mean, sd = by.mean((0, 2, 3), keepdim=True), by.std((0, 2, 3), keepdim=True)
    return (x - mean) / sd


@checked
def shallow_labels(
    x: Float[Tensor, "image channel height width"], by: Float[Tensor, "n channel height width"]
) -> Int64[Tensor, "image"]:
    r"""Return labels that need no second layer: the largest of ten mean responses.

    $y=\arg\max_k\,z_k$ with $z_k$ the mean over positions of $\mathrm{relu}(w_k*x)$ for ten 3x3
    filters, drawn once and for all, centered and scaled over the images `by`.
    """
    filters = torch.randn(10, x.shape[1], 3, 3, generator=stream("shallow filters", 1))
    means, base = (
        torch.cat([conv2d(p, filters, padding=1).relu().mean((2, 3)) for p in some.split(5000)])
        for some in (x, by)
    )
    return ((means - base.mean(0)) / base.std(0)).argmax(1)
