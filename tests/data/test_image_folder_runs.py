"""Runs on folders of pictures: all commands, changed data, URLs and paths."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Finished
from picture_files import GRAY, RGB, load, write, write_classes, write_parts

from dlcli.config.load import load_config
from dlcli.data.sources import load_splits
from dlcli.plots.images import examples, weights
from dlcli.plots.style import drawing
from dlcli.runs.run import open_run
from dlcli.runs.trained_run import load_trained_run

CONFIG = """data: {name: image_folder, path: pictures, size: [3, 4], color_mode: COLOURS}
training: {epochs: 2}
"""


def write_config(colours: str = "grayscale") -> None:
    Path("mine.yaml").write_text(CONFIG.replace("COLOURS", colours))


@pytest.mark.parametrize("colours", ["grayscale", "rgb"])
def test_a_run_is_trained_evaluated_plotted_reported_and_verified(dlcli: Callable[..., Finished], colours: str) -> None:
    write_classes(labels=("a", "b\x1b[31m", "<c>"), n=30)
    Path("pictures/.DS_Store").touch()
    write_config(colours)
    done = dlcli("train", "-c", "mine.yaml", "--run-dir", "run", "--eval")
    assert done.code == 0, done.err
    assert "note: skipped 1 hidden or system file: .DS_Store" in done.err
    assert "test      loss" in done.out
    for command in ("eval run", "plot run", "report run", "verify run", "predict run", "runs show run --diagnose"):
        done = dlcli(*command.split())
        assert done.code == 0, (command, done.err)
        assert "\x1b[31m" not in done.out + done.err, command
    assert {"examples.png", "weights.png"} <= {path.name for path in Path("run/plots").iterdir()}
    page = Path("run/report.html").read_text()
    assert "\x1b" not in page
    assert "<c>" not in page
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert len(manifest["data"]["sha256"]["pictures"]) == 64
    os.rename("pictures", "moved")
    assert "there is no folder" in dlcli("eval", "run").err
    assert dlcli("eval", "run", "--data-root", "moved").code == 0


def test_plots_show_pictures_in_their_colours_and_weights_by_channel(dlcli: Callable[..., Finished]) -> None:
    for label, turn in (("a", 0), ("b", 1)):
        for i in range(30):
            write(f"pictures/{label}/{i}.png", np.roll(RGB, (turn, i), axis=(0, 1)))
    write_config("rgb")
    assert dlcli("train", "-c", "mine.yaml", "model.hidden_sizes=[]", "--run-dir", "run", "--quiet").code == 0
    run = load_trained_run(open_run("run"))
    sketches = [sketch(run) for sketch in (examples, weights)]
    assert all(sketches)
    with drawing():
        shown, weighed = (
            [image.get_array() for image in sketch.draw().axes[0].images] for sketch in sketches if sketch
        )
    originals = {np.roll(RGB, (turn, i), axis=(0, 1)).tobytes() for turn in (0, 1) for i in range(4)}
    assert shown
    assert {np.asarray(image * 255).round().astype(np.uint8).tobytes() for image in shown} <= originals
    matrix = run.model[0].weight.detach().double().numpy()
    limit = np.quantile(np.abs(matrix), 0.998)
    expected = (matrix[1].reshape(3, 3, 4).transpose(1, 2, 0) / limit / 2 + 0.5).clip(0, 1)
    np.testing.assert_allclose(np.asarray(weighed[1], dtype=float), expected, atol=1e-6)


CHANGES = {
    "a pixel": lambda: write("pictures/a/0.png", GRAY + 1),
    "a new picture": lambda: write("pictures/a/new.png"),
    "a picture less": lambda: os.unlink("pictures/a/0.png"),
    "a new name": lambda: os.rename("pictures/a/0.png", "pictures/a/00.png"),
    "another class": lambda: os.rename("pictures/a/0.png", "pictures/b/new.png"),
}


def test_changed_pictures_are_refused_with_both_digests(dlcli: Callable[..., Finished]) -> None:
    write_classes(n=30)
    write_config()
    assert dlcli("train", "-c", "mine.yaml", "--run-dir", "run", "--quiet").code == 0
    saved = json.loads(Path("run/manifest.json").read_text())["data"]["sha256"]["pictures"]
    shutil.copytree("pictures", "original")
    for name, change in CHANGES.items():
        change()
        now = load().info.checksums["pictures"]
        assert now != saved, name
        for command in (["eval", "run"], ["verify", "run"], ["train", "--resume", "run", "training.epochs=3"]):
            done = dlcli(*command)
            assert done.code == 3, (name, command, done)
            assert f"SHA-256 of pictures: {saved} in the run, {now} now" in done.err
        shutil.rmtree("pictures")
        shutil.copytree("original", "pictures")
    assert dlcli("eval", "run").code == 0
    assert dlcli("train", "--resume", "run", "training.epochs=3").code == 0


def test_data_check_summarizes_a_config(dlcli: Callable[..., Finished]) -> None:
    write_parts("train", "val", "test")
    shutil.rmtree("pictures/val/a")
    Path("pictures/readme.txt").touch()
    write_config()
    done = dlcli("data", "check", "mine.yaml")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert done.out.splitlines()[0].endswith("pictures: 56 pictures")
    assert done.out.splitlines()[1:3] == ["40 train, 4 val, 12 test", "classification, target class"]
    assert lines[4:6] == [["size:", "3×4", "(56)"], ["mode:", "L", "(56)"]]
    assert lines[7:10] == [["class", "train", "val", "test"], ["a", "20", "0", "6"], ["b", "20", "4", "6"]]
    assert "note: skipped 1 file outside of the class folders: readme.txt" in done.out
    assert "missing-class: class\n  val has no example of some classes" in done.out
    source = dlcli("data", "check", "image_folder", "--root", "pictures")
    folder = dlcli("data", "check", "pictures")
    assert (source.code, folder.code) == (0, 0)
    assert "missing-class" in source.out
    assert "missing-class" in folder.out
    Path("pictures/train/a/0.png").write_bytes(b"")
    done = dlcli("data", "check", "mine.yaml")
    assert (done.code, "train/a/0.png: empty file" in done.err) == (3, True)
    assert dlcli("data", "check", "image_folder").code == 2


@pytest.mark.parametrize("url", ["https://example.org/pictures.zip", "s3://bucket/pictures", "hf://datasets/pictures"])
def test_urls_are_refused_without_a_connection(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    Path("mine.yaml").write_text(f"data: {{name: image_folder, path: '{url}'}}\n")
    for command in (["train", "-c", "mine.yaml"], ["data", "check", "mine.yaml"]):
        done = dlcli(*command)
        assert done.code == 2
        assert f"data.path is a URL: '{url}'" in done.err


def test_paths_are_relative_to_the_config_or_the_working_folder(dlcli: Callable[..., Finished]) -> None:
    write_classes("there/pictures")
    write_classes("here", n=20)
    Path("there/mine.yaml").write_text(CONFIG.replace("COLOURS", "grayscale"))
    assert load_splits(load_config("there/mine.yaml").config).info == load("there/pictures").info
    assert load_splits(load_config("there/mine.yaml", ["data.path=here"]).config).info == load("here").info
    done = dlcli("train", "-c", "there/mine.yaml", "data.path=null")
    assert (done.code, "data.path is missing" in done.err) == (2, True)
