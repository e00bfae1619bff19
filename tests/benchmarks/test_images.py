"""The plain loop for the residual networks does our work, or nothing is timed."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("HIERLEARN_DATA", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    found = importlib.util.spec_from_file_location("benchmark_images", FOLDER / "images.py")
    made = importlib.util.module_from_spec(found)  # `images` is a folder of tests, too
    monkeypatch.setitem(sys.modules, found.name, made)
    found.loader.exec_module(made)
    yield made
    sys.modules.pop("engines", None)


def test_without_cifar_both_networks_are_compared_on_the_images_of_the_book(script, capsys):
    script.main(["--small", "--repeats", "1"])
    text = capsys.readouterr().out
    assert text.count("losses and weights") == text.count("; plain x") == 2
    assert text.count("fashion_small") == 2


def test_another_network_or_another_rate_is_found_out(script, monkeypatch):
    config = script.ImageConfig("joint", "fashion_small", script.STEPS, n_blocks=1)
    case = script.Case(config)
    with torch.no_grad():
        case.plain.blocks[0].conv1.weight.mul_(1.05)
    with pytest.raises(SystemExit, match="do not do the same work"):
        case.check()
    case = script.Case(config)
    monkeypatch.setattr(script, "factor", lambda step, n_steps: 1.0)
    with pytest.raises(SystemExit, match="do not do the same work"):
        case.check()
