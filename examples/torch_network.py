"""A torch network that nobody told the architecture: numbers and labels, from plain arrays."""

from itertools import pairwise

import torch
from torch import nn


class Network:
    """Three hidden layers of ReLU, trained by Adam."""

    def fit(self, X, y):
        """Train on standardized inputs, for 500 steps."""
        x, y = torch.from_numpy(X).float(), torch.from_numpy(y)
        self.mean, self.scale = x.mean(0), x.std(0) + 1e-6
        self.labels = not y.is_floating_point()
        n_outputs = int(y.max()) + 1 if self.labels else 1
        sizes = [x.shape[1], 128, 128, 128]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Linear(128, n_outputs))
        steps = torch.optim.Adam(self.net.parameters(), lr=2e-3)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(steps, 500)
        for _ in range(500):
            index = torch.randint(len(x), (128,))
            out = self.net((x[index] - self.mean) / self.scale)
            if self.labels:
                loss = nn.functional.cross_entropy(out, y[index])
            else:
                loss = nn.functional.mse_loss(out[:, 0], y[index].float())
            steps.zero_grad()
            loss.backward()
            steps.step()
            rates.step()
        return self

    def predict(self, X):
        """Return numbers, or the likeliest labels."""
        with torch.no_grad():
            out = self.net((torch.from_numpy(X).float() - self.mean) / self.scale)
        return (out.argmax(1) if self.labels else out[:, 0]).numpy()
