"""A real scheduler and real workers, on loopback."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from toy import TOYS, contents, fill, trouble

from hierlearn.engine.devices import DeviceError
from hierlearn.records import RecordStore
from hierlearn.sweeps.executors import ExecutorError
from hierlearn.sweeps.sweep import SweepError, compute

pytest.importorskip("distributed", reason="the extra dask is not installed")
from hierlearn.sweeps.cluster import Cluster, local_cluster

pytestmark = pytest.mark.slow

PATHS = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[1])]


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2, "cpu") as found:
        yield found


def dask(*arguments, paths=PATHS):
    """Start a part of a cluster as a user would, with dask's command line."""
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def scheduler():
    process = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    for line in process.stderr:
        if found := re.search(r"Scheduler at:\s+(tcp://127\.0\.0\.1:\d+)", line):
            break
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield found[1], process
    process.kill()
    process.wait()


def test_a_cluster_leaves_the_records_that_a_local_run_leaves(cluster, tmp_path):
    store = RecordStore(tmp_path / "cluster")
    assert cluster.address.startswith("tcp://127.0.0.1:")
    assert compute(TOYS, "smoke", store, executor=cluster, progress=False).n_computed == 3
    assert contents(store) == contents(fill(tmp_path / "local"))
    found = store.states(TOYS[0], "smoke")[0].provenance
    assert found.threads == 1 and found.device == "cpu" and found.cpu_s > 0


def test_a_killed_worker_costs_a_retry_and_a_unit_that_always_kills_it_is_named(cluster, tmp_path):
    acts = [("a", "die"), ("b", "die once"), ("c", "well"), ("d", "raise"), ("e", "well")]
    one, store = trouble(tmp_path, acts), RecordStore(tmp_path / "records")
    with pytest.raises(SweepError, match="2 of 5 groups failed, 3 are recorded") as error:
        compute([one], "smoke", store, executor=cluster, progress=False)
    told = str(error.value)
    assert "'name': 'a'" in told and "worker died again" in told
    assert "'name': 'd'" in told and "ZeroDivisionError" in told
    states = [s.status for s in store.states(one, "smoke")]
    assert states == ["missing", "present", "present", "missing", "present"]
    # At least once more: a result that its worker takes with it when it dies is measured again.
    assert len(list(tmp_path.glob("b.*.mark"))) >= 2


def test_a_unit_measured_twice_is_recorded_once_and_the_same(cluster, tmp_path):
    """What a scheduler does when it loses a worker: the same units again, in another store."""
    first, second = RecordStore(tmp_path / "1"), RecordStore(tmp_path / "2")
    threads = [
        threading.Thread(
            target=compute,
            args=(TOYS, "smoke", store),
            kwargs={"executor": cluster, "progress": False},
        )
        for store in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert contents(first) == contents(second) == contents(fill(tmp_path / "local"))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://here", "localhost"])
def test_a_scheduler_that_cannot_be_reached_is_reported_within_seconds(tmp_path, address):
    start = time.monotonic()
    with pytest.raises(ExecutorError, match=f"no scheduler answers at '{address}'.*valid: "):
        compute(TOYS, "smoke", RecordStore(tmp_path), executor=Cluster(address), progress=False)
    assert time.monotonic() - start < 15
    assert not list(tmp_path.glob("*/*.jsonl"))


def test_a_cluster_of_the_command_line_whose_scheduler_dies_keeps_what_is_recorded(
    scheduler, tmp_path, monkeypatch
):
    monkeypatch.setattr("hierlearn.sweeps.cluster.LOST_SECONDS", 2)
    address, process = scheduler
    worker = dask("worker", address, "--nthreads", "1", "--death-timeout", "60")
    threading.Thread(target=worker.stderr.read, daemon=True).start()
    one = trouble(tmp_path, [("a", "well"), ("b", "sleep")], seconds=60.0)
    store = RecordStore(tmp_path / "records")

    def kill_when_b_runs():
        end = time.monotonic() + 90
        while not list(tmp_path.glob("b.*.mark")) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGKILL)

    threading.Thread(target=kill_when_b_runs, daemon=True).start()
    try:
        with pytest.raises(ExecutorError, match="is gone; start it again|dropped"):
            compute([one], "smoke", store, executor=Cluster(address), progress=False)
    finally:
        worker.kill()
        worker.wait()
    assert [s.status for s in store.states(one, "smoke")] == ["present", "missing"]


def test_a_worker_with_two_threads_is_refused(scheduler, tmp_path):
    address, _ = scheduler
    worker = dask("worker", address, "--nthreads", "2", "--no-nanny", "--death-timeout", "60")
    for line in worker.stderr:
        if "Registered to" in line:
            break
    try:
        with pytest.raises(ExecutorError, match="has 2 threads; expected 1"):
            compute(TOYS, "smoke", RecordStore(tmp_path), executor=Cluster(address), progress=False)
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize(
    ("lacks", "told"),
    [(True, "cannot import toy .*No module named 'toy'.*start the worker again"),
     (False, "all workers of .* are gone for 1 s")],
)  # fmt: skip
def test_workers_that_lack_the_code_are_named_and_workers_that_all_died_are_not_waited_for(
    scheduler, tmp_path, monkeypatch, lacks, told
):
    monkeypatch.setattr("hierlearn.sweeps.cluster.GONE_SECONDS", 1)
    options = "--nthreads", "1", "--no-nanny", "--death-timeout", "60"
    worker = dask("worker", scheduler[0], *options, paths=PATHS[:1] if lacks else PATHS)
    threading.Thread(target=worker.stderr.read, daemon=True).start()
    one = trouble(tmp_path, [("a", "die")])
    store = RecordStore(tmp_path / "records")
    try:
        with pytest.raises(ExecutorError, match=told):
            compute([one], "smoke", store, executor=Cluster(scheduler[0]), progress=False)
    finally:
        worker.kill()
        worker.wait()
    assert len(list(tmp_path.glob("a.*.mark"))) == (0 if lacks else 1)


@pytest.mark.parametrize("n", [0, -1, 10**6, 10**20])
def test_a_local_cluster_needs_a_worker_and_room_for_all(n):
    with pytest.raises(DeviceError, match=rf"local workers is {n}; valid: 1 to \d+, for which"):
        with local_cluster(n, "cpu"):
            pass


def test_on_cuda_there_is_one_worker_a_gpu(monkeypatch):
    monkeypatch.setattr("hierlearn.engine.devices.resolve", lambda device: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(DeviceError, match="local workers is 3; valid: 1 to 2, one a GPU"):
        with local_cluster(3, "cuda"):
            pass
