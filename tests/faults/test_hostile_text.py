"""Tests of hostile text: control characters, markup and paths in user input have no effect."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Finished

INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CONTROLS = [chr(code) for code in (*range(1, 32), *range(127, 160))]
BIDI = [chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
ESCAPES = [
    "\x1b[2J",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\link",
    "\x1bc",
    "\x9b31m",
    "\x1b[?1049h",
]
MARKUP = ["[/]", "[/bold]", "[red]", "[link=http://x]y[/link]", "[[x]]", "[bold", r"\[red]", "[@click=x]", ":boom:"]
PATHS = ["..", "../..", "../../etc/passwd", "/etc/passwd", "/", "~root", "a/../../b", "./../c", r"..\..\d", r"C:\x"]
RESERVED = ["CON", "con", "NUL", "aux", "PRN", "COM1", "lpt9", "NUL.txt", "con.yaml", ".hidden", "-rf", "--", "dot."]
STRANGE = ["\ud800", "\udcff", "\ufeff", "\u2028", "\ufffe", "🙂" * 30, "a" * 300, "%s%n", "{0}", "${HOME}", "`id`"]
STRINGS = [
    *(CONTROLS + BIDI + ESCAPES + MARKUP + PATHS + RESERVED + STRANGE),
    *(f"a{character}b" for character in CONTROLS + BIDI),
    *(f"digits{suffix}" for suffix in ESCAPES + MARKUP + PATHS),
]


def places(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the content of hostile.yaml and a command line, each with `text` in another place."""
    quoted = json.dumps(text)
    digits = "data: {name: digits}\n"
    for config, command in (
        (f"{digits}name: {quoted}\n", "train --dry-run -c"),
        (f"{digits}{quoted}: 1\n", "config validate --json"),
        (f"{digits}model: {{{quoted}: {quoted}}}\n", "config validate"),
        (f"{digits}extends: {quoted}\n", "config validate"),
        (f"data: {{name: fashion_mnist, root: {quoted}}}\n", "config show"),
        (f"{digits}checkpoint: {{monitor: {quoted}}}\n", "train -c"),
        (digits + text, "config validate"),
    ):
        yield config, [*command.split(), "hostile.yaml"]
    yield "", ["train", "-c", "digits", f"name={text}", "--dry-run"]
    yield "", ["train", "-c", "digits", f"{text}=1"]
    yield "", ["train", f"--{text}"]
    yield "", [text]
    for command in (
        "train -c",
        "train -c digits --dry-run",
        "train -c digits --device",
        "train -c digits --seed",
        "train --resume",
        "eval",
        "eval --split",
        "eval --fail-under",
        "predict --index",
        "verify",
        "export --format torch",
        "runs show",
        "report",
        "config explain",
        "config diff digits",
        "config init --data",
        "data check",
        "data check fashion_mnist --root",
        "bench -c",
    ):
        yield "", [*command.split(), text]


def check(done: Finished, case: object) -> None:
    assert done.code in (0, 2, 3, 4), (case, done)
    assert not INVISIBLE.search(done.out + done.err), (case, done)
    assert "Traceback" not in done.err
    assert "MarkupError" not in done.err


@pytest.mark.parametrize("stride", [12, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("part", range(2))
def test_hostile_strings_do_not_reach_the_terminal_or_leave_the_folder(
    dlcli: Callable[..., Finished], clean_place: Path, part: int, stride: int
) -> None:
    """Try every string in every twelfth place, with a changing offset; the long test tries all places."""
    assert len(set(STRINGS)) >= 200
    place = clean_place / "place"
    place.mkdir()
    before = {path.name for path in clean_place.iterdir()}
    tried = 0
    for text in STRINGS[part::2]:
        for config, arguments in itertools.islice(places(text), tried % stride, None, stride):
            Path("hostile.yaml").write_text(config, encoding="utf-8", errors="surrogatepass")
            check(dlcli(*arguments), (text, arguments))
        tried += 1
    assert tried >= 100
    assert {path.name for path in clean_place.iterdir()} - before <= {"hostile.yaml", "runs"}


def test_names_of_columns_and_classes_are_shown_as_text(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    """Name every column and every category of a table by a hostile string, and the classes by some of each kind."""
    names = list(dict.fromkeys(text.strip() for text in STRINGS))
    names = [name for name in names if name and not re.search("[\ud800-\udfff]", name)]
    classes = names[::12]
    assert len(names) >= 200
    with open("t.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*names, "kind", "y"])
        for i in range(3 * len(names)):
            values = [i * (number + 1) % 7 for number in range(len(names))]
            rows.writerow([*values, names[i * 5 % len(names)], classes[i % len(classes)]])
    settings = "data: {name: csv, path: t.csv, target: y, max_categories: 300}\n"
    Path("t.yaml").write_text(f"{settings}training: {{epochs: 1}}\nmodel: {{hidden_sizes: [4]}}\nplots: never\n")
    for command in (
        *("config init --data t.csv --target y -o new.yaml", "data check t.csv --target y --json", "data check t.yaml"),
        *("train -c new.yaml training.epochs=1 -q", "train -c t.yaml --run-dir run"),
        *("eval run", "predict run --index 0", "report run", "plot run", "explain -c t.yaml"),
        *("runs show run --diagnose", "runs compare run run"),
    ):
        done = dlcli(*command.split())
        check(done, command)
        assert done.code == 0, (command, done.err)
    shown = dlcli("data", "check", "t.yaml").out
    assert all(repr(name)[1:-1] in shown for name in MARKUP if name not in (r"\[red]", "[link=http://x]y[/link]"))
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert not INVISIBLE.search(page)
    assert not INVISIBLE.search(Path("new.yaml").read_text(encoding="utf-8"))
    Path("t.csv").write_text(Path("t.csv").read_text(encoding="utf-8").replace("3", "?!"), encoding="utf-8")
    check(dlcli("data", "check", "t.yaml"), "a wrong value")


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.long)])
def test_records_of_an_untrusted_run_folder_are_shown_as_text(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    assert dlcli("train", "-c", "digits", "training.epochs=1", "--run-dir", "runs/a/one", "--quiet").code == 0
    run = Path("runs/a/one")
    manifest, summary = (json.loads((run / name).read_text()) for name in ("manifest.json", "summary.json"))
    for text in STRINGS[::stride]:
        for key in ("started", "device", "git_commit"):
            manifest[key] = text
        manifest["command"] = [text]
        manifest["versions"] = {text: text}
        summary["status"] = summary["best_because"] = text
        (run / "manifest.json").write_text(json.dumps(manifest))
        (run / "summary.json").write_text(json.dumps(summary))
        for command in ("runs list", "runs show runs/a/one"):
            check(dlcli(*command.split()), (text, command))
    manifest, summary = (json.loads((run / name).read_text()) for name in ("manifest.json", "summary.json"))
    tried = 0
    for name, record in (("manifest.json", manifest), ("summary.json", summary)):
        before = (run / name).read_text()
        values = itertools.product(record, (None, -1.5, "x", [3], {"x": 3}))
        for key, value in itertools.islice(values, 0, None, stride):
            (run / name).write_text(json.dumps({**record, key: value}))
            for command in ("runs list", "runs show runs/a/one", "runs compare runs/a/one runs/a/one"):
                check(dlcli(*command.split()), (key, value, command))
            tried += 1
        (run / name).write_text(before)
    assert tried > 100 / stride
    monkeypatch.setenv("DLCLI_RUNS", "\x1b[31m[red]")
    check(dlcli("runs", "list"), "DLCLI_RUNS")
