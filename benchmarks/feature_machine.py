"""Our recursive feature machine beside the public xRFM: accuracy and speed, in one process.

    pip install --no-deps xrfm    # it needs nothing beside numpy, scikit-learn, torch and tqdm
    python benchmarks/feature_machine.py

Tasks of the map, the same points for both; each tunes itself on a fifth of them. xRFM has its
default kernel, a Laplace one, ours a polynomial one. Both sides take turns.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from xrfm import xRFM

from hierlearn.place.references import FeatureMachine
from hierlearn.place.tasks import tasks

SIZES = {"quadratic-2": (256,), "quadratic-3": (512, 2048), "parity-4": (1024,), "ball": (512,),
         "grammar": (1536,)}  # fmt: skip
SEEDS = range(3)


class Public:
    """xRFM on four fifths of the data, tuned on the rest."""

    def __init__(self, seed: int) -> None:
        self.model = xRFM(random_state=seed, device=torch.device("cpu"), verbose=False)

    def fit(self, x: Any, y: Any) -> None:
        """Fit."""
        self.real, n = y.dtype.kind == "f", len(x) // 5
        x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
        y = y.float()[:, None] if self.real else y
        self.model.fit(x[n:], y[n:], x[:n], y[:n])

    def predict(self, x: Any) -> Any:
        """Predict labels."""
        found = self.model.predict(torch.from_numpy(x).float())
        return found.reshape(len(x)) if self.real else found


def main() -> None:
    torch.set_num_threads(1)
    sides: dict[str, Callable[[int], Any]] = {"ours": FeatureMachine, "xRFM": Public}
    for name, sizes in SIZES.items():
        task = tasks("laptop")[name]
        for n in sizes:
            taken: dict[str, list[float]] = {side: [] for side in sides}
            errors: dict[str, list[float]] = {side: [] for side in sides}
            for seed in SEEDS:
                x, y = task.draw(seed, n)
                points, labels = task.draw(seed, 1000, test="benchmark")
                for side, make in sides.items():
                    start = time.process_time()
                    model = make(seed)
                    model.fit(x, y)
                    guess = model.predict(points)
                    taken[side].append(time.process_time() - start)
                    errors[side].append(task.error(guess, labels))
            print(f"{name:12s} N = {n:5d}", end="")
            for side in sides:
                error, seconds = (statistics.median(found[side]) for found in (errors, taken))
                print(f"   {side} error {error:.3f} in {seconds:6.2f} s", end="")
            ratios = [b / a for a, b in zip(taken["ours"], taken["xRFM"], strict=True)]
            print(f"   xRFM takes {statistics.median(ratios):.2f} times as long")


if __name__ == "__main__":
    main()
