r"""The book's deep networks under a user's optimiser: `optimizer(parameters, n_steps)`.

By autograd, in one process and from one start a fit: the hierarchical quadratic network of the
target's own shape, all levels open from the start, on the squared error; and the convolutional
network matched to the tree of the grammar, on the cross-entropy.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

N_STEPS, BATCH, WIDTH, GAIN = 800, 128, 64, 0.3


class Optimised:
    """A deep network of the book, trained by the optimiser that a file defines."""

    families = ("quadratic", "grammar")
    told: dict[str, Any]

    def __init__(self, optimizer: Callable[[list[Tensor], int], Any]) -> None:
        self.optimizer, self.told = optimizer, {}

    def fit(self, X: Any, y: Any) -> "Optimised":
        """Train for `N_STEPS` steps on batches of the data."""
        real = y.dtype.kind == "f"
        x, truth = torch.from_numpy(X).float(), torch.from_numpy(y)
        self.net = Hierarchical(X.shape[1], **self.told) if real else Matched(**self.told)
        truth = truth.float() if real else truth
        loss = nn.functional.mse_loss if real else nn.functional.cross_entropy
        steps = self.optimizer(list(self.net.parameters()), N_STEPS)
        if lacks := [one for one in ("step", "zero_grad") if not hasattr(steps, one)]:
            raise TypeError(
                "optimizer(parameters, n_steps) must return an object with step() and zero_grad(), "
                f"as torch.optim has them; {type(steps).__name__} lacks {lacks[0]}"
            )
        for index in _batches(len(x)):
            steps.zero_grad()
            loss(self.net(x[index]), truth[index]).backward()
            steps.step()
        return self

    def predict(self, X: Any) -> Any:
        """Return numbers, or the likeliest labels."""
        with torch.no_grad():
            found = self.net(torch.from_numpy(np.asarray(X)).float())
        return (found if found.ndim == 1 else found.argmax(1)).numpy()


def _batches(n: int) -> Iterator[Tensor]:
    for _ in range(N_STEPS):
        yield torch.randint(n, (min(BATCH, n),))


class Hierarchical(nn.Module):
    r"""$\sum_la_l|S_l|^2$ up to a constant, $S_2=K_2x$ and $S_l=Q_l(S_{l-1}S_{l-1}^\top)+K_lx+b_l$.

    `amplitudes` are the $a_l$ of the target, `widths` the number of its features a level.
    """

    def __init__(self, dim: int, *, widths: Sequence[int], amplitudes: Sequence[float]) -> None:
        super().__init__()
        self.amplitudes, self.offset = tuple(amplitudes), nn.Parameter(torch.zeros(()))
        pairs = [0, *(k * (k + 1) // 2 for k in widths[:-1])]
        levels = [nn.Linear(n + dim, k) for n, k in zip(pairs, widths, strict=True)]
        for level in levels:
            nn.init.normal_(level.weight, std=GAIN * level.in_features**-0.5)
            nn.init.zeros_(level.bias)
        self.levels = nn.ModuleList(levels)

    def forward(self, x: Tensor) -> Tensor:
        """Return one number an input."""
        total, below = self.offset, x[:, :0]
        for level, amplitude in zip(self.levels, self.amplitudes, strict=True):
            features = level(torch.cat([below, x], 1))
            total = total + amplitude * features.square().sum(1)
            a, b = torch.triu_indices(features.shape[1], features.shape[1])
            below = features[:, a] * features[:, b]
        return total


class Matched(nn.Module):
    """One layer of width `WIDTH` a level of the tree, each seeing pairs, and a linear readout."""

    def __init__(self, *, vocab_size: int, n_classes: int, n_levels: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        inputs = [vocab_size] + [WIDTH] * (n_levels - 1)
        layers = [one for n in inputs for one in (nn.Conv1d(n, WIDTH, 2, stride=2), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTH, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.layers(x.view(len(x), -1, self.vocab_size).mT)
