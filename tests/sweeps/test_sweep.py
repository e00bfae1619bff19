import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import indent

import pytest
import torch
from toy import MEAN, TOYS, WALK, contents, fill, provenance, trouble, walk_groups

import hierlearn
from hierlearn.engine.devices import DeviceError
from hierlearn.records import RecordError, RecordStore, fingerprint, freeze, sole_writer
from hierlearn.sweeps import executors, sweep
from hierlearn.sweeps.executors import LocalPool
from hierlearn.sweeps.pools import worker_pool
from hierlearn.sweeps.sweep import SweepError, compute

pytestmark = pytest.mark.slow

PATHS = [str(Path(hierlearn.__file__).parents[1]), str(Path(__file__).parents[1])]


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    store = RecordStore(tmp_path_factory.mktemp("records"))
    assert compute(TOYS, "smoke", store, device="cpu", workers=1, progress=False).n_computed == 3
    return store


@pytest.fixture
def no_processes(monkeypatch):
    def start(*_):
        raise AssertionError("a process was started")

    monkeypatch.setattr("hierlearn.sweeps.executors.worker_pool", start)


def start(script, *arguments):
    """Start a Python process that runs `script`, guarded against being imported by workers."""
    head = "import sys; from toy import *; from hierlearn.sweeps.sweep import compute\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is ignored in what a shell has put into the background, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def workers_of(folder):
    return {int(mark.read_text()) for mark in folder.glob("*.mark") if mark.read_text()}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_sweep_measures_what_this_process_would_measure(computed, tmp_path):
    assert contents(computed) == contents(fill(tmp_path))
    assert [s.status for one in TOYS for s in computed.states(one, "smoke")] == ["present"] * 3


def test_two_sweeps_give_the_same_records_bit_for_bit(computed, tmp_path, capsys):
    store = RecordStore(tmp_path / "new" / "records")
    summary = compute(TOYS, "smoke", store, device="cpu", workers=2)
    assert (summary.n_computed, summary.n_present) == (3, 0)
    assert contents(store) == contents(computed)
    said = capsys.readouterr()
    assert "smoke: 3 groups computed, 0 already there" in said.err and "100%" in said.err
    assert said.out == ""


def test_provenance_says_what_the_group_cost_and_where(computed):
    for state in computed.states(WALK, "smoke"):
        found = state.provenance
        assert found.fingerprints == [fingerprint(WALK.measure)] and found.n_runs == 2
        assert found.threads == 1 and found.device == "cpu" and found.dtype == "torch.float32"
        assert found.wall_s > 0 and found.peak_mb > 50
        assert set(found.packages) == {"python", "torch", "numpy", "scipy", "hierlearn"}


def test_what_is_there_is_not_computed_again_and_starts_no_process(computed, no_processes):
    files = {path: path.stat().st_mtime_ns for path in computed.folder.rglob("*.jsonl")}
    summary = compute(TOYS, "smoke", computed, progress=False)
    assert (summary.n_computed, summary.n_present) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in computed.folder.rglob("*.jsonl")} == files


def test_missing_stale_and_damaged_groups_are_computed_and_no_others(tmp_path, computed, capsys):
    fill(tmp_path, [MEAN], code="0ld")
    store = fill(tmp_path, [WALK])
    first, second = (tmp_path / "toy_walk" / f"{g.key}.jsonl" for g in walk_groups("smoke"))
    first.write_bytes(b"rubbish\n")
    kept = second.read_bytes()
    summary = compute(TOYS, "smoke", store, device="cpu", workers=1, progress=False)
    assert (summary.n_computed, summary.n_present) == (2, 1)
    assert second.read_bytes() == kept and contents(store) == contents(computed)
    assert store.read(MEAN, "smoke")[0].provenance.fingerprints == [
        "0ld",
        fingerprint(MEAN.measure),
    ]
    assert first.with_name(first.name + ".damaged").read_bytes() == b"rubbish\n"
    assert capsys.readouterr().err.count(f"{first}:1: ") == 1


def test_a_failing_unit_is_named_and_the_others_finish(tmp_path, capsys):
    acts = [("a", "raise"), ("b", "nan"), ("c", "well"), ("d", "well")]
    one, store = trouble(tmp_path, acts), RecordStore(tmp_path / "records")
    with pytest.raises(SweepError) as error:
        compute([one], "smoke", store, device="cpu", workers=1)
    told = str(error.value)
    assert "2 of 4 groups failed, 2 are recorded" in told
    assert "ZeroDivisionError: on purpose" in told and "'name': 'a'" in told
    assert "measurement.curve[1] is nan" in told
    assert "in measure_trouble" in capsys.readouterr().err
    states = [state.status for state in store.states(one, "smoke")]
    assert states == ["missing", "missing", "present", "present"]


def test_a_killed_worker_costs_a_retry_and_a_unit_that_always_kills_it_is_named(tmp_path):
    acts = [("a", "die"), ("b", "die once"), ("c", "well"), ("d", "well")]
    one, store = trouble(tmp_path, acts), RecordStore(tmp_path / "records")
    with pytest.raises(SweepError, match="1 of 4 groups failed, 3 are recorded") as error:
        compute([one], "smoke", store, device="cpu", workers=1, progress=False)
    assert "'name': 'a'" in str(error.value) and "worker died again" in str(error.value)
    assert len(list(tmp_path.glob("a.*.mark"))) == 3
    assert [s.status for s in store.states(one, "smoke")] == ["missing"] + ["present"] * 3


SLEEPERS = [("a", "well"), ("b", "sleep"), ("c", "sleep")]
SCRIPT = """
one = trouble(sys.argv[1], [(n, "sleep" if n in "bc" else "well") for n in "abc"], float("30"))
compute([one], "smoke", RecordStore(sys.argv[1] + "/records"), device="cpu", workers=2)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_keeps_what_is_finished_and_leaves_no_process(tmp_path, how):
    process = start(SCRIPT, tmp_path)
    one, store = trouble(tmp_path, SLEEPERS, 30.0), RecordStore(tmp_path / "records")
    wait_for(lambda: len(list(tmp_path.glob("[bc].*.mark"))) == 2)
    wait_for(lambda: [s.status for s in store.states(one, "smoke")][0] == "present")
    began = time.monotonic()
    process.send_signal(how)
    _, said = process.communicate(timeout=20)
    wait_for(lambda: not any(alive(pid) for pid in workers_of(tmp_path)), 5)
    assert time.monotonic() - began < 10
    assert [s.status for s in store.states(one, "smoke")] == ["present", "missing", "missing"]
    assert process.returncode != 0
    if how == signal.SIGINT:
        assert "interrupted: 1 groups are recorded" in said and "KeyboardInterrupt" in said
    # The lock went with the process: a second start is not kept waiting.
    with sole_writer(store.folder):
        pass


COMMAND = """
import click
from hierlearn import __main__
from hierlearn.cli import commands
folder, sys.argv[1] = sys.argv[1], "go"
one = trouble(folder, [(n, "sleep") for n in "ab"], float("30"))
def go(): compute([one], "smoke", RecordStore(folder + "/records"), device="cpu", workers=2)
commands.cli = commands.Commands("x", commands={"go": click.Command("go", callback=go)})
__main__.main()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("how", "after", "code"),
    [
        (signal.SIGINT, (0.1, 0.15), 130),
        (signal.SIGINT, (0.2, 0.15), 130),
        (signal.SIGTERM, (0.5,), 143),
    ],
)
def test_a_command_that_is_stopped_while_its_workers_start_says_one_sentence(
    tmp_path, how, after, code
):
    process = start(COMMAND, tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: len(children.read_text().split()) >= 2)  # a worker and what tracks resources
    workers = [int(pid) for pid in children.read_text().split()]
    for seconds in after:
        time.sleep(seconds)
        for pid in (process.pid, *(workers if how == signal.SIGINT else ())):
            with suppress(ProcessLookupError):  # as a terminal does, to all of them
                os.kill(pid, how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert "Traceback" not in said and said.rstrip().endswith("goes on from there."), said
    wait_for(lambda: not any(alive(pid) for pid in workers), 10)


def test_two_processes_on_one_folder_compute_everything_once(tmp_path):
    script = SCRIPT.replace("30", "1.5")
    both = [start(script, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=90)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(list(tmp_path.glob("*.mark"))) == 3
    assert sorted("3 groups computed" in text for text in said) == [False, True]
    assert sum("0 groups computed, 3 already there" in text for text in said) == 1


@pytest.mark.parametrize(
    ("guard", "name", "said"),
    [
        ("", "script.py", "script.py computes in line 6, outside of `if __name__ == '__main__':`"),
        ("if __name__ == '__main__':", "-", "standard input they cannot read; save it as a file"),
    ],
)
def test_a_script_that_workers_cannot_import_is_refused_before_one_starts(
    tmp_path, guard, name, said
):
    script = tmp_path / "script.py"
    head = "import sys\nfrom toy import *\nfrom hierlearn.sweeps.sweep import compute\n"
    script.write_text(head + guard + (indent(SCRIPT, "    ") if guard else SCRIPT))
    process = subprocess.run(
        [sys.executable, name, str(tmp_path)],
        input=script.read_text(),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert said in process.stderr and process.stderr.count("Traceback") == 1


def test_frozen_records_that_lack_something_are_an_error_and_nothing_is_computed(
    tmp_path, no_processes, monkeypatch
):
    store = fill(tmp_path / "records")
    freeze(store, tmp_path / "frozen", "smoke", [WALK])
    frozen = RecordStore(tmp_path / "frozen")
    assert compute([WALK], "smoke", frozen, progress=False).n_present == 2
    with pytest.raises(RecordError, match="lack 1 groups of profile smoke") as error:
        compute(TOYS, "smoke", frozen, progress=False)
    assert "missing: " in str(error.value) and "toy_mean" in str(error.value)
    with pytest.raises(RecordError, match="lack 3 groups"):
        compute(TOYS, "laptop", frozen, progress=False)
    monkeypatch.setattr("hierlearn.records.store.fingerprint", lambda experiment: "n0w")
    with pytest.raises(RecordError, match="stale: .*other code"):
        compute([WALK], "smoke", frozen, progress=False)


def test_a_worker_that_is_killed_while_its_start_is_checked_proves_nothing(monkeypatch):
    pools = []

    @contextmanager
    def killed_once(n_workers, variables):
        with worker_pool(n_workers, variables) as pool:
            pools.append(pool)
            if len(pools) == 1:
                os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
            yield pool

    monkeypatch.setattr(executors, "worker_pool", killed_once)
    executors._check_that_workers_start()
    assert len(pools) == 2


def test_where_no_process_can_start_the_place_is_named(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("hierlearn.sweeps.pools._Pool", refuse)
    with pytest.raises(OSError, match="Read-only file system, where processes share.*/dev/shm"):
        with worker_pool(1, {}):
            pass


def test_code_that_changes_under_a_sweep_stops_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "fingerprint", lambda experiment: "0ld")
    with pytest.raises(SweepError, match="has changed since this process started"):
        compute([MEAN], "smoke", RecordStore(tmp_path), device="cpu", progress=False)
    assert RecordStore(tmp_path).states(MEAN, "smoke")[0].status == "missing"


def test_bad_arguments_are_errors_and_write_nothing(tmp_path, no_processes):
    store = RecordStore(tmp_path / "records")
    with pytest.raises(ValueError, match="valid: smoke, laptop, paper"):
        compute(TOYS, "huge", store)
    with pytest.raises(DeviceError, match="valid: auto, cpu, cuda"):
        compute(TOYS, "smoke", store, device="tpu")
    with pytest.raises(ValueError, match="workers is 0"):
        compute(TOYS, "smoke", store, workers=0)
    for many in (10**5, 10**20):  # the machine would end others to make room for them
        with pytest.raises(DeviceError, match=rf"workers is {many}.*memory for \d+.*valid: 1 to"):
            compute(TOYS, "smoke", store, workers=many)
    assert not store.folder.exists()


def test_a_gpu_takes_one_process_and_more_are_refused_not_ignored(monkeypatch):
    monkeypatch.setattr("hierlearn.engine.devices.resolve", lambda name: torch.device("cuda"))
    assert LocalPool.on("auto") == LocalPool.on("cuda", 1) == LocalPool(1, "cuda")
    with pytest.raises(DeviceError, match="workers is 2 on cuda.*valid: 1, or device cpu"):
        LocalPool.on("auto", 2)


def test_when_the_time_is_up_workers_are_stopped_and_what_is_done_stays(tmp_path, capsys):
    one = trouble(tmp_path, [("long", "sleep"), ("short", "fine")], seconds=60)
    pool, store = LocalPool.on("cpu", 2, seconds=12), RecordStore(tmp_path / "records")
    begun = time.monotonic()
    assert compute([one], "smoke", store, executor=pool).n_computed == 1
    assert time.monotonic() - begun < 30, "nobody waited for the long one"
    assert "1 left for want of time" in capsys.readouterr().err
    assert sorted(s.status for s in store.states(one, "smoke")) == ["missing", "present"]


def test_what_would_not_be_done_in_time_is_not_begun(tmp_path):
    one = trouble(tmp_path, [("long", "fine"), ("short", "fine")])
    units = [
        executors.Unit(one, group, seconds)
        for group, seconds in zip(one.groups("smoke"), (500.0, 1.0), strict=True)
    ]
    pool = LocalPool.on("cpu", 1, seconds=60)
    done = [finished[0] for finished in pool.results(units) if finished]
    assert done == units[1:]
    assert not list(tmp_path.glob("long.*.mark"))


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path, no_processes):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write in .*choose another"):
        compute(TOYS, "smoke", RecordStore(tmp_path / "file" / "records"), progress=False)


def test_a_profile_in_which_an_experiment_has_no_groups_has_nothing_to_do(tmp_path, no_processes):
    summary = compute(TOYS, "paper", RecordStore(tmp_path), progress=False)
    assert (summary.n_computed, summary.n_present) == (0, 0)


def test_a_sweep_works_inside_a_jupyter_kernel(tmp_path, computed):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    code = f"""
import sys; sys.path[:0] = {PATHS!r}
from toy import *
from hierlearn.sweeps.sweep import compute
summary = compute(TOYS, "smoke", RecordStore({str(tmp_path)!r}), device="cpu", workers=1)
print(summary.n_computed)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    assert [out.text for out in outputs if out.get("name") == "stdout"] == ["3\n"]
    assert contents(RecordStore(tmp_path)) == contents(computed)


def test_the_groups_that_take_longest_come_first(tmp_path):
    store, before = RecordStore(tmp_path / "new"), RecordStore(tmp_path / "before")
    units, states = sweep._missing(list(TOYS), "smoke", [store])
    assert [unit.seconds for unit in units] == [5, 2, 1.0] and len(states) == 3
    light, heavy = WALK.groups("smoke")
    for group, cpu_s in ((light, 30.0), (heavy, 0.5)):
        made = provenance("0ld", len(group.runs), cpu_s=cpu_s)
        before.write(group, [{"end": 0.0} for _ in group.runs], made)
    units, _ = sweep._missing(list(TOYS), "smoke", [store, before])
    assert [unit.seconds for unit in units] == [30.0, 1.0, 0.5]
    assert units[0].group == light
