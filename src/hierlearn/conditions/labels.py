r"""Signal, dirt and margin of the pairs of a grammar's string, from label laws or label counts."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import checked
from hierlearn.grammar.dials import DialedHierarchy

ALIKE = 1e-9  #: probabilities nearer than this differ by rounding


@checked
def joint_law(law: DialedHierarchy) -> Float[Tensor, "type position label"]:
    r"""Compute P(label, the pair at position j is of type $\mu$); types are rules, by parent.

    On "hint" a rule of one half of its symbol's is chosen with probability $(1\pm t)/m$, by the
    parity of the label; on "shared" the halves have a bit of their own, so that the law of one pair
    is that of the intact grammar. Other dials are not known here.

    Raises:
        ValueError: for another dial that is turned.
    """
    grammar, m = law.grammar, law.grammar.synonyms[-1]
    if law.t and law.dial not in ("hint", "shared"):
        raise ValueError(f"dial must be 'hint' or 'shared', or t = 0; got {law.dial!r}")
    joints = [torch.eye(grammar.n_classes).double() / grammar.n_classes]
    for rules in grammar.rules[:-1]:
        step = [
            torch.nn.functional.one_hot(child.long(), grammar.vocab_size).double().mean(1)
            for child in rules.unbind(2)
        ]
        joints = [above @ one for above in joints for one in step]
    parity = 1 - 2.0 * (torch.arange(grammar.n_classes) % 2)
    half = torch.where(torch.arange(m) < m // 2, 1.0, -1.0)
    tilt = 1 + law.t * parity[:, None] * half if law.dial == "hint" else torch.ones(len(parity), m)
    every = [above.T[:, None, :] * tilt.T.double() / m for above in joints]
    return torch.stack([one.flatten(0, 1) for one in every], 1)


@checked
def shares(
    joint: Float[Tensor, "type position label"], m: int, *, n_samples: int | None = None
) -> tuple[float, float]:
    r"""Return signal and outer dirt of the label laws $q_{\mu j}$ of types at positions.

    Signal is $\mathrm{Var}\,E[q|\mathrm{parent}]/\mathrm{Var}\,e_{\mathrm{label}}$, outer dirt
    $E\,\mathrm{Var}(q|\mathrm{parent})/\mathrm{Var}\,q$; both are ratios of sums over positions.
    With `n_samples` the joint law is one of frequencies, whose $|q|^2$ is too large by
    $(1-|q|^2)/(n_{\mu j}-1)$: that is taken off, and cells with one datum are left out.
    """
    _check_joint(joint, m)
    mass = joint.sum(2)
    law = joint / mass.clamp(min=1e-300)[:, :, None]
    blur = torch.zeros_like(mass)
    if n_samples is not None:
        blur = (1 - law.square().sum(2)) / (mass * n_samples - 1).clamp(min=1)
        mass = mass * (mass * n_samples > 1.5)

    def energy(n: int) -> float:
        """Sum $w|q|^2$, without blur, with n types of one parent, or all, taken as one."""
        merged = (mass[:, :, None] * law).unflatten(0, (-1, n)).sum(1).square().sum(2)
        noise = (mass.square() * blur).unflatten(0, (-1, n)).sum(1)
        return float(((merged - noise) / mass.unflatten(0, (-1, n)).sum(1).clamp(min=1e-300)).sum())

    types, parents, everything = energy(1), energy(m), energy(len(joint))
    if types <= everything or float(mass.sum()) <= everything:
        raise ValueError("the label laws of all types are alike: there is no share of anything")
    signal = (parents - everything) / (float(mass.sum()) - everything)
    return signal, (types - parents) / (types - everything)


@checked
def alike(joint: Float[Tensor, "type position label"]) -> bool:
    """Say whether at each position the label laws of all types are alike: `shares` has none."""
    mean = joint.sum(0) / joint.sum((0, 2)).clamp(min=1e-300)[:, None]
    apart = joint - joint.sum(2, keepdim=True) * mean
    return float(apart.abs().max()) <= ALIKE * float(joint.sum(2).max())


@checked
def margin(joint: Float[Tensor, "type position label"], m: int) -> float:
    r"""Return one minus the largest distance of synonyms over the least distance of parents.

    Distances are those of the label laws of all positions, of parents by the mean over their types:
    positive where merging the nearest finds the parents, minus infinity where two parents coincide.
    """
    _check_joint(joint, m)
    if m < 2 or len(joint) < 2 * m:
        raise ValueError(f"needs two parents of two types; got {len(joint) // m} of {m}")
    law = (joint / joint.sum(2, keepdim=True).clamp(min=1e-300)).flatten(1).unflatten(0, (-1, m))
    within = max(float(torch.pdist(one).max()) for one in law)
    apart = float(torch.pdist(law.mean(1)).min())
    return 1 - within / apart if apart else -math.inf


def _check_joint(joint: Tensor, m: int) -> None:
    if not bool((joint >= 0).all()):
        raise ValueError(f"a joint law must not be negative; its least is {float(joint.min())}")
    if m < 1 or len(joint) % m:
        raise ValueError(f"m must divide the number of types, {len(joint)}; got {m}")
