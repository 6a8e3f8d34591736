"""Hostile working folder: none of its files is executed or changes a picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHECKOUT, Finished

# Runs dlcli as `python -m dlcli` does and logs each program that `refuse_programs` allows.
WATCHED = """
import runpy, sys
from dlcli.programs import refuse_programs
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
refuse_programs()
def note(event, arguments):
    if event in STARTS:
        with open("{log}", "a") as log:
            log.write(f"{{event}} {{arguments[0] if arguments else ''}}\\n")
sys.addaudithook(note)
sys.argv[0] = "dlcli"
runpy.run_module("dlcli", run_name="__main__", alter_sys=True)
"""
MODULES = ("torch", "yaml", "typing", "typer", "rich", "numpy", "matplotlib", "json", "signal", "dlcli_presets")
PROGRAMS = ("git", "uname", "fc-list", "latex", "ldconfig", "gcc", "lscpu", "nvidia-smi", "file", "canary")
INLINE = "module://matplotlib_inline.backend_inline"  # set by Jupyter for its child processes
RUN = "model.hidden_sizes=[4] training.epochs=1"


@pytest.fixture
def canary(clean_place: Path) -> Path:
    """Return the file that every hostile file in the folder `place` creates when it is executed."""
    canary, place = clean_place / "canary", clean_place / "place"
    place.mkdir()
    for name in PROGRAMS:
        (place / name).write_text(f"#!/bin/sh\necho {name} >> {canary}\n")
        (place / name).chmod(0o755)
    for name in MODULES:
        (place / f"{name}.py").write_text(f"open({str(canary)!r}, 'a').write('import {name}\\n')\n")
    (place / "matplotlibrc").write_text("text.usetex: True\nbackend: module://canary\naxes.facecolor: red\n")
    (place / ".git" / "refs").mkdir(parents=True)
    (place / ".git" / "objects").mkdir()
    (place / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    filters = f'[filter "f"]\n\tclean = {place}/canary\n\tsmudge = {place}/canary\n\trequired = true\n'
    (place / ".git" / "config").write_text(f"[core]\n\tfsmonitor = {place}/canary\n{filters}")
    (place / ".gitattributes").write_text("* filter=f\n")
    return canary


def run_in(place: Path, *command: str, path: str = "") -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PATH": path, "MPLBACKEND": INLINE}
    environment["MATPLOTLIBRC"] = str(place / "matplotlibrc")
    command = (sys.executable, *command)
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done


def test_nothing_in_the_working_folder_is_executed(canary: Path) -> None:
    place = canary.with_name("place")
    train = f"train -c digits {RUN} plots=always --run-dir run -q"
    for command in (train, "config show digits", "plot run loss"):
        run_in(place, "-m", "dlcli", *command.split(), path=".")
    assert not canary.exists(), canary.read_text()
    assert (place / "run" / "plots" / "loss.png").exists()


@pytest.mark.parametrize(
    "commands",
    [
        (f"train -c digits {RUN} --run-dir run", "report run"),
        pytest.param(
            (
                f"train -c digits {RUN} scheduler=null plots=always --run-dir run",
                *("train --resume run training.epochs=2", "verify run", "eval run", "predict run", "plot run"),
                *("report run", "runs list", "runs show run --diagnose", "runs compare run run --html page.html"),
                *("gradcheck -c digits", "explain -c digits", "data check digits", "config init", "config schema"),
                "study batch-size --seeds 2 training.epochs=1 -o study",
            ),
            marks=pytest.mark.long,
        ),
    ],
    ids=["some", "all"],
)
def test_no_program_is_started(canary: Path, commands: tuple[str, ...]) -> None:
    place, log = canary.with_name("place"), canary.with_name("started")
    for command in commands:
        run_in(place, "-c", WATCHED.format(log=log), *command.split(), path=f".:{os.environ['PATH']}")
    assert not log.exists(), log.read_text()
    assert not canary.exists(), canary.read_text()


@pytest.mark.parametrize(
    "command", [pytest.param("bench -c digits --rounds 1", marks=pytest.mark.long), "export run --format torch"]
)
def test_bench_and_export_start_only_python(canary: Path, dlcli: Callable[..., Finished], command: str) -> None:
    place, log = canary.with_name("place"), canary.with_name("started")
    assert dlcli(*f"train -c digits {RUN} --run-dir place/run -q".split()).code == 0
    run_in(place, "-c", WATCHED.format(log=log), *command.split())
    assert not canary.exists(), canary.read_text()
    assert set(log.read_text().splitlines()) == {f"subprocess.Popen {sys.executable}"}


def test_matplotlib_settings_do_not_change_the_pictures(canary: Path, dlcli: Callable[..., Finished]) -> None:
    place = canary.with_name("place")
    assert dlcli(*f"train -c digits {RUN} --run-dir place/run -q".split()).code == 0
    (place.parent / "clean").mkdir()
    shutil.copytree(place / "run", place.parent / "clean" / "run")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "MATPLOTLIB"))}
    environment["PYTHONPATH"] = str(CHECKOUT)
    command = [sys.executable, "-m", "dlcli", "plot", "run", "loss", "confusion", "--format", "png,svg"]
    subprocess.run(command, cwd=place.parent / "clean", env=environment, capture_output=True, check=True, timeout=120)
    run_in(place, *command[1:])
    drawn = sorted((place / "run" / "plots").iterdir())
    assert len(drawn) == 4
    for path in drawn:
        assert path.read_bytes() == (place.parent / "clean" / "run" / "plots" / path.name).read_bytes()


def test_drawing_as_a_library_keeps_the_matplotlib_settings_of_the_caller(clean_place: Path) -> None:
    Path("matplotlibrc").write_text("axes.facecolor: red\nbackend: svg\n")
    code = (
        "import os\n"
        "import dlcli\n"
        f"run = dlcli.train(dlcli.load_config('digits', {RUN.split()!r})).run\n"
        "environment = dict(os.environ)\n"
        "dlcli.draw(run, ['loss'])\n"
        "import matplotlib\n"
        "print(matplotlib.rcParams['axes.facecolor'], matplotlib.get_backend(), dict(os.environ) == environment)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("red svg True\n", "")
