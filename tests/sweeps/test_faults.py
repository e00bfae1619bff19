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


def told(campaign, part, pattern):
    """Assert that a part of the campaign says `pattern`, or skip it for the reason it gives."""
    found = re.search(rf"^{part}: (.*)$", campaign.stdout, re.MULTILINE)
    assert found, campaign.stdout + campaign.stderr
    if found[1].startswith("skipped: "):
        pytest.skip(found[1])
    assert re.match(pattern, found[1]), found[1] + "\n" + campaign.stderr


def test_a_sweep_killed_anywhere_ends_with_the_records_of_an_undisturbed_one(campaign):
    told(campaign, "sweeps", r"12 SIGKILLs \(")


def test_a_write_killed_at_any_line_leaves_the_group_as_before_or_whole(campaign):
    told(campaign, "writes", r"[1-9]\d* SIGKILLs")


def test_a_full_disk_costs_nothing_that_was_recorded(campaign):
    told(campaign, "full-disk", "2 disks filled up")


def test_a_read_only_folder_is_refused_and_stays_as_it_is(campaign):
    told(campaign, "read-only", "3 sweeps")


def test_every_damaged_file_is_named_by_line_and_never_used(campaign):
    told(campaign, "mutations", r"[1-9]\d* mutations of working files and [1-9]\d* of frozen")


def test_a_freeze_killed_anywhere_shows_one_version_or_says_that_it_does_not(campaign):
    told(campaign, "freezes", r"[1-9]\d* SIGKILLs, .* and 5 at random")


def test_a_chapter_whose_kernel_is_killed_fails_by_name_and_works_when_started_again(campaign):
    told(campaign, "chapters", "1 kernels killed")


def test_the_campaign_found_nothing(campaign):
    assert campaign.returncode == 0, campaign.stdout + campaign.stderr
