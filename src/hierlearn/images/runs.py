r"""How the runs on images are trained and read: one group is one seed, and phases are shared.

With $S$ stages and $T$ steps, a protocol trains

- `greedy`: in phase $l=1..S$, of $T/S$ steps each, stage $l$ under a head of its own;
- `look-back 2`: in phase $l$ stages $l-1$ and $l$;  `all`: stages $1..l$;
- `joint`: all stages under the last head, in one phase of $T$ steps;
- `solo`: stage 1 under its head, $T$ steps;  `more`: `solo` and $T$ further steps of the same;
- `corrected`: stage 1 from `solo` and fresh higher stages, all trained for $T$ steps, on the
  batches of `more`'s second half;  `fixed`: the same with stage 1 frozen.

Stage 1 is read in two ways, in both of which it is frozen and whatever reads it is new: under fresh
higher stages, the same ones on the same batches for every protocol (`upper`), and by a ridge
classifier on the means of its channels (`probe`).
"""

import base64
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.images import networks
from hierlearn.images.data import load
from hierlearn.images.measures import cosine, probe_accuracy, scores
from hierlearn.images.target import FULL, SIZE, shallow_labels, sized, standardized
from hierlearn.images.training import order, train

LOOK_BACK = {"greedy": 1, "look-back 2": 2, "all": None}
"""By how many stages training reaches down in each phase; None: by all."""
PROTOCOLS = (*LOOK_BACK, "joint", "solo", "more", "corrected", "fixed")
FITTED = 0.05
"""A run whose training loss ends below this has fitted its data, and counts as converged."""
PROBED = 10_000
EXCITING, PICTURED = 50, 8
BATCH, RATE, DECAY = 128, 0.1, 5e-4


@dataclass(frozen=True)
class ImageConfig(Config):
    """One network on images.

    Attributes:
        protocol: see the module.
        data: name of a data set.
        n_steps: T.
        upper_steps: for which fresh higher stages are trained on the frozen stage 1; 0: not read.
        head: under which stages below the last are trained, "gap" or "pool".
        labels: "true", or "shallow" ones that one convolution can compute.
        widths: channels of the stages.
        n_blocks: n, blocks a stage; three stages have 6n + 2 layers.
        scale: where the last BN of a block starts.
        n_test: test images, the first ones.
        seen: whether the images that excite stage 1 are kept.
        size: pixels of a side, 32, or 16, which the stem halves once more.
    """

    protocol: str
    data: str
    n_steps: int
    upper_steps: int = 0
    head: str = "gap"
    labels: str = "true"
    widths: Sequence[int] = (16, 32, 64)
    n_blocks: int = 2
    scale: float = 0.4
    n_test: int = 5000
    seen: bool = False
    size: int = SIZE

    CHOICES = {
        "protocol": PROTOCOLS, "head": ("gap", "pool"), "labels": ("true", "shallow"),
        "size": (SIZE, FULL),
    }  # fmt: skip

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        free = ("protocol", "upper_steps", "seen")
        return tuple(getattr(self, f.name) for f in fields(self) if f.name not in free)

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` like this take, from the steps of one block.

        At full size that is on a GPU, which is waiting for its kernels to be started: a guess.
        """
        by_width = 0.5e-3 if self.size == FULL else 3e-3 * sum(self.widths) / 112
        step = by_width * self.n_blocks * len(self.widths)
        shares = {"joint": 1.0, "corrected": 1.0, "all": 0.75}
        return (
            n_runs * step * (shares.get(self.protocol, 0.5) * self.n_steps + 0.6 * self.upper_steps)
        )


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train and read the runs of one seed; one measurement a run, in the order of its runs.

    `converged`: the training loss ends below 0.05 nats, that is, the training data are fitted.
    """
    configs = [ImageConfig(**run.config) for run in work.runs]
    seeds = list(dict.fromkeys(run.seed for run in work.runs))
    each = len(configs) // len(seeds)
    return [
        found for seed in seeds for found in _Seed(configs[0], seed, device).run(configs[:each])
    ]


@cache
def _images(name: str, size: int, labels: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Load a data set once a process: standardized training and test images, and their labels."""
    if labels == "shallow":
        x, test_x, *_ = _images(name, size, "true")
        return x, test_x, shallow_labels(x, x), shallow_labels(test_x, x)
    found = load(name)
    raw, test = sized(found.train_x, size), sized(found.test_x, size)
    x, test_x = (
        standardized(some, raw).contiguous(memory_format=torch.channels_last)
        for some in (raw, test)
    )
    y, test_y = (torch.from_numpy(some).long() for some in (found.train_y, found.test_y))
    return x, test_x, y, test_y


class _Seed:
    """All that the runs of one seed share: images, starts, batches, phases trained once."""

    def __init__(self, first: ImageConfig, seed: int, device: torch.device) -> None:
        self.first, self.seed, self.device = first, seed, device
        x, test_x, y, test_y = _images(first.data, first.size, first.labels)
        self.x, self.y = x.to(device), y.to(device)
        self.test_x, self.test_y = (one[: first.n_test].to(device) for one in (test_x, test_y))
        self.T, self.S, self.stem = first.n_steps, len(first.widths), FULL // first.size
        self.batches = order(len(x), 2 * self.T, BATCH, self._stream("order")).to(device)

    def _stream(self, purpose: str) -> torch.Generator:
        return stream(f"images {purpose}", self.seed)

    def run(self, configs: Sequence[ImageConfig]) -> list[dict[str, Any]]:
        return [self._measure(config) for config in configs]

    # --- parts ----------------------------------------------------------------------------

    def _stages(self, purpose: str = "start") -> list[nn.Module]:
        """Fresh stages, the same whenever they are asked for."""
        first = self.first
        made = networks.resnet(
            self.x.shape[1], first.widths, n_blocks=first.n_blocks, scale=first.scale,
            stem=self.stem, generator=self._stream(purpose),
        )  # fmt: skip
        # A fifth faster on CPUs than the default layout, and what convolutions on a GPU want.
        # (Ignored: torch declares no overload of `to` with a device and a layout alone.)
        return list(made.to(self.device, memory_format=torch.channels_last))  # type: ignore[call-overload]

    def _head(self, level: int) -> nn.Module:
        """A fresh head for a level; the last stage's reads the means over all positions."""
        # (Ignored: to mypy a configuration's head is any string; `ImageConfig` has checked it.)
        made = networks.head(
            "gap" if level == self.S else self.first.head,  # type: ignore[arg-type]
            self.first.widths[level - 1], size=self.first.size // self.stem // 2 ** (level - 1),
            generator=self._stream(f"head {level}"),
        )  # fmt: skip
        return made.to(self.device)

    def _train(
        self,
        stages: list[nn.Module],
        batches: Tensor,
        *,
        lowest: int = 0,
        head: nn.Module | None = None,
    ) -> tuple[nn.Module, float]:
        """Train stages and their head, a fresh one unless given; return it with the loss."""
        head = head or self._head(len(stages))
        loss = train(stages, head, self.x, self.y, batches, rate=RATE, decay=DECAY, lowest=lowest)
        return head, loss

    # --- protocols ------------------------------------------------------------------------

    @cached_property
    def _solo(self) -> tuple[nn.Module, nn.Module, float]:
        stages = self._stages()[:1]
        return stages[0], *self._train(stages, self.batches[: self.T])

    @cached_property
    def _first_phase(self) -> tuple[nn.Module, nn.Module, float]:
        """The first phase of every dialed protocol: stage 1 under its head."""
        stages = self._stages()[:1]
        return stages[0], *self._train(stages, self.batches[: self.T // self.S])

    def _dialed(self, look_back: int | None) -> tuple[list[nn.Module], nn.Module, float]:
        """Open stage after stage, training the last `look_back` of them."""
        stage, head, loss = deepcopy(self._first_phase)
        stages = [stage, *self._stages()[1:]]
        for level in range(2, self.S + 1):
            steps = self.batches[(level - 1) * self.T // self.S : level * self.T // self.S]
            lowest = 0 if look_back is None else max(0, level - look_back)
            head, loss = self._train(stages[:level], steps, lowest=lowest)
        return stages, head, loss

    def _trained(self, protocol: str) -> tuple[list[nn.Module], nn.Module, float]:
        """Train a protocol: its stages, the head of the last of them, the training loss."""
        if protocol in LOOK_BACK:
            return self._dialed(LOOK_BACK[protocol])
        if protocol == "joint":
            stages = self._stages()
            return stages, *self._train(stages, self.batches[: self.T])
        stage, head, loss = deepcopy(self._solo)
        if protocol == "solo":
            return [stage], head, loss
        second = self.batches[self.T :]
        if protocol == "more":
            return [stage], *self._train([stage], second, head=head)
        stages = [stage, *self._stages("above")[1:]]
        return stages, *self._train(stages, second, lowest=int(protocol == "fixed"))

    # --- readings -------------------------------------------------------------------------

    def _score(self, maps: Tensor, above: Sequence[nn.Module], head: nn.Module) -> dict[str, float]:
        """Score the stages above the first, by what that one makes of the test images."""
        outputs = head.eval()(networks.forward(above, maps)).detach()
        return dict(zip(("ce", "accuracy"), scores(outputs, self.test_y), strict=True))

    def _measure(self, config: ImageConfig) -> dict[str, Any]:
        (stage, *above), head, loss = self._trained(config.protocol)
        maps = networks.forward([stage], self.test_x)
        found: dict[str, Any] = self._score(maps, above, head)
        found |= {"train_ce": loss, "converged": loss < FITTED}
        if config.protocol in ("more", "corrected"):
            found["cosine"] = cosine(stage, self._solo[0])
        elif config.protocol in ("solo", "joint"):
            found["cosine"] = cosine(stage, self._stages()[0])
        if config.upper_steps:
            found |= self._readings(stage, maps, config.upper_steps)
        if config.seen:
            found["seen"] = self._seen(maps)
        return found

    def _readings(self, stage: nn.Module, maps: Tensor, n_steps: int) -> dict[str, float]:
        """Read a stage by fresh higher stages, trained on it while it is frozen, and by a ridge."""
        batches = order(len(self.x), n_steps, BATCH, self._stream("order above")).to(self.device)
        above = self._stages("reading")[1:]
        head, _ = self._train([stage, *above], batches, lowest=1)
        found = {f"upper_{key}": value for key, value in self._score(maps, above, head).items()}
        train = networks.forward([stage], self.x[:PROBED]).mean((2, 3))
        test = maps.mean((2, 3))
        return found | {"probe": probe_accuracy(train, self.y[:PROBED], test, self.test_y)}

    def _seen(self, maps: Tensor) -> dict[str, Any]:
        """Average the test images that excite each channel of a stage most; of how many classes?

        `purity` is the share of the commonest class among them, a mean over channels. Means have
        one byte a value, contrast stretched.
        """
        excited = maps.mean((2, 3)).topk(EXCITING, 0).indices.T
        counts = nn.functional.one_hot(self.test_y[excited], networks.N_CLASSES).sum(1)
        means = self.test_x[excited[:PICTURED]].mean(1)
        centered = means - means.mean((1, 2, 3), keepdim=True)
        tiles = 128 + 56 * centered / centered.std((1, 2, 3), keepdim=True)
        pictures = tiles.clamp(0, 255).to("cpu", torch.uint8)
        return {
            "purity": float(counts.amax(1).double().mean()) / EXCITING,
            "means": [base64.b64encode(one.numpy().tobytes()).decode() for one in pictures],
        }
