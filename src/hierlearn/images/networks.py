r"""Residual networks of $6n+2$ layers in stages, and the heads under which a stage is trained.

He et al. (2016): blocks conv3x3-BN-ReLU-conv3x3-BN, add, ReLU; shortcuts without weights (means of
2x2 positions, empty channels); a stage after the first halves the maps. A network is the list of
its stages, the first of which holds the stem, so that stages are trained, frozen and exchanged one
by one.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, relu

from hierlearn.engine.doors import at_least, checked, positive

N_CLASSES = 10


def _convolution(n_in: int, n_out: int, stride: int, generator: torch.Generator) -> nn.Conv2d:
    """A 3x3 convolution without constants, drawn as He et al. do, by what it feeds."""
    made: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, n_in, n_out, 3, stride, 1, bias=False)
    with torch.no_grad():
        made.weight.normal_(0, (2 / (9 * n_out)) ** 0.5, generator=generator)
    return made


class _Block(nn.Module):
    """A residual block; `scale` is where the scale of its last BN starts."""

    def __init__(
        self, n_in: int, n_out: int, stride: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.first = _convolution(n_in, n_out, stride, generator)
        self.second = _convolution(n_out, n_out, 1, generator)
        self.inner, self.outer = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)
        nn.init.constant_(self.outer.weight, scale)
        self.stride, self.more = stride, n_out - n_in

    def forward(self, x: Tensor) -> Tensor:
        branch = self.outer(self.second(relu(self.inner(self.first(x)), inplace=True)))
        if self.stride > 1:
            x = avg_pool2d(x, self.stride, ceil_mode=True)
        if self.more:
            x = pad(x, (0, 0, 0, 0, 0, self.more))
        return relu(branch.add_(x), inplace=True)


@checked
def resnet(
    channels: int,
    widths: Sequence[int],
    *,
    n_blocks: int,
    scale: float,
    stem: int = 2,
    generator: torch.Generator,
) -> nn.ModuleList:
    r"""Draw a network of `len(widths)` stages of `n_blocks` blocks.

    Args:
        channels: of the images.
        widths: channels of the stages, none smaller than the one before.
        n_blocks: n; three stages have $6n+2$ layers, a linear head included.
        scale: where the last BN of each block starts; small for deep networks, which are nearly
            the identity then and need no slower first steps.
        stem: stride of the stem; 2 halves the maps.
        generator: the only source of randomness.

    Raises:
        ValueError: for no stage, block or stride, and for widths that shrink.
    """
    at_least(
        1, channels=channels, n_blocks=n_blocks, n_stages=len(widths), stem=stem,
        width=min(widths, default=1),
    )  # fmt: skip
    positive(scale=scale)
    if list(widths) != sorted(widths):
        raise ValueError(f"widths must not shrink from stage to stage; got {tuple(widths)}")
    stages = nn.ModuleList()
    n_in = widths[0]
    for level, width in enumerate(widths):
        layers: list[nn.Module] = []
        if level == 0:
            first = _convolution(channels, width, stem, generator)
            layers += [first, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        for index in range(n_blocks):
            stride = 2 if level > 0 and index == 0 else 1
            layers.append(_Block(n_in, width, stride, scale, generator))
            n_in = width
        stages.append(nn.Sequential(*layers))
    return stages


@checked
def head(
    kind: Literal["gap", "pool"], width: int, *, size: int, generator: torch.Generator
) -> nn.Sequential:
    """Draw a linear head on maps of `size` x `size` positions.

    "gap" reads the means over all positions, as a residual network's own head does; "pool" the
    means over 2x2 positions, the paper's AvgPool(2x2) + FC.
    """
    at_least(1, width=width, size=size)
    cells = 1 if kind == "gap" else (size + 1) // 2
    n_in = width * cells**2
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, n_in, N_CLASSES)
    with torch.no_grad():
        linear.weight.uniform_(-(n_in**-0.5), n_in**-0.5, generator=generator)
        linear.bias.zero_()
    return nn.Sequential(nn.AdaptiveAvgPool2d(cells), nn.Flatten(), linear)


@checked
def depth(stages: nn.ModuleList) -> int:
    """Count the layers with weights: convolutions, and the linear one of the head."""
    return 1 + sum(isinstance(one, nn.Conv2d) for one in stages.modules())


@checked
def forward(
    stages: Sequence[nn.Module] | nn.ModuleList, x: Float[Tensor, "image channel height width"]
) -> Float[Tensor, "image out rows columns"]:
    """Return what these stages make of images, in chunks and without a gradient, in eval mode."""
    for stage in stages:
        stage.eval()
    with torch.no_grad():
        return torch.cat([_through(stages, piece) for piece in x.split(500)])


def _through(stages: Sequence[nn.Module] | nn.ModuleList, x: Tensor) -> Tensor:
    for stage in stages:
        x = stage(x)
    return x
