"""Speed on the Random Hierarchy Model beside two public implementations, in one process.

    python benchmarks/random_hierarchy.py PCSL [TATEMCC]

PCSL and TATEMCC are checkouts of github.com/pcsl-epfl/hierarchy-learning and of
github.com/tatemcc/random-hierarchy-model. Both sides take turns, CPU time counts, and medians are
printed. Before anything is timed, both sides must do the same work: the peer's data parse without
an error, and with copied weights the networks give the same logits.
"""

import argparse
import importlib
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hierlearn.grammar.derivations import distinct_integers
from hierlearn.grammar.networks import BATCH, PatchNetworks, Shape, TrainingSets
from hierlearn.grammar.target import RandomHierarchy

GRAMMARS = ((8, 8, 4, 3), (16, 16, 8, 4), (8, 8, 8, 3))
N_STRINGS, REPEATS = 50_000, 9
WIDTH, STEPS, GROUP = 64, 40, 12
WHOLE_SAMPLES, WHOLE_STEPS, N_TEST = 2048, 100, 2000


def load(folder: Path, alias: str, module: str) -> Any:
    """Import `module` of a peer's checkout without running its package's __init__."""
    package = types.ModuleType(alias)
    package.__path__ = [str(folder)]
    sys.modules[alias] = package
    return importlib.import_module(f"{alias}.{module}")


def interleaved(*sides: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Return the median CPU seconds of every side, run in turns after one warm-up each."""
    taken: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for _ in range(repeats):
        for times, side in zip(taken, sides, strict=True):
            start = time.process_time()
            side()
            times.append(time.process_time() - start)
    return [statistics.median(times) for times in taken]


def line(name: str, peer: float, ours: float, work: float, unit: str) -> None:
    """Print one comparison."""
    print(
        f"{name:52s} peer {work / peer:10.3g} {unit:11s} ours {work / ours:10.3g}  "
        f"{peer / ours:6.1f}x"
    )


def grammar_of(rules: list[torch.Tensor], vocab_size: int) -> RandomHierarchy:
    """Make our grammar from a peer's rules, top first."""
    return RandomHierarchy(tuple(r.to(torch.uint8) for r in rules), vocab_size)


def check(grammar: RandomHierarchy, strings: torch.Tensor, labels: torch.Tensor) -> None:
    """Stop unless the peer's strings parse to the peer's labels."""
    found, _ = grammar.parse(strings.to(torch.uint8))
    if not torch.equal(found, labels.long()):
        raise SystemExit("the peer's data do not parse to the peer's labels")


def generators(pcsl: Any, tatemcc: Any | None) -> None:
    """Compare strings a second, from indices and independent draws."""
    for v, n_classes, m, depth in GRAMMARS:
        paths, tuples = pcsl.sample_hierarchical_rules(v, depth, m, n_classes, 2, seed=0)
        used = [t.reshape(-1, m, 2) for t in tuples]
        if any(len(t) not in (n_classes, v) for t in used):
            print(
                f"({v},{n_classes},{m},{depth}): the peer's rules do not use every symbol, left out"
            )
            continue
        grammar = grammar_of(used, v)
        generator = torch.Generator().manual_seed(0)
        indices = torch.randint(grammar.n_strings, (N_STRINGS,), generator=generator)
        x, y = pcsl.sample_data_from_paths(indices, paths, m, n_classes, depth, 2)
        check(grammar, x, y)
        name = f"({v},{n_classes},{m},{depth})"

        def peer(p=paths, i=indices, m=m, n=n_classes, d=depth) -> Any:
            return pcsl.sample_data_from_paths(i, p, m, n, d, 2)

        def independent(g=grammar, r=generator) -> Any:
            return g.sample(N_STRINGS, r)

        def by_index(g=grammar, i=indices) -> Any:
            return g.data_at(i)

        theirs, draw, index = interleaved(peer, independent, by_index)
        line(f"{name} strings, peer from indices, ours drawn", theirs, draw, N_STRINGS / 1e6, "M/s")
        line(f"{name} strings, both from indices", theirs, index, N_STRINGS / 1e6, "M/s")
        if tatemcc is None:
            continue
        rules = tatemcc.sample_rules(v, n_classes, m, 2, depth, seed=0)
        other = grammar_of([rules[i] for i in range(depth)], v)
        check(
            other, *tatemcc.sample_data_from_indices(indices, rules, v, n_classes, m, 2, depth, {})
        )

        def tate(r=rules, i=indices, v=v, n=n_classes, m=m, d=depth) -> Any:
            return tatemcc.sample_data_from_indices(i, r, v, n, m, 2, d, {})

        def tate_draw(r=rules, n=n_classes) -> Any:
            return tatemcc.sample_data_from_labels_unif(torch.randint(n, (N_STRINGS, 1)), r)

        theirs, drawn, draw, index = interleaved(tate, tate_draw, independent, by_index)
        line(f"{name} second peer, drawn", drawn, draw, N_STRINGS / 1e6, "M/s")
        line(f"{name} second peer, from indices", theirs, index, N_STRINGS / 1e6, "M/s")


def ours(
    grammar: RandomHierarchy, n_samples: int, n_runs: int
) -> tuple[PatchNetworks, TrainingSets]:
    """Make networks and training sets."""
    parts = []
    for run in range(n_runs):
        generator = torch.Generator().manual_seed(run)
        parts.append(grammar.data_at(distinct_integers(n_samples, grammar.n_strings, generator)))
    sets = TrainingSets(
        torch.cat([x for x, _ in parts]).int(), torch.cat([y for _, y in parts]),
        [n_samples] * n_runs, [torch.Generator().manual_seed(r) for r in range(n_runs)],
    )  # fmt: skip
    shape = Shape(
        grammar.vocab_size, grammar.n_classes, WIDTH, (2,) * grammar.n_levels, grammar.vocab_size
    )
    return PatchNetworks(shape, [torch.Generator().manual_seed(r) for r in range(n_runs)]), sets


def peer_run(data: Any, cnn: Any, n_samples: int, n_steps: int, *, test: bool) -> float:
    """Build the peer's data set and network, train with a DataLoader, and test; CPU seconds."""
    v, n_classes, m, depth = GRAMMARS[0]
    start = time.process_time()
    size = n_samples + N_TEST
    sizes = {"num_features": v, "m": m, "num_layers": depth, "num_classes": n_classes}
    train = data.RandomHierarchyModel(**sizes, max_dataset_size=size, testsize=N_TEST, train=True)
    net = cnn.CNN(v, WIDTH, n_classes, depth, bias=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * WIDTH, momentum=0.9)
    loader = torch.utils.data.DataLoader(train, batch_size=BATCH, shuffle=True, drop_last=True)
    if not test:
        start = time.process_time()
    done = 0
    while done < n_steps:
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            done += 1
            if done == n_steps:
                break
    if test:
        held = data.RandomHierarchyModel(
            **sizes, max_dataset_size=size, testsize=N_TEST, train=False
        )  # fmt: skip
        with torch.no_grad():
            net(held.x).argmax(1).eq(held.targets).double().mean()
    return time.process_time() - start


def our_run(
    grammar: RandomHierarchy, n_runs: int, n_samples: int, n_steps: int, *, test: bool
) -> float:
    """Do the same with ours, `n_runs` at once."""
    start = time.process_time()
    net, sets = ours(grammar, n_samples, n_runs)
    head = net.new_head(grammar.n_levels)
    if not test:
        start = time.process_time()
    net.fit(sets, head, lowest=1, n_steps=n_steps, tolerance=0.0)
    if test:
        x, y = grammar.sample(N_TEST, torch.Generator().manual_seed(99))
        net.errors(x.int().expand(n_runs, -1, -1), y.expand(n_runs, -1), head)
    return time.process_time() - start


def check_forward(cnn: Any) -> None:
    """Stop unless both networks give the same logits with the same weights."""
    v, n_classes, m, depth = GRAMMARS[0]
    grammar = RandomHierarchy.draw(
        0, vocab_size=v, n_classes=n_classes, n_synonyms=m, n_levels=depth
    )
    net, _ = ours(grammar, 256, 1)
    peer = cnn.CNN(v, WIDTH, n_classes, depth, bias=True)
    head = net.new_head(depth)
    convolutions = [c for c in peer.modules() if hasattr(c, "patch_size")]
    with torch.no_grad():
        for layer, conv in enumerate(convolutions):
            weight = net.weights[layer][0].view(2, -1, WIDTH)  # [child, channel, out]
            conv.weight.copy_(weight.permute(2, 1, 0)[:, :, None])
            conv.bias.copy_(net.biases[layer][0][None, :, None].expand_as(conv.bias))
        peer.beta.copy_(head.weights[0])
        x, _ = grammar.sample(500, torch.Generator().manual_seed(1))
        theirs = peer(torch.nn.functional.one_hot(x.long(), v).float().permute(0, 2, 1))
        gap = float((theirs - net.logits(x.int()[None], head)[0]).abs().max())
    print(f"same weights, largest difference of logits: {gap:.1e}")
    if gap > 1e-5:
        raise SystemExit("the networks do not compute the same function")


def networks(data: Any, cnn: Any) -> None:
    """Compare training steps, and whole runs with data and test."""
    check_forward(cnn)
    v, n_classes, m, depth = GRAMMARS[0]
    grammar = RandomHierarchy.draw(
        0, vocab_size=v, n_classes=n_classes, n_synonyms=m, n_levels=depth
    )
    for name, samples, steps, test in (
        ("training steps", 1024, STEPS, False),
        ("whole run with data and test, steps", WHOLE_SAMPLES, WHOLE_STEPS, True),
    ):
        times: list[list[float]] = [[], [], []]
        for _ in range(3):
            times[0].append(peer_run(data, cnn, samples, steps, test=test))
            times[1].append(our_run(grammar, 1, samples, steps, test=test))
            times[2].append(our_run(grammar, GROUP, samples, steps, test=test) / GROUP)
        peer, single, grouped = (statistics.median(t) for t in times)
        line(f"{name}, one run", peer, single, steps, "steps/s")
        line(f"{name}, {GROUP} runs in a group", peer, grouped, steps, "steps/s")
        flops = 3 * 2 * BATCH * WIDTH * (4 * 2 * v + 2 * 2 * WIDTH + 2 * WIDTH)
        rate = flops * steps / grouped / 1e9
        print(f"{'':52s} ours, grouped: {rate:.0f} GFLOP/s of matrix products")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pcsl", type=Path, help="checkout of pcsl-epfl/hierarchy-learning")
    parser.add_argument(
        "tatemcc", type=Path, nargs="?", help="checkout of tatemcc/random-hierarchy-model"
    )
    folders = parser.parse_args()
    torch.set_num_threads(1)
    data = load(folders.pcsl / "datasets", "pcsl_datasets", "hierarchical")
    cnn = load(folders.pcsl / "models", "pcsl_models", "cnn")
    second = None
    if folders.tatemcc:
        second = load(folders.tatemcc / "datasets", "tatemcc_datasets", "random_hierarchy_model")
    generators(data, second)
    networks(data, cnn)


if __name__ == "__main__":
    main()
