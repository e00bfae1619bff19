"""The benchmarks of the engines run at minimal sizes, and their counts are right."""

import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture
def engines(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import engines

    yield engines
    for name in ("chapters", "engines", "gpu", "growth", "quadratic_engine"):
        sys.modules.pop(name, None)


def test_products_passes_and_solves_are_counted(engines):
    a, b = torch.ones(3, 4, 5), torch.ones(3, 5, 6)
    out = torch.empty(3, 4, 6)
    work = engines.counted(lambda: torch.bmm(a, b, out=out).mul_(2))
    assert work.n_calls == 2
    assert work.flops == 2 * 3 * 4 * 5 * 6
    assert work.n_bytes == 4 * (60 + 90 + 72) + 4 * 72
    solve = engines.counted(lambda: torch.linalg.cholesky_ex(torch.eye(6)))
    assert solve.flops == pytest.approx(6**3 / 3)
    tall = engines.counted(lambda: torch.linalg.qr(torch.eye(6)[:, :2]))
    assert tall.flops == pytest.approx(4 * 6 * 2**2 - 4 / 3 * 2**3)
    wide, one = torch.eye(50, dtype=torch.float64), torch.ones(50, 1, dtype=torch.float64)
    back = engines.counted(lambda: torch.cholesky_solve(one, wide))
    assert back.flops == 2 * 50**2
    assert (work.dtype, back.dtype) == (torch.float32, torch.float64)


def test_a_view_moves_nothing_and_costs_nothing(engines):
    x = torch.ones(3, 4)
    assert engines.counted(lambda: x.view(2, 6).mT).n_calls == 0


def test_of_what_is_gathered_only_the_rows_that_are_read_are_moved(engines):
    x, rows = torch.ones(1000, 4), torch.tensor([1, 2])
    assert engines.counted(lambda: x[rows]).n_bytes == 2 * 8 + 2 * 4 * 4


def test_time_is_told_by_kind(engines):
    a = torch.ones(300, 300)
    found = engines.counted(lambda: (a @ a, torch.linalg.eigh(a), torch.randn(9), a + 1)).seconds
    assert set(found) == {"products", "solves", "draws", "other operations"}
    assert min(found.values()) > 0


def test_a_floor_is_the_larger_of_both_limits_an_operation(engines):
    machine = engines.Machine(peak=10.0, copies={100: 50.0, 10_000: 5.0}, launch=0.0)
    work = engines.Work(operations=[(100.0, 50.0), (0.0, 100.0), (0.0, 1000.0), (0.0, 1e6)])
    assert work.floor(machine) == pytest.approx(10 + 2 + 200 + 2e5)


def test_watching_leaves_the_engines_as_they_were(engines):
    from hierlearn.engine import capture
    from hierlearn.quadratic import training

    with pytest.raises(RuntimeError, match="no engine took a step"):
        with engines.watching() as watch:
            assert training.captured is not capture.captured
            watch.again(CPU)
    assert training.captured is capture.captured


def test_the_table_has_a_fraction_for_every_engine_and_solve(engines, capsys):
    import gpu

    gpu.main(["--device", "cpu", "--small", "--seeds", "1", "--repeats", "1"])
    text = capsys.readouterr().out
    assert text.startswith("cpu: ") and "one thread, CPU time" in text
    assert all(name in text for name in gpu.ENGINES)
    assert text.count("one by one takes") == len(gpu.ENGINES)
    assert all(one in text for one in ("(ch. 2)", "kernel ridge", "14 layers", "110 layers"))


def test_a_core_is_timed_on_the_step_of_the_table(engines):
    import gpu

    assert 0 < gpu.cpu_step_seconds("one hidden layer (ch. 5)", [0], 1, True) < 2


def test_a_chapter_is_timed_from_records_and_by_kind(engines, capsys, tmp_path, monkeypatch):
    import chapters

    from hierlearn.records import RecordStore

    monkeypatch.setattr(chapters, "PROFILE", "smoke")
    store, experiment = RecordStore(tmp_path), chapters.EXPERIMENTS["decide_bits"]
    monkeypatch.setattr(chapters, "EXPERIMENTS", {experiment.name: experiment})
    chapters.chapters(store)
    assert "07_what_decides" in capsys.readouterr().out
    group = experiment.groups("smoke")[0]
    monkeypatch.setattr(chapters, "costs", lambda store, experiment: [(group, 1.0)])
    limits = engines.Machine(peak=1e11, copies={1024: 1e10}, launch=1e-6)
    monkeypatch.setattr(chapters, "machine", lambda dtype: limits)
    numbers = [float(one) for one in chapters.profile(store, "decide_bits", 1, None).split()[1:]]
    assert numbers[0] == len(group.runs) and sum(numbers[3:7]) == pytest.approx(1, abs=0.03)


def test_growth_is_measured_over_every_axis_and_drawn(engines, tmp_path):
    import growth

    taken = growth.steps(small=True)
    assert taken.keys() == growth.AXES.keys() and all(len(found) == 2 for found in taken.values())
    assert all(low <= middle <= high for f in taken.values() for low, middle, high in f.values())
    said = growth.draw(taken, {"1 process": 2.0, "2 processes": 1.0}, tmp_path / "growth.fragment")
    assert "2 processes: 1.0" in said and "levels: 2: " in said
    assert "<svg" in (tmp_path / "growth.fragment").read_text()
