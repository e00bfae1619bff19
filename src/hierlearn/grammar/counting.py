r"""Layerwise learners without gradient descent: clustering and ridge regression, level by level.

Both use only label counts of patches. Clustering follows Cagnetta et al., appendix D. Ridge
regression is in the style of the layerwise learner of Ren et al. (COLT 2026, Eqs. 1-3), from which
it differs in five points: all positions instead of the first patch; centred targets; unit norm
instead of normalized sums; a fixed bandwidth and $\lambda=10^{-3}P$ instead of $\sigma\propto\rho$
and $1/(mV)$; one data set instead of a fresh one at every stage.
"""

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from hierlearn.engine.doors import at_least, check_indices, checked
from hierlearn.grammar.measures import label_counts

RESTARTS, ITERATIONS = 60, 30
FEATURES, SHARPNESS, RIDGE = 1024, 2.0, 1e-3


@checked
def predict_by_clustering(
    train: Integer[Tensor, "n dim"],
    labels: Int64[Tensor, "n"],
    test: Integer[Tensor, "test dim"],
    *,
    vocab_size: int,
    n_classes: int,
    generator: torch.Generator,
) -> Int64[Tensor, "test"]:
    r"""Predict by clustering patches level by level; returns the predicted labels.

    At every level the types of patches (pairs of tokens) get signatures
    $F_\mu=(S_{\mu j}/(N_{\mu j}+1))_j$, $S_{\mu jc}=\sum_i1[\mathrm{patch}_j(x_i)=\mu]
    (1[y_i=c]-1/n_c)$; weighted k-means merges them into v tokens of the next level. At the top the
    most frequent label of a type wins.
    """
    _check_strings(train, labels, test, vocab_size, n_classes)
    n_tokens = vocab_size
    train, test = train.long(), test.long()
    while True:
        types, test_types = (_pairs(x, n_tokens) for x in (train, test))
        counts = label_counts(types, labels, n_types=n_tokens**2, n_classes=n_classes)
        seen = counts.sum((1, 2)) > 0
        total = counts.sum(2, keepdim=True)
        signature = ((counts - total / n_classes) / (total + 1)).flatten(1)
        if types.shape[1] == 1:
            return signature.argmax(1)[test_types[:, 0]]
        token = torch.zeros(n_tokens**2, dtype=torch.int64)
        k = min(vocab_size, int(seen.sum()))
        token[seen] = weighted_k_means(signature[seen], counts.sum((1, 2))[seen], k, generator)
        train, test = token[types], token[test_types]


def _check_strings(
    train: Tensor, labels: Tensor, test: Tensor, vocab_size: int, n_classes: int
) -> None:
    """Raise ValueError for symbols or labels out of range, or a length that does not halve."""
    check_indices(vocab_size, train=train, test=test)
    check_indices(n_classes, labels=labels)
    dim = train.shape[1]
    if dim < 2 or dim & (dim - 1):
        raise ValueError(f"strings must have 2, 4, 8, .. symbols, to be paired; got {dim}")


def _pairs(tokens: Tensor, n_tokens: int) -> Tensor:
    return tokens[:, 0::2] * n_tokens + tokens[:, 1::2]


@checked
def weighted_k_means(
    points: Float[Tensor, "n feature"],
    weights: Float[Tensor, "n"],
    k: int,
    generator: torch.Generator,
) -> Int64[Tensor, "n"]:
    """Cluster points by weighted k-means++, all restarts at once; keep the least inertia."""
    if not 1 <= k <= len(points):
        raise ValueError(f"k must lie in 1..{len(points)}, the number of points; got {k}")
    if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
        raise ValueError(f"weights must be at least 0, not all zero; got {weights.tolist()}")
    points, weights = points.double(), weights.double()
    n = len(points)
    squares = points.square().sum(1)
    gram = points @ points.T
    distance = (squares[:, None] + squares[None, :] - 2 * gram).clamp_(min=0)
    first = torch.multinomial(weights, RESTARTS, replacement=True, generator=generator)
    chosen, nearest = [first], distance[first]
    for _ in range(1, k):
        odds = nearest * weights + 1e-300
        chosen.append(torch.multinomial(odds, 1, generator=generator)[:, 0])
        nearest = torch.minimum(nearest, distance[chosen[-1]])
    centers = points[torch.stack(chosen, 1)]
    for _ in range(ITERATIONS):
        apart = centers.square().sum(2)[:, None, :] - 2 * points @ centers.mT
        member = torch.zeros(RESTARTS, n, k).double()
        assigned = apart.argmin(2)
        member.scatter_(2, assigned[:, :, None], weights.expand(RESTARTS, n)[:, :, None])
        mass = member.sum(1)[:, :, None]
        moved = torch.where(mass > 0, member.mT @ points / mass.clamp(min=1e-300), centers)
        if torch.equal(moved, centers):
            break
        centers = moved
    apart = centers.square().sum(2)[:, None, :] - 2 * points @ centers.mT + squares[:, None]
    least, assigned = apart.min(2)
    inertia = (least * weights).sum(1)
    return assigned[inertia.argmin()]


@checked
def predict_by_ridge(
    train: Integer[Tensor, "n dim"],
    labels: Int64[Tensor, "n"],
    test: Integer[Tensor, "test dim"],
    *,
    vocab_size: int,
    n_classes: int,
    generator: torch.Generator,
    n_features: int = FEATURES,
) -> Int64[Tensor, "test"]:
    r"""Predict by ridge regression on random features of patches, level by level.

    The features $\varphi$ of a patch type are random Fourier features of a Gaussian kernel on its
    concatenated token embeddings; $W_j=(\sum_\mu N_{\mu j}\varphi\varphi^\top+\lambda PI)^{-1}
    \sum_\mu\varphi S_{\mu j}$ for every position j; the next embedding of a type is the
    concatenation of its $W_j^\top\varphi$, normalized. At the top the largest output wins.
    """
    _check_strings(train, labels, test, vocab_size, n_classes)
    at_least(2, n_features=n_features)
    ids, test_ids = train.long(), test.long()
    embedding = torch.eye(vocab_size)
    while True:
        pairs = torch.cat([ids, test_ids]).view(len(ids) + len(test_ids), -1, 2)
        types, joined = torch.unique(pairs.flatten(0, 1), dim=0, return_inverse=True)
        joined = joined.view(len(pairs), -1)
        ids, test_ids = joined[: len(ids)], joined[len(ids) :]
        features = _fourier(embedding[types].flatten(1) / 2**0.5, n_features, generator)
        outputs = _solve(features, ids, labels, n_classes)
        if ids.shape[1] == 1:
            return outputs[0].argmax(1)[test_ids[:, 0]]
        embedding = torch.nn.functional.normalize(torch.cat(outputs, 1), dim=1)


def _fourier(points: Tensor, n_features: int, generator: torch.Generator) -> Tensor:
    frequencies = torch.randn(points.shape[1], n_features // 2, generator=generator)
    angles = points @ (frequencies * SHARPNESS**0.5)
    return torch.cat([angles.cos(), angles.sin()], 1) / (n_features // 2) ** 0.5


def _solve(
    features: Tensor, types: Int64[Tensor, "n position"], labels: Tensor, n_classes: int
) -> list[Tensor]:
    """Return, for every position, what its ridge regression says of every type."""
    outputs = []
    for column in types.T:
        used, own = torch.unique(column, return_inverse=True)
        counts = torch.zeros(len(used), n_classes).index_put_(
            (own, labels), torch.ones(len(own)), accumulate=True
        )
        total = counts.sum(1, keepdim=True)
        phi = features[used]
        penalty = RIDGE * len(column)
        target = counts - total / n_classes
        if len(used) < features.shape[1]:  # the same solution through the smaller matrix
            gram = (phi @ phi.T).double() * total.sqrt() * total.sqrt().T
            gram.diagonal().add_(penalty)
            dual = torch.linalg.solve(gram, (target / total.sqrt()).double()) * total.sqrt()
            weights = phi.T @ dual.to(phi)
        else:
            gram = ((phi * total).T @ phi).double()
            gram.diagonal().add_(penalty)
            weights = torch.linalg.solve(gram, (phi.T @ target).double()).to(phi)
        outputs.append(features @ weights)
    return outputs
