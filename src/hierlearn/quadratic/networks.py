r"""Hierarchical quadratic networks, many at once, with hand-written gradients.

One network computes $S_2=K_2x$, $S_l=K_l[\Phi_{l-1};x;1]$ for $l\ge3$ and
$\hat y=\sum_lw_l\lVert S_l\rVert^2$, where $\Phi_l=(S_{l,i}S_{l,j})_{i\le j}$, less the constant
$K_{2,i}\cdot K_{2,j}$ at l = 2. It is the tied, distillation-free form of the learner of
Allen-Zhu & Li (COLT 2023): monomials stand for their $\sigma(R_lS_l)$.

The networks of one seed (its *arms*) see the same inputs, so their rows that act on $x$ form one
matrix: one product a seed serves all arms and levels. The gradients are written out because the
networks are so small that an autograd tape costs more than the arithmetic; a test compares them
with autograd.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.seeds import stream


class QuadraticNetworks:
    r"""`n_seeds * n_arms` networks of one shape; run `seed * n_arms + arm` is arm `arm` of a seed.

    Attributes:
        theta: all parameters in one flat tensor; `rows` and `quadratic` are views of it.
        grad: their gradients, laid out alike.
        rows: weights on x, `[seed, arm * n_rows, dim]`; an arm's levels follow each other.
        quadratic: for l = 3..L the weights on $[\Phi_{l-1};1]$, `[run, m_l, pairs + 1]`.
        readout: Q of a free quadratic form $x^\top Qx$ in the output, `[run, dim, dim]`, symmetric
            from a zero start on; `None` without `readout`. Level 3 owns it.
        owner: for each parameter `run * n_levels + level`.
    """

    @checked
    def __init__(
        self,
        n_seeds: int,
        n_arms: int,
        *,
        dim: int,
        widths: Sequence[int],
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        readout: bool = False,
    ) -> None:
        """Allocate the networks with all parameters zero; `initialize` draws them."""
        at_least(1, n_seeds=n_seeds, n_arms=n_arms, dim=dim)
        if not widths or min(widths) < 1:
            raise ValueError(f"widths must be at least 1, one a level; got {list(widths)}")
        self.n_seeds, self.n_arms, self.dim, self.widths = n_seeds, n_arms, dim, tuple(widths)
        self.n_runs, self.n_rows = n_seeds * n_arms, sum(widths)
        self.n_levels = len(self.widths)
        offsets = torch.tensor((0, *self.widths)).cumsum(0).tolist()
        self.slices = [slice(a, b) for a, b in zip(offsets, offsets[1:], strict=False)]
        shapes: list[tuple[int, ...]] = [(n_seeds, n_arms * self.n_rows, dim)]
        for below, width in zip(self.widths, self.widths[1:], strict=False):
            shapes.append((self.n_runs, width, below * (below + 1) // 2 + 1))
        if readout:
            shapes.append((self.n_runs, dim, dim))
        sizes = [torch.Size(shape).numel() for shape in shapes]
        self.theta = torch.zeros(sum(sizes), dtype=dtype, device=device)
        self.grad = torch.zeros_like(self.theta)
        views, grads = _views(self.theta, shapes, sizes), _views(self.grad, shapes, sizes)
        self.readout = views.pop() if readout else None
        self._grad_readout = grads.pop() if readout else None
        self.rows, *self.quadratic = views
        self._grad_rows, *self._grad_quadratic = grads
        self.owner = self._owners(shapes, sizes)
        self._pairs = [_pair_tables(k, self.theta) for k in self.widths[:-1]]
        levels = torch.arange(self.n_levels).repeat_interleave(torch.tensor(self.widths))
        self._level_of_row = levels.to(self.theta.device)
        self._buffers: dict[int, _Buffers] = {}

    def _axes(self) -> dict[str, int]:
        sizes = {"seed": self.n_seeds, "arm": self.n_arms, "run": self.n_runs}
        return sizes | {"dim": self.dim, "level": self.n_levels, "rows": self.n_rows}

    def _owners(self, shapes: list[tuple[int, ...]], sizes: list[int]) -> Tensor:
        owner = torch.empty(sum(sizes), dtype=torch.long, device=self.theta.device)
        rows, *quadratic = _views(owner, shapes, sizes)
        readout = quadratic.pop() if len(quadratic) == self.n_levels else None
        run = torch.arange(self.n_runs, device=owner.device) * self.n_levels
        level = torch.cat([torch.full((k,), i) for i, k in enumerate(self.widths)]).to(owner.device)
        rows.view(self.n_runs, self.n_rows, self.dim).copy_((run[:, None] + level)[:, :, None])
        for i, block in enumerate(quadratic, start=1):
            block.copy_((run + i)[:, None, None].expand_as(block))
        if readout is not None:
            readout.copy_((run + 1)[:, None, None].expand_as(readout))
        return owner

    @checked
    def initialize(self, seeds: Sequence[int], *, gain: float = 0.3) -> None:
        r"""Draw $K_l\sim\mathrm{gain}\,N(0,1)/\sqrt{\text{fan-in}}$, the readout zero.

        A seed's arms start alike.
        """
        if len(seeds) != self.n_seeds:
            raise ValueError(f"give {self.n_seeds} seeds; got {list(seeds)}")
        for s, seed in enumerate(seeds):
            generator = stream("initial weights", seed)
            runs = slice(s * self.n_arms, (s + 1) * self.n_arms)
            for i, width in enumerate(self.widths):
                pairs = self.quadratic[i - 1].shape[2] if i else 0
                draw = torch.randn(width, pairs + self.dim, generator=generator)
                draw = (gain * (pairs + self.dim) ** -0.5 * draw).to(self.theta)
                self.level_rows(i)[runs] = draw[:, pairs:]
                if i:
                    self.quadratic[i - 1][runs] = draw[:, :pairs]

    @checked
    def level_rows(self, level: int) -> Float[Tensor, "run width dim"]:
        """Return the weights on x of level index `level` (0 is level 2), a view."""
        if not 0 <= level < self.n_levels:  # once a step
            raise ValueError(f"level must lie in 0..{self.n_levels - 1}; got {level}")
        return self.rows.view(self.n_runs, self.n_rows, self.dim)[:, self.slices[level]]

    @checked
    def level_outputs(
        self, x: Float[Tensor, "seed batch dim"], n_open: int | None = None
    ) -> Float[Tensor, "run rows batch"]:
        """Compute all S_l(x), stacked by level.

        Levels past the first `n_open` lack their quadratic part.
        """
        self._check_open(n_open)
        buffers = self._buffers_for(x.shape[1])
        z = buffers.z
        torch.bmm(self.rows, x.mT, out=z.view(self.n_seeds, -1, x.shape[1]))
        for i in range(1, self.n_levels if n_open is None else n_open):
            below, phi = z[:, self.slices[i - 1]], buffers.phi[i - 1]
            _write_pairs(below, phi)
            z[:, self.slices[i]].baddbmm_(self._shifted(i), phi)
        return z

    def _check_open(self, n_open: int | None) -> None:
        if n_open is not None and not 0 <= n_open <= self.n_levels:
            raise ValueError(f"n_open must lie in 0..{self.n_levels}; got {n_open}")

    def _shifted(self, level: int) -> Tensor:
        """Weights on [S_i S_j; 1]: for level 3 the centering of Phi_2 moves into the constant."""
        weights = self.quadratic[level - 1]
        if level > 1:
            return weights
        shifted = weights.clone()
        shifted[:, :, -1:].baddbmm_(weights[:, :, :-1], self._centers()[:, :, None], alpha=-1)
        return shifted

    def _centers(self) -> Tensor:
        first, (i, j, _, _) = self.level_rows(0), self._pairs[0]
        return torch.bmm(first, first.mT)[:, i, j]

    @checked
    def head(
        self, z: Float[Tensor, "run rows batch"], weights: Float[Tensor, "run level"]
    ) -> Float[Tensor, "run batch"]:
        r"""Compute $\sum_lw_l\lVert S_l\rVert^2$ from stacked level outputs."""
        buffers = self._buffers_for(z.shape[2])
        torch.mul(z, z, out=buffers.square)
        torch.bmm(self.by_row(weights)[:, None, :], buffers.square, out=buffers.raw)
        return buffers.raw[:, 0]

    @checked
    def read_out(self, x: Float[Tensor, "seed batch dim"]) -> Float[Tensor, "run batch"]:
        r"""Compute $x^\top Qx$."""
        if self.readout is None:
            raise ValueError("these networks have no readout; give `readout=True` to have one")
        n_seeds, batch, dim = x.shape
        forms = self.readout.view(n_seeds, self.n_arms * dim, dim)
        mixed = torch.bmm(x, forms.mT).view(n_seeds, batch, self.n_arms, dim)
        return mixed.mul_(x[:, :, None, :]).sum(3).mT.flatten(0, 1)

    @checked
    def backward_readout(
        self, x: Float[Tensor, "seed batch dim"], slope: Float[Tensor, "run batch"]
    ) -> None:
        r"""Write the gradient of $\sum_b\mathrm{slope}_b\,x_b^\top Qx_b$ in Q into `grad`."""
        if self._grad_readout is None:
            raise ValueError("these networks have no readout; give `readout=True` to have one")
        slopes = slope.view(self.n_seeds, self.n_arms, 1, -1)
        scaled = (slopes * x.mT[:, None]).reshape(self.n_seeds, self.n_arms * self.dim, -1)
        torch.bmm(scaled, x, out=self._grad_readout.view(self.n_seeds, -1, self.dim))

    @checked
    def by_row(self, per_level: Float[Tensor, "run level"]) -> Float[Tensor, "run rows"]:
        """Repeat a value per level over the level's rows."""
        return per_level.index_select(1, self._level_of_row)

    @checked
    def backward(
        self,
        x: Float[Tensor, "seed batch dim"],
        z: Float[Tensor, "run rows batch"],
        slope: Float[Tensor, "run batch"],
        *,
        head_weights: Float[Tensor, "run level"],
        n_open: int | None = None,
    ) -> None:
        r"""Write the gradients of $\sum_b\mathrm{slope}_b\,\hat y_b$ into `grad`.

        Args:
            x: the inputs.
            z: the level outputs that `level_outputs(x)` has just returned.
            slope: derivative of the loss in $\hat y$.
            head_weights: $w_l$; a zero hides a level's own output from its gradient.
            n_open: as in `level_outputs`.
        """
        self._check_open(n_open)
        buffers = self._buffers_for(x.shape[1])
        dz, products = buffers.backward
        torch.mul(z, (2 * self.by_row(head_weights))[:, :, None], out=dz)
        dz.mul_(slope[:, None, :])
        center_slope = None
        for i in range((self.n_levels if n_open is None else n_open) - 1, 0, -1):
            upper, lower = dz[:, self.slices[i]], self.slices[i - 1]
            grad, weights = self._grad_quadratic[i - 1], self.quadratic[i - 1]
            torch.bmm(upper, buffers.phi[i - 1].mT, out=grad)
            _, _, square, doubled = self._pairs[i - 1]
            full = weights.index_select(2, square).mul_(doubled)
            width = self.widths[i - 1]
            product = torch.bmm(full.mT, upper, out=products[i - 1])
            blocks = product.view(self.n_runs, width, width, -1)
            blocks.mul_(z[:, None, lower])
            below = blocks.sum(2)
            if i == 1:
                center_slope = self._through_centers(grad, weights)
            dz[:, lower].add_(below)
        torch.bmm(dz.view(self.n_seeds, -1, x.shape[1]), x, out=self._grad_rows)
        if center_slope is not None:
            view = self._grad_rows.view(self.n_runs, self.n_rows, self.dim)
            view[:, self.slices[0]].add_(center_slope)

    def _through_centers(self, grad: Tensor, weights: Tensor) -> Tensor:
        """Correct `grad` for the centering of Phi_2; return the gradient it sends to K_2."""
        total = grad[:, :, -1:]
        _, _, square, doubled = self._pairs[0]
        width = self.widths[0]
        slope = -(weights[:, :, :-1] * total).sum(1)
        slope = (slope[:, square] * doubled).view(-1, width, width)
        grad[:, :, :-1].sub_(total * self._centers()[:, None, :])
        return torch.bmm(slope, self.level_rows(0))

    def _buffers_for(self, batch: int) -> "_Buffers":
        if batch not in self._buffers:
            self._buffers[batch] = _Buffers(self, batch)
        return self._buffers[batch]


class _Buffers:
    """Work space for one batch size, reused: fresh memory costs more than the arithmetic."""

    def __init__(self, net: QuadraticNetworks, batch: int) -> None:
        def empty(*shape: int) -> Tensor:
            return net.theta.new_empty(net.n_runs, *shape, batch)

        self.z, self.square = empty(net.n_rows), empty(net.n_rows)
        self.raw = empty(1)
        self.phi = [empty(k * (k + 1) // 2 + 1).fill_(1) for k in net.widths[:-1]]
        self._backward = lambda: (empty(net.n_rows), [empty(k * k) for k in net.widths[:-1]])

    @cached_property
    def backward(self) -> tuple[Tensor, list[Tensor]]:
        """Gradients of the level outputs and of the pairs; only training needs them."""
        return self._backward()


def _views(flat: Tensor, shapes: list[tuple[int, ...]], sizes: list[int]) -> list[Tensor]:
    return [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]


def _pair_tables(width: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Index tables of the pairs i <= j: i, j, the pair of each (i, j), and 2 on the diagonal."""
    i, j = torch.triu_indices(width, width)
    square = torch.empty(width, width, dtype=torch.long)
    square[i, j] = square[j, i] = torch.arange(len(i))
    doubled = (1 + torch.eye(width)).flatten().to(like)
    return i.to(like.device), j.to(like.device), square.flatten().to(like.device), doubled


def _write_pairs(below: Tensor, phi: Tensor) -> None:
    """Write S_i S_j, i <= j, into all rows of `phi` but the last, which stays one."""
    width, start = below.shape[1], 0
    for i in range(width):
        torch.mul(below[:, i : i + 1], below[:, i:], out=phi[:, start : start + width - i])
        start += width - i
