"""A real notebook: progress in one output that is updated in place, runs as tables, and no page of lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

import dlcli as package

nbclient = pytest.importorskip("nbclient", reason="needs the extra `notebook`")
nbformat = pytest.importorskip("nbformat", reason="needs the extra `notebook`")
pytest.importorskip("ipykernel", reason="needs the extra `notebook`")


def readme_cells() -> list[str]:
    """Return the paragraphs of the notebook in the README as cells."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(import dlcli\n\nresult.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
    return [cell.strip() for cell in block.split("\n\n")]


def execute(cells: list[str], folder: Path) -> tuple[list[list[Any]], int]:
    """Execute the cells in a kernel; return their outputs, and the number of updates of outputs in place."""
    updates = 0

    class Client(nbclient.NotebookClient):  # type: ignore[misc, name-defined]
        def process_message(self, message: Any, *arguments: Any) -> Any:
            nonlocal updates
            updates += message["msg_type"] == "update_display_data"
            return super().process_message(message, *arguments)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    Client(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return [cell.outputs for cell in notebook.cells], updates


def test_the_notebook_of_the_readme_shows_progress_in_place_and_runs_as_tables(clean_place: Path) -> None:
    outputs, updates = execute(readme_cells(), clean_place)
    empty, trained, opened, accuracy, predictions, report = outputs
    assert empty == []
    (progress,) = trained  # one output, no stream of lines
    assert progress.output_type == "display_data"
    assert updates >= 2
    assert "epoch 10 of 10, best epoch" in progress.data["text/plain"]
    assert re.search(r'<progress max="(\d+)" value="\1"', progress.data["text/html"])
    (table,) = opened
    assert table.data["text/html"].startswith("<table><tr>")
    assert "lowest val/loss" in table.data["text/html"]
    assert 0.8 < float(accuracy[0].data["text/plain"]) < 1
    assert "prob_0" in predictions[0].data["text/html"]
    assert Path(eval(report[0].data["text/plain"])).exists()


def test_a_run_is_shown_as_escaped_text(clean_place: Path) -> None:
    run = package.train("digits", {"training.epochs": 1, "plots": "never"}, run_dir="<b>\x1b[31m", evaluate_test=True)
    shown = package.open_run(run)._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "\x1b" not in shown
    assert "<b>" not in shown
    assert "<th style='text-align: left'>test</th><td style='text-align: left'>loss " in shown
    Path("<b>\x1b[31m/resolved.yaml").write_text("data: 3\n")
    assert "<th style='text-align: left'>error</th>" in package.open_run(run)._repr_html_()


def test_training_outside_a_notebook_prints_nothing(clean_place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    package.train("digits", {"training.epochs": 1, "plots": "never"}, run_dir="run")
    assert capfd.readouterr() == ("", "")
