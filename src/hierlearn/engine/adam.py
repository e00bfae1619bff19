r"""Adam (Kingma & Ba 2015) for many networks at once, whose parameters lie in one tensor.

$m\leftarrow\beta_1m+(1-\beta_1)g$, $v\leftarrow\beta_2v+(1-\beta_2)g^2$,
$\theta\leftarrow\theta-\alpha_tm/(\sqrt v+\hat\epsilon)$ with
$\alpha_t=\eta_t\sqrt{1-\beta_2^t}/(1-\beta_1^t)$: their form with $\hat\epsilon$, end of section 2,
in which the bias corrections are part of the step size and a step reads no number of its own.
"""

import torch
from torch import Tensor


class Adam:
    """The moments of `theta`, which `step` moves along `grad`; both are changed in place.

    `hold` freezes parameters: they keep their moments as they are.
    """

    def __init__(
        self, theta: Tensor, grad: Tensor, betas: tuple[float, float], epsilon: float = 1e-8
    ) -> None:
        self.theta, self.grad, self.epsilon, self.betas = theta, grad, epsilon, betas
        self.first, self.second = torch.zeros_like(theta), torch.zeros_like(theta)
        self._scratch = torch.empty_like(theta)
        self._weights: list[Tensor] | list[float] = [1 - beta for beta in betas]

    def hold(self, moving: Tensor) -> None:
        """From now on move only the parameters where `moving` is 1, not those where it is 0."""
        self._weights = [(1 - beta) * moving for beta in self.betas]

    def step(self, size: Tensor) -> None:
        """Take a step of the sizes `size`, see `step_sizes`; they broadcast against `theta`."""
        self.first.lerp_(self.grad, self._weights[0])
        torch.mul(self.grad, self.grad, out=self._scratch)
        self.second.lerp_(self._scratch, self._weights[1])
        torch.sqrt(self.second, out=self._scratch)
        torch.div(self.first, self._scratch.add_(self.epsilon), out=self._scratch)
        self.theta.addcmul_(self._scratch, size, value=-1)


def step_sizes(rates: Tensor, betas: tuple[float, float]) -> Tensor:
    r"""Fold the bias corrections into the rates `[step, ...]`: return $\alpha_t$, in float64.

    t counts the steps at which a rate is positive: freezing stops the clock.
    """
    count = (rates > 0).cumsum(0).clamp_(min=1).double()
    first, second = betas
    return rates.double() * (1 - second**count).sqrt() / (1 - first**count)
