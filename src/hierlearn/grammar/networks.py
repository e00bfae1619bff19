r"""Patch networks, many at once, with hand-written gradients: hierarchical CNNs and dense networks.

Layer l turns non-overlapping patches of $s_l$ neighbours into h channels,
$$a^{(l)}_j=\mathrm{relu}(c_l^{-1/2}W_l[a^{(l-1)}_{s_lj},..,a^{(l-1)}_{s_lj+s_l-1}]+0.1\,b_l),$$
with one-hot symbols as $a^{(0)}$ and $c_l=h$ from the second layer on. With $s_l=s$ for all l this
is the deep CNN matched to the tree of a Random Hierarchy Model (the parametrisation of Cagnetta et
al.'s public code, bias per channel); with $s_1=d$ and then 1 it is a fully connected network.

Stage l reads off layer l through a head per position: logits
$\frac1{hq_l}\sum_ja^{(l)}_j\beta_j$ over the $q_l$ positions. Stage L of the CNN has one position:
training all layers at stage L is end-to-end training. All entries start as N(0, 1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from hierlearn.engine.capture import captured
from hierlearn.engine.doors import at_least, check_indices, checked, plain

MOMENTUM, BATCH, RATE, BIAS_SCALE = 0.9, 128, 0.1, 0.1
CHECK_EVERY, SMOOTHING, TOLERANCE = 50, 0.95, 1e-3


@checked
@dataclass(frozen=True)
class Shape:
    r"""What the networks of a group share.

    Attributes:
        vocab_size: symbols, v.
        n_classes: logits.
        width: channels h.
        patches: $s_1,s_2,\dots$; their product is the length of a string.
        fan_in: $c_1$.
    """

    vocab_size: int
    n_classes: int
    width: int
    patches: tuple[int, ...]
    fan_in: int

    def __post_init__(self) -> None:
        at_least(
            1, vocab_size=self.vocab_size, n_classes=self.n_classes,
            width=self.width, fan_in=self.fan_in,
        )  # fmt: skip
        if not self.patches or min(self.patches) < 1:
            raise ValueError(f"patches must be at least 1, one a layer; got {self.patches}")

    @property
    def n_layers(self) -> int:
        """Number of layers below the head."""
        return len(self.patches)

    @checked
    def positions(self, stage: int) -> int:
        """Return $q_l$, the number of positions after layer `stage` (from 1)."""
        self.check_stage(stage)
        return prod(self.patches[stage:])

    @checked
    def check_stage(self, stage: int, lowest: int = 0) -> None:
        """Raise ValueError unless `stage` is one of `lowest`..L."""
        if not 0 <= lowest <= stage <= self.n_layers:
            raise ValueError(f"stage must lie in {lowest}..{self.n_layers}; got {stage}")

    @checked
    def inputs_of(self, layer: int) -> int:
        """Number of inputs of a patch of layer index `layer` (from 0)."""
        if not 0 <= layer < len(self.patches):  # once a step
            raise ValueError(f"layer must lie in 0..{len(self.patches) - 1}; got {layer}")
        return self.patches[layer] * (self.width if layer else self.vocab_size)


@checked
@dataclass
class TrainingSets:
    """The training sets of all runs, end to end, with one stream of batch orders a run.

    Attributes:
        inputs: strings of all runs, `[total, dim]`.
        labels: `[total]`.
        sizes: number of strings of each run.
        generators: one a run; the order of its batches depends on nothing else.
    """

    inputs: Integer[Tensor, "total dim"]
    labels: Int64[Tensor, "total"]
    sizes: Sequence[int]
    generators: Sequence[torch.Generator]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or sum(self.sizes) != len(self.labels):
            raise ValueError(
                f"sizes must be at least 1 and add up to all {len(self.labels)} strings; "
                f"got {list(self.sizes)}"
            )
        for name, numbers in (("inputs", self.inputs), ("labels", self.labels)):
            if int(numbers.min()) < 0:
                raise ValueError(f"{name} must be at least 0; got {int(numbers.min())}")
        self.starts = [sum(self.sizes[:r]) for r in range(len(self.sizes))]
        self._left = [torch.empty(0, dtype=torch.int64) for _ in self.sizes]

    @checked
    def order(self, run: int, n_steps: int) -> Int64[Tensor, "step batch"]:
        """Return the next batches of a run: reshuffled every epoch, incomplete batches dropped.

        A set smaller than a batch is repeated.
        """
        check_indices(min(len(self.sizes), len(self.generators)), run=[run])
        at_least(0, n_steps=n_steps)
        size, kept = self.sizes[run], [self._left[run]]
        repeats = -(-BATCH // size)
        while sum(map(len, kept)) < n_steps * BATCH:
            epoch = torch.randperm(size * repeats, generator=self.generators[run])
            kept.append(epoch[: len(epoch) // BATCH * BATCH] % size)
        joined = torch.cat(kept)
        self._left[run] = joined[n_steps * BATCH :]
        return joined[: n_steps * BATCH].view(n_steps, BATCH) + self.starts[run]


@checked
@dataclass
class Head:
    """The read-out of a stage: `weights [run, positions * width, class]` and its momentum."""

    stage: int
    weights: Float[Tensor, "run inputs class"]

    def __post_init__(self) -> None:
        at_least(1, stage=self.stage)


class PatchNetworks:
    """`n_runs` networks: `weights[l] [run, inputs, width]`, `biases[l] [run, width]`."""

    @checked
    def __init__(
        self,
        shape: Shape,
        generators: Sequence[torch.Generator],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        """Draw the layers of one network a generator."""
        if not generators:
            raise ValueError("give at least one generator, one a network; got none")
        self.shape, self.device, self.n_runs = shape, torch.device(device), len(generators)
        self.generators = generators
        self.weights, self.biases = [], []
        for layer in range(shape.n_layers):
            size = (shape.inputs_of(layer), shape.width)
            self.weights.append(self._normal(size))
            self.biases.append(self._normal((shape.width,)))
        self.eye = torch.eye(shape.vocab_size, device=self.device)

    def _axes(self) -> dict[str, int]:
        return {"dim": prod(self.shape.patches)}

    def _check(self, strings: Tensor, head: Head) -> None:
        """Raise ValueError unless strings and head are of as many runs as the networks."""
        if not len(strings) == len(head.weights) == self.n_runs:
            raise ValueError(
                f"strings and head must be of {self.n_runs} runs; got {len(strings)} and "
                f"{len(head.weights)}"
            )

    def _normal(self, size: tuple[int, ...]) -> Tensor:
        draws = [torch.randn(size, generator=g) for g in self.generators]
        return torch.stack(draws).to(self.device)

    @checked
    def new_head(self, stage: int) -> Head:
        """Draw a head for `stage` from the same generators."""
        self.shape.check_stage(stage, 1)
        shape = self.shape
        return Head(stage, self._normal((shape.positions(stage) * shape.width, shape.n_classes)))

    @checked
    def activations(
        self, strings: Integer[Tensor, "run batch dim"], stage: int, runs: slice | None = None
    ) -> list[Float[Tensor, "run rows channels"]]:
        """Compute layers 0 (one-hot) to `stage` for strings `[run, batch, dim]`."""
        runs = runs or slice(None)
        if len(range(self.n_runs)[runs]) != len(strings):
            raise ValueError(
                f"give strings for {len(range(self.n_runs)[runs])} runs; got {len(strings)}"
            )
        weights = [w[runs] for w in self.weights]
        biases = [b[runs] for b in self.biases]
        return forward(self.shape, self.eye, weights, biases, strings, stage)

    @checked
    def logits(
        self, strings: Integer[Tensor, "run batch dim"], head: Head
    ) -> Float[Tensor, "run batch class"]:
        """Compute the logits of the head's stage for strings `[run, batch, dim]`."""
        self._check(strings, head)
        top = self.activations(strings, head.stage)[-1]
        return read_out(self.shape, top, head.weights, strings.shape[1])

    @checked
    def errors(
        self,
        strings: Integer[Tensor, "run batch dim"],
        labels: Int64[Tensor, "run batch"],
        head: Head,
    ) -> list[float]:
        """Return the 0-1 errors of all runs on `[run, batch, dim]`, over $1-1/n_c$."""
        self._check(strings, head)
        check_indices(self.shape.n_classes, labels=labels)
        wrong = torch.zeros(self.n_runs, dtype=torch.float64)
        for x, y in zip(strings.split(500, 1), labels.split(500, 1), strict=True):
            wrong += (self.logits(x, head).argmax(2) != y).double().sum(1).cpu()
        chance = 1 - 1 / self.shape.n_classes
        return (wrong / labels.shape[1] / chance).tolist()

    @checked
    def fit(
        self,
        sets: TrainingSets,
        head: Head,
        *,
        lowest: int,
        n_steps: int,
        tolerance: float = TOLERANCE,
        observe: Callable[[int], None] | None = None,
        every: int = CHECK_EVERY,
    ) -> list[dict[str, float]]:
        r"""Train layers `lowest`..head.stage (from 1) and the head by SGD on the cross-entropy.

        Learning rate $0.1hq_l$, momentum 0.9, batches of 128. A run whose smoothed batch loss falls
        below `tolerance` is dropped from the group at the next multiple of 50 steps. Every `every`
        steps (a multiple of 50) `observe` sees the networks as they are, those of dropped runs as
        they ended. Returns steps and last smoothed loss of every run.
        """
        self._check_fit(sets, head, lowest, every)
        at_least(0, n_steps=n_steps)
        job = _Fit(self, sets, head, lowest)
        found: list[dict[str, float]] = [{} for _ in range(self.n_runs)]
        done = 0
        while done < n_steps and job.runs:
            chunk = min(CHECK_EVERY, n_steps - done)
            orders = torch.stack([sets.order(run, chunk) for run in job.runs], 1)
            job.advance(orders.to(self.device))
            done += chunk
            losses = job.loss.tolist()
            for run, loss in zip(job.runs, losses, strict=True):
                found[run] = {"steps": done, "loss": loss}
            finished = [loss < tolerance or done >= n_steps for loss in losses]
            if any(finished):
                job.drop(finished)
            if observe is not None and done % every == 0:
                job.write_back()
                observe(done)
        return found

    def _check_fit(self, sets: TrainingSets, head: Head, lowest: int, every: int) -> None:
        if not len(sets.sizes) == len(sets.generators) == len(head.weights) == self.n_runs:
            raise ValueError(
                f"training sets, their generators and the head must be of {self.n_runs} runs; got "
                f"{len(sets.sizes)}, {len(sets.generators)} and {len(head.weights)}"
            )
        if not 1 <= lowest <= head.stage:
            raise ValueError(f"lowest must lie in 1..{head.stage}, the head's stage; got {lowest}")
        if every < 1 or every % CHECK_EVERY:
            raise ValueError(f"every must be a multiple of {CHECK_EVERY}; got {every}")
        check_indices(self.shape.n_classes, labels=sets.labels)
        check_indices(self.shape.vocab_size, inputs=sets.inputs)


@checked
def forward(
    shape: Shape,
    eye: Float[Tensor, "symbol symbol"],
    weights: Sequence[Float[Tensor, "run _ width"]],
    biases: Sequence[Float[Tensor, "run width"]],
    strings: Integer[Tensor, "run batch dim"],
    stage: int,
) -> list[Tensor]:
    """Compute layers 0 to `stage`, each `[run, batch * positions, channels of a patch]`."""
    shape.check_stage(stage)
    n_runs = strings.shape[0]
    out = [eye.index_select(0, strings.flatten())]
    for layer in range(stage):
        below = out[-1].view(n_runs, -1, shape.inputs_of(layer))
        out[-1] = below
        scale = (shape.width if layer else shape.fan_in) ** -0.5
        bias = biases[layer][:, None, :]
        z = torch.baddbmm(bias, below, weights[layer], beta=BIAS_SCALE, alpha=scale)
        out.append(z.relu_())
    return out


@checked
def read_out(
    shape: Shape,
    top: Float[Tensor, "run rows width"],
    head: Float[Tensor, "run inputs class"],
    batch: int,
) -> Float[Tensor, "run batch class"]:
    """Compute the logits from the activations of a stage."""
    if batch < 1 or top.shape[1] * top.shape[2] != batch * head.shape[1]:
        raise ValueError(
            f"the activations of {batch} strings must be {head.shape[1]} numbers each, as the head "
            f"reads; got shape {list(top.shape)}"
        )
    return torch.bmm(top.view(len(top), batch, -1), head).mul_(1 / head.shape[1])


_forward, _read_out = plain(forward), plain(read_out)


class _Fit:
    """One call of `fit`: the parameters of the runs still training, their gradients, momenta."""

    def __init__(self, net: PatchNetworks, sets: TrainingSets, head: Head, lowest: int) -> None:
        self.net, self.shape, self.sets, self.head = net, plain(net.shape), sets, head
        self.first, self.stage = lowest - 1, head.stage
        self.runs = list(range(net.n_runs))
        self.weights, self.biases = list(net.weights), list(net.biases)
        self.beta = head.weights
        self.momenta = [torch.zeros_like(p) for p in self.trained()]
        self.loss = torch.full((net.n_runs,), torch.nan, device=net.device)
        self.rate = RATE * net.shape.width * net.shape.positions(self.stage)
        self._start()

    def trained(self) -> list[Tensor]:
        """List the trained tensors: weights and biases from the lowest layer up, then the head."""
        layers = range(self.first, self.stage)
        return [t for i in layers for t in (self.weights[i], self.biases[i])] + [self.beta]

    def drop(self, finished: Sequence[bool]) -> None:
        """Write everything back, and go on with copies of the unfinished runs."""
        self.write_back()
        keep = [i for i, over in enumerate(finished) if not over]
        self.runs = [self.runs[i] for i in keep]
        if not keep:
            return
        index = torch.tensor(keep, device=self.net.device)
        self.weights = [w.index_select(0, index) for w in self.weights]
        self.biases = [b.index_select(0, index) for b in self.biases]
        self.beta = self.beta.index_select(0, index)
        self.momenta = [m.index_select(0, index) for m in self.momenta]
        self.loss = self.loss.index_select(0, index)
        self._start()

    def write_back(self) -> None:
        """Copy the runs still training back into the networks and the head."""
        if not self.runs or self.beta is self.head.weights:
            return
        index = torch.tensor(self.runs, device=self.net.device)
        for layer in range(self.first, self.stage):
            self.net.weights[layer].index_copy_(0, index, self.weights[layer])
            self.net.biases[layer].index_copy_(0, index, self.biases[layer])
        self.head.weights.index_copy_(0, index, self.beta)

    def _start(self) -> None:
        """Prepare to train the runs that are left."""
        self.ones = torch.ones(len(self.runs), 1, BATCH * self._rows(), device=self.net.device)
        self.classes = torch.arange(self.beta.shape[2], device=self.net.device)
        self._run = captured(self._step, self.net.device)

    def advance(self, orders: Int64[Tensor, "step run batch"]) -> None:
        """Take one step an order."""
        for order in orders:
            self._run(order)

    def _step(self, order: Int64[Tensor, "run batch"]) -> None:
        n_runs, batch = order.shape
        flat = order.flatten()
        x = self.sets.inputs.index_select(0, flat).view(n_runs, batch, -1)
        y = self.sets.labels.index_select(0, flat).view(n_runs, batch, 1)
        gradients = self._gradients(x, y)
        torch._foreach_mul_(self.momenta, MOMENTUM)
        torch._foreach_add_(self.momenta, gradients)
        torch._foreach_add_(self.trained(), self.momenta, alpha=-self.rate)

    def _rows(self) -> int:
        return max(self.shape.positions(i + 1) for i in range(self.first, self.stage))

    def _gradients(self, x: Tensor, y: Tensor) -> list[Tensor]:
        shape, batch = self.shape, x.shape[1]
        out = _forward(shape, self.net.eye, self.weights, self.biases, x, self.stage)
        top = out[-1].view(len(x), batch, -1)
        slope = torch.log_softmax(_read_out(shape, top, self.beta, batch), 2)
        loss = slope.gather(2, y).mean((1, 2)).neg_()
        smoothed = SMOOTHING * self.loss + (1 - SMOOTHING) * loss
        self.loss.copy_(torch.where(self.loss.isnan(), loss, smoothed))
        slope.exp_().sub_((y == self.classes).to(slope)).mul_(1 / (batch * self.beta.shape[1]))
        gradients = [torch.bmm(top.mT, slope)]
        down = torch.bmm(slope, self.beta.mT)
        for layer in range(self.stage - 1, self.first - 1, -1):
            active = out[layer + 1]
            down = torch.ops.aten.threshold_backward(down.view(active.shape), active, 0)
            down = down.view(len(x), -1, shape.width)
            scale = (shape.width if layer else shape.fan_in) ** -0.5
            bias = torch.bmm(self.ones[:, :, : down.shape[1]], down)[:, 0].mul_(BIAS_SCALE)
            gradients.insert(0, bias)
            gradients.insert(0, torch.bmm(out[layer].mT, down).mul_(scale))
            if layer > self.first:
                down = torch.bmm(down, self.weights[layer].mT).mul_(scale)
        return gradients
