"""GitHub runs the workflows; here they are checked against its schema and against the project."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hierlearn.cli.commands import cli

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def loaded(path):
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # `on` stays a string


def steps(path):
    return [step for job in loaded(path)["jobs"].values() for step in job["steps"]]


def check(*paths):
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *paths]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True)


def test_the_workflows_follow_the_schema_of_github(tmp_path):
    assert len(WORKFLOWS) == 3
    done = check(*WORKFLOWS)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    assert check(wrong).returncode != 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_asks_for_no_more_than_it_needs_and_ends(path):
    workflow = loaded(path)
    write = {"paper": {"contents": "write", "pull-requests": "write"}}
    assert workflow["permissions"] == write.get(path.stem, {"contents": "read"})
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert 0 < int(job["timeout-minutes"]) <= 240
    for step in steps(path):
        assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_is_something_that_a_developer_can_run(path):
    makefile = (ROOT / "Makefile").read_text()
    for script in [step["run"] for step in steps(path) if "run" in step]:
        for target in re.findall(r"^make (\S+)", script, re.MULTILINE):
            target = target.replace(".venv/.installed", "$(STAMP)")
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
        for name, arguments in re.findall(r"-m hierlearn ([\w-]+)([^>|\n]*)", script):
            known = {option for p in cli.commands[name].params for option in p.opts}
            assert set(re.findall(r"--[\w-]+", arguments)) <= known, script
        for own in re.findall(r"^\.ci/\w+", script):
            assert os.access(ROOT / own, os.X_OK), own
        # What a stranger wrote (a title, a branch's name) must not become part of a script.
        assert "${{" not in script


def test_a_change_is_deployed_only_after_its_tests_and_only_from_main():
    deploy = loaded(ROOT / ".github/workflows/ci.yml")["jobs"]["deploy"]
    assert deploy["needs"] == "test" and deploy["if"] == "github.ref == 'refs/heads/main'"
