"""What is read off a trained network, and off its first stage alone."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from hierlearn.engine.doors import check_finite, check_indices, checked, positive
from hierlearn.images.networks import N_CLASSES


@checked
def scores(outputs: Float[Tensor, "image label"], y: Int64[Tensor, "image"]) -> tuple[float, float]:
    """Return the cross-entropy (in nats) and the accuracy of a head's outputs."""
    check_indices(outputs.shape[1], y=y)
    correct = (outputs.argmax(1) == y).double().mean()
    return float(cross_entropy(outputs.double(), y)), float(correct)


@checked
def probe_accuracy(
    features: Float[Tensor, "n width"],
    y: Int64[Tensor, "n"],
    test_features: Float[Tensor, "m width"],
    test_y: Int64[Tensor, "m"],
    *,
    ridge: float = 0.01,
) -> float:
    r"""Return the test accuracy of the ridge classifier on features, solved in float64.

    $W=\arg\min\frac1n\lVert\tilde XW-Y\rVert^2+\lambda\lVert W\rVert^2$, $\tilde X$ centered and
    scaled, $Y$ one-hot and centered.
    """
    positive(ridge=ridge)
    check_indices(N_CLASSES, y=y, test_y=test_y)
    check_finite(features=features, test_features=test_features)
    mean, sd = features.double().mean(0), features.double().std(0).clamp(min=1e-12)
    z, z_test = ((some.double() - mean) / sd for some in (features, test_features))
    targets = one_hot(y, N_CLASSES).double()
    gram = z.T @ z / len(z) + ridge * torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
    weights = torch.linalg.solve(gram, z.T @ (targets - targets.mean(0)) / len(z))
    outputs = z_test @ weights + targets.mean(0)
    return float((outputs.argmax(1) == test_y).double().mean())


@checked
def cosine(stage: nn.Module, other: nn.Module) -> float:
    """Return the cosine between the convolutions of two stages of one shape, taken together."""
    one, two = (
        torch.cat([m.weight.detach().flatten() for m in s.modules() if isinstance(m, nn.Conv2d)])
        for s in (stage, other)
    )
    return float(torch.nn.functional.cosine_similarity(one.double(), two.double(), 0))
