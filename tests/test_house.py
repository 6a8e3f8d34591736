"""Import times and packaging of dlcli."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import CHECKOUT

import dlcli

HEAVY = (
    *("torch", "torchvision", "sklearn", "scipy", "matplotlib", "numpy", "pandas", "polars", "jinja2", "PIL"),
    *("optuna", "sqlalchemy", "alembic"),
)


def modules_after(*arguments: str) -> tuple[int, set[str]]:
    """Run a command line in a separate process; return its exit code and the heavy modules it imported."""
    code = (
        "import sys, json, atexit\n"
        f"atexit.register(lambda: print('\\n' + json.dumps([name for name in {HEAVY} if name in sys.modules])))\n"
        f"sys.argv = ['dlcli', *{list(arguments)!r}]\n"
        "from dlcli.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done.returncode, set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["--version"], 0),
        (["train", "-c", "digits", "optimizer.lr=-1"], 2),
        (["train", "-c", "broken.yaml"], 2),
        (["gradcheck", "-c", "broken.yaml"], 2),
        (["explain", "-c", "broken.yaml"], 2),
        (["plot", "--help"], 0),
        (["report", "--help"], 0),
        (["export", "--help"], 0),
        (["study"], 0),
        (["study", "mse-versus-cross-entropy"], 2),
        (["config", "validate", "digits"], 0),
        (["config", "validate", "broken.yaml"], 2),
        (["config", "explain", "seed"], 0),
        (["config", "schema"], 0),
        (["config", "diff", "digits", "moons"], 0),
        (["config", "list"], 0),
        (["config", "show", "digits"], 0),
        (["config", "init", "--data", "diabetes"], 0),
        (["data", "list"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_config_errors_never_import_torch(clean_place: Path, arguments: list[str], code: int) -> None:
    Path("broken.yaml").write_text("data: {name: digits}\ntraning: {epochs: 1}\n")
    assert modules_after(*arguments) == (code, set())


def test_a_config_for_a_table_is_proposed_without_torch(clean_place: Path) -> None:
    Path("t.csv").write_text("x,label\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(30)))
    assert modules_after("config", "init", "--data", "t.csv") == (0, {"numpy", "polars"})


def test_importing_dlcli_does_not_import_torch_until_the_api_is_used() -> None:
    code = "import dlcli, sys; print('torch' in sys.modules); dlcli.train; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"]
    assert all(callable(getattr(dlcli, name)) for name in dlcli.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dlcli.nothing  # noqa: B018


def test_the_api_imports_torch_and_no_other_heavy_package() -> None:
    code = f"from dlcli.api import train; import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == {"torch", "numpy"}


def test_short_trainings_import_neither_torch_dynamo_nor_matplotlib(clean_place: Path) -> None:
    """Each takes a second. The first object of torch.optim imports torch._dynamo, and plots import matplotlib."""
    code = (
        "import dlcli, sys\n"
        "for name in ('sgd', 'adam', 'adamw', 'rmsprop'):\n"
        "    dlcli.train(dlcli.load_config('digits', ['training.epochs=1', 'optimizer={name: %s}' % name]))\n"
        "assert 'dlcli.training.together' not in sys.modules, 'only groups need it'\n"
        "dlcli.train_seeds('moons', ['training.epochs=1'], seeds=2, run_dir='group')\n"
        "print([name for name in ('torch._dynamo', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
    assert Path("group/report.html").exists()


def test_the_wheel_contains_presets_templates_and_styles(clean_place: Path) -> None:
    command = f"import os; os.chdir({str(CHECKOUT)!r}); from hatchling.build import build_wheel; "
    command += f"build_wheel({str(clean_place)!r})"
    subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, timeout=60)
    (wheel,) = clean_place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {
            Path(name).name: archive.read(name) for name in archive.namelist() if name.startswith("dlcli/presets/")
        }
        assert not [name for name in archive.namelist() if name.startswith("tests")]
        report = CHECKOUT / "dlcli" / "report"
        for file in (report / "style.css", *report.glob("templates/*.j2")):
            assert archive.read(file.relative_to(CHECKOUT).as_posix()) == file.read_bytes()
    assert shipped == {file.name: file.read_bytes() for file in (CHECKOUT / "configs").iterdir()}
