"""Chapter 4: what one run on a Random Hierarchy Model is, and the data it sees."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config
from hierlearn.grammar.dials import DialedHierarchy

LEARNERS = ("cnn", "fcn1", "fcn3", "clustered", "ridge")
CONTROLS = ("none", "shuffled labels", "random lower layers", "permuted positions")


@dataclass(frozen=True)
class HierarchyConfig(Config):
    r"""One run on a Random Hierarchy Model with branching 2.

    Attributes:
        vocab_size, n_classes, n_synonyms, n_levels: v, $n_c$, m, L of the grammar.
        n_samples: P, different training strings.
        learner: "cnn", the deep network matched to the tree; "fcn1", "fcn3", fully connected with
            one or three hidden layers; "clustered", "ridge", layerwise without gradients.
        dial, t: what is changed about the grammar, see `grammar.dials`.
        control: what is done to the data or the learner.
        width: channels h.
        n_steps: cap on the steps of end-to-end training, or of the last stage.
        lower_steps: cap of each lower stage of layerwise training; 0 trains end to end.
        window: how many of the newest layers a stage trains; 1 is plain layerwise training.
        after: what follows layerwise training: "none"; "thaw", all layers with the same head;
            "go on", the last layer only. Both have `after_steps` as their cap.
        n_test: test strings, different from the training strings.
        trace: steps between the points of the curve of the last fit, 0 for no curve.
    """

    vocab_size: int
    n_classes: int
    n_synonyms: int
    n_levels: int
    n_samples: int
    learner: str = "cnn"
    dial: str = "none"
    t: float = 0.0
    control: str = "none"
    width: int = 64
    n_steps: int = 2000
    lower_steps: int = 0
    window: int = 1
    after: str = "none"
    after_steps: int = 0
    n_test: int = 2000
    trace: int = 0

    CHOICES = {"learner": LEARNERS, "control": CONTROLS, "after": ("none", "thaw", "go on")}

    @property
    def parameters(self) -> tuple[int, int, int, int]:
        """Return $(v,n_c,m,L)$, by which a configuration is named in the text."""
        return self.vocab_size, self.n_classes, self.n_synonyms, self.n_levels

    @property
    def scale(self) -> int:
        r"""Return $P_0=n_c\prod_lm_l$ of the grammar; the dial "corr" has v rules at the top."""
        top = self.vocab_size if self.dial == "corr" else self.n_synonyms
        return self.n_classes * top * self.n_synonyms ** (self.n_levels - 1)

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share: network and schedule."""
        return (
            self.vocab_size, self.n_classes, self.n_levels, self.learner, self.width, self.n_steps,
            self.lower_steps, self.window, self.after, self.after_steps, self.n_test, self.trace,
            self.control == "random lower layers",
        )  # fmt: skip

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes: steps times weights."""
        steps = self.n_steps + self.lower_steps * self.n_levels + self.after_steps
        return 1.5e-7 * steps * self.width * 2**self.n_levels * n_runs


@dataclass(frozen=True)
class Problem:
    """The data of one run: what it trains on, what it is tested on, and where they come from."""

    law: DialedHierarchy
    train: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor
    strings: Tensor
    """The test strings before any control changed the inputs."""


def draw_problem(config: HierarchyConfig, seed: int) -> Problem:
    """Draw grammar, test and training data of one run; all of them depend on `seed` only.

    Test and training strings are different strings.
    """
    law = DialedHierarchy.draw(
        seed, vocab_size=config.vocab_size, n_classes=config.n_classes,
        n_synonyms=config.n_synonyms, n_levels=config.n_levels, dial=config.dial, t=config.t,
    )  # fmt: skip
    n_test = config.n_test
    strings, both = law.sample_distinct(
        n_test + config.n_samples, stream("hierarchy data", seed)
    )  # fmt: skip
    test, train, labels = strings[:n_test], strings[n_test:], both[n_test:]
    if config.control == "shuffled labels":
        labels = labels[torch.randperm(len(labels), generator=stream("label order", seed))]
    seen = test
    if config.control == "permuted positions":
        order = torch.randperm(test.shape[1], generator=stream("position order", seed))
        train, seen = train[:, order], test[:, order]
    return Problem(law, train, labels, seen, both[:n_test], test)


def over_chance(wrong: float, n_classes: int) -> float:
    """Divide an error rate by that of guessing, $1-1/n_c$."""
    return wrong / (1 - 1 / n_classes)
