"""A short form of the fault campaign (`make faults`), in a process of its own, which forks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = "--kills 12 --disks 2 --mutations 300 --freezes 5 --stride 9 --kernels 1 --seed 0"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("faults"),  # in one process: the campaign runs once
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
]


@pytest.fixture(scope="module")
def campaign():
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-m", "faults", *SHORT.split()],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
    )


FINDINGS = {
    "a sweep killed anywhere ends with the records of an undisturbed one":
        ("sweeps", r"12 SIGKILLs \("),
    "a write killed at any line leaves the group as before or whole":
        ("writes", r"[1-9]\d* SIGKILLs"),
    "a full disk costs nothing that was recorded": ("full-disk", "2 disks filled up"),
    "a read-only folder is refused and stays as it is": ("read-only", "3 sweeps"),
    "every damaged file is named by line and never used":
        ("mutations", r"[1-9]\d* mutations of working files and [1-9]\d* of frozen"),
    "a freeze killed anywhere shows one version or says that it does not":
        ("freezes", r"[1-9]\d* SIGKILLs, .* and 5 at random"),
    "a chapter whose kernel is killed fails by name and works when started again":
        ("chapters", "1 kernels killed"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", FINDINGS)
def test_whatever_is_killed_filled_or_damaged(campaign, sentence):
    part, pattern = FINDINGS[sentence]
    found = re.search(rf"^{part}: (.*)$", campaign.stdout, re.MULTILINE)
    assert found, campaign.stdout + campaign.stderr
    if found[1].startswith("skipped: "):
        pytest.skip(found[1])
    assert re.match(pattern, found[1]), found[1] + "\n" + campaign.stderr


def test_the_campaign_found_nothing(campaign):
    assert campaign.returncode == 0, campaign.stdout + campaign.stderr
