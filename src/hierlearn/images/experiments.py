r"""Chapter 8: the paper's comparisons on real images, with networks that two cores can train.

`images_stages`: a residual network of 14 layers (8 at smoke) in three stages, trained stage by
stage, together, or with one stage alone first; two kinds of labels, at paper also two heads.
`images_deep`: a residual network of 110 layers. `images_full`: that network at its full size, on
images that were not halved; it needs a GPU.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hierlearn.engine.devices import GPU
from hierlearn.experiment import Arms, Experiment, Group, Groups, every
from hierlearn.images.data import CIFAR10, FASHION_SMALL
from hierlearn.images.runs import ImageConfig, measure
from hierlearn.statistics import Statistic, Value, difference, each, number, ratio

CHAPTER = "08_real_images"
SEEDS = {"smoke": range(3), "laptop": range(5), "paper": range(16)}
DATA = {"smoke": "fashion_small", "laptop": "cifar10", "paper": "cifar10"}
# Steps of a protocol, of the reading by fresh higher stages, blocks a stage, test images.
SIZES = {"smoke": (162, 80, 1, 1024), "laptop": (420, 240, 2, 5000), "paper": (420, 240, 2, 5000)}
SHALLOW_UPPER = 140
DEEP_STEPS = {"laptop": 240, "paper": 240}
FULL_STEPS = 900
READ = ("joint", "solo", "more", "corrected")
"""The protocols whose first stage is read."""

DIAL = ("greedy", "all", "joint")
STAGES = ("solo", "more", "corrected")
SEEN = (*STAGES, "joint")


def stages_arms(profile: str) -> Arms:
    """The protocols by name, ", shallow" with shallow labels; at paper ", pool" with its head."""
    n_steps, upper, n_blocks, n_test = SIZES[profile]
    base = ImageConfig("greedy", DATA[profile], n_steps, n_blocks=n_blocks, n_test=n_test)

    def arms(
        protocols: Iterable[str], suffix: str, one: ImageConfig, upper: int = upper
    ) -> dict[str, ImageConfig]:
        return {
            name + suffix: replace(
                one, protocol=name, upper_steps=upper * (name in READ), seen=name + suffix in SEEN
            )
            for name in protocols
        }

    found = arms((*DIAL, *STAGES), "", base)
    if profile == "smoke":
        return found
    shallow = replace(base, labels="shallow")
    found |= arms((*DIAL, *STAGES), ", shallow", shallow, SHALLOW_UPPER)
    if profile == "paper":
        found |= arms((*STAGES, "fixed"), ", pool", replace(base, head="pool"))
        found |= arms(("look-back 2",), "", base)
    return found


def deep_arms(profile: str) -> Arms:
    """110 layers: stage by stage, and all together; at paper also with all stages open."""
    if profile not in DEEP_STEPS:
        return {}
    base = ImageConfig(
        "greedy", DATA[profile], DEEP_STEPS[profile], widths=(8, 16, 32), n_blocks=18, scale=0.2
    )
    names = DIAL if profile == "paper" else ("greedy", "joint")
    return {name: replace(base, protocol=name) for name in names}


def full_arms(profile: str) -> Arms:
    """110 layers of 16, 32 and 64 channels on 32x32 pixels, at paper only."""
    if profile != "paper":
        return {}
    base = ImageConfig("greedy", DATA[profile], FULL_STEPS, n_blocks=18, scale=0.2, size=32)
    return {name: replace(base, protocol=name) for name in DIAL}


def by_seed(name: str, arms: Callable[[str], Arms], seeds: Mapping[str, Iterable[int]]) -> Groups:
    """Make a group for each seed of each shape: its runs share their phases.

    What only the paper profile has is in groups of its own, so that the laptop's are among its.
    """

    def groups(profile: str) -> list[Group]:
        shapes: dict[object, list[ImageConfig]] = {}
        common = every(arms("laptop"))
        for one in every(arms(profile)):
            shapes.setdefault((one.shape, one in common), []).append(one)
        return [Group.of(name, some, [s]) for some in shapes.values() for s in seeds[profile]]

    return groups


CE, ACCURACY, COSINE = number("ce"), number("accuracy"), number("cosine")
UPPER, PROBE = number("upper_ce"), number("probe")


def over(value: Value, above: str, below: str, other: Value | None = None) -> Statistic:
    """Subtract the value of one arm from that of another."""
    return difference(each(value, above), each(other or value, below))


def _share(suffix: str) -> Statistic:
    """Divide what more training of stage 1 gains by what training it under higher stages gains."""
    alone, more, corrected = (f"{name}{suffix}" for name in STAGES)
    return ratio(over(UPPER, alone, more), over(UPPER, alone, corrected))


STAGES_STATISTICS: dict[str, Statistic] = {
    "freezing": over(CE, "greedy", "all"),
    "freezing_beyond": difference(
        over(CE, "greedy", "all"), over(CE, "greedy, shallow", "all, shallow")
    ),
    "oracle": over(UPPER, "joint", "joint", CE),
    "alone": over(UPPER, "solo", "joint"),
    "alone_shallow": over(UPPER, "solo, shallow", "joint, shallow"),
    "alone_probe": over(PROBE, "solo", "joint"),
    "matched": over(UPPER, "more", "corrected"),
    "matched_shallow": over(UPPER, "more, shallow", "corrected, shallow"),
    "matched_probe": over(PROBE, "more", "corrected"),
    "matched_probe_shallow": over(PROBE, "more, shallow", "corrected, shallow"),
    "matched_pool": over(UPPER, "more, pool", "corrected, pool"),
    "unmatched_pool": over(CE, "fixed, pool", "corrected, pool"),
    "extra_share": _share(""),
    "extra_share_pool": _share(", pool"),
    "turned": over(COSINE, "corrected", "more"),
    "turned_from_start": over(COSINE, "solo", "more"),
}
DEEP_STATISTICS: dict[str, Statistic] = {"freezing": over(CE, "greedy", "joint")}

BUDGET = ("n_steps", "upper_steps")
BYTES = (CIFAR10, FASHION_SMALL)
EXPERIMENTS = (
    Experiment(
        "images_stages", CHAPTER, by_seed("images_stages", stages_arms, SEEDS), measure,
        STAGES_STATISTICS, stages_arms, BUDGET, BYTES,
    ),
    Experiment(
        "images_deep", CHAPTER, by_seed("images_deep", deep_arms, SEEDS), measure,
        DEEP_STATISTICS, deep_arms, BUDGET, BYTES,
    ),
    Experiment(
        "images_full", CHAPTER, by_seed("images_full", full_arms, {**SEEDS, "paper": range(5)}),
        measure, DEEP_STATISTICS, full_arms, BUDGET, (*BYTES, GPU()),
    ),
)  # fmt: skip
