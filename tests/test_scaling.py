import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hierlearn.experiments import EXPERIMENTS
from hierlearn.records import RecordStore
from hierlearn.scaling import FACTORS, WORKERS, Load, scale_text

ROOT = Path(__file__).parents[1]
RATES = {"handed_per_s": 1000.0, "written_per_s": 200.0}


@given(
    n=st.integers(1, 10**6),
    mean=st.floats(1e-3, 1e3),
    share=st.floats(1, 50),
    workers=st.integers(1, 10**4),
)
def test_more_workers_never_take_longer_and_no_bound_is_beaten(n, mean, share, workers):
    load = Load(n, n * mean, mean * share)
    seconds, _ = load.duration(workers, **RATES)
    assert seconds >= max(load.seconds / workers, load.largest, n / 1000, n / 200)
    assert load.duration(workers + 1, **RATES)[0] <= seconds
    assert load.times(10).duration(workers, **RATES)[0] >= seconds


@pytest.mark.parametrize(
    ("load", "workers", "limit"),
    [
        (Load(100, 1000.0, 20.0), 1, "work"),
        (Load(100, 1000.0, 20.0), 1000, "largest unit"),
        (Load(10**6, 10.0, 0.1), 1000, "writing"),
    ],
)
def test_the_limit_is_named(load, workers, limit):
    assert load.duration(workers, **RATES)[1] == limit
    slow = {**RATES, "handed_per_s": 1e-3}
    assert load.duration(workers, **slow)[1] == "handing out"


def test_the_section_is_made_of_the_committed_records_and_the_measured_rates(tmp_path):
    rates = {
        "machine": "toy", "date": "2026-01-01", "n_units": 10_000,
        "pool_per_s": 1234.0, "dask_per_s": 567.0, "written_per_s": 89.0,
    }  # fmt: skip
    (tmp_path / "dispatch.json").write_text(json.dumps(rates))
    store = RecordStore(ROOT / "book/records")
    text = scale_text(store, EXPERIMENTS, tmp_path / "dispatch.json")
    assert all(word in text for word in ("1234", "567", "89", "`laptop`"))
    n_units = sum(len(one.groups("paper")) for one in EXPERIMENTS.values())
    cells = re.findall(r"\((?:work|largest unit|handing out|writing)\)", text)
    assert len(cells) == len(FACTORS) * len(WORKERS) and f"| {1000 * n_units} |" in text


def test_the_book_has_its_measured_rates():
    found = json.loads((ROOT / "book/dispatch.json").read_text())
    assert found["n_units"] >= 10_000 and min(found["pool_per_s"], found["dask_per_s"]) > 0
