"""Contents, escaping, accessibility and Content-Security-Policy of pages."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from groups import make_group, make_logs

from dlcli.evaluation.diagnosis.finding import write_advice
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.report.compare import render_comparison
from dlcli.report.group import render_group
from dlcli.report.group_comparison import render_group_comparison
from dlcli.report.html import code, number
from dlcli.report.page import Contents, render_report
from dlcli.runs.comparison import Comparison
from dlcli.runs.group.run import GroupRun
from report import examples

if find_spec("optuna"):
    from sweep_examples import load as load_example
    from sweep_examples import make_contents

    from dlcli.report.sweep import render_sweep

DIVERGED = {"status": "diverged", "error": "NaN"}
HOSTILE = "".join(examples.HOSTILE)
INLINE = {"span", "strong", "code", "a"}
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Parsed page; checks that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"duplicate attribute in {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self.texts.append(" " * (tag not in INLINE))

    def handle_data(self, data: str) -> None:
        self.texts.append("" if self._open[-1:] == ["style"] else data)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def numbers_in(tree: Any) -> list[float]:
    if isinstance(tree, dict):
        return [number for part in tree.values() for number in numbers_in(part)]
    if isinstance(tree, list):
        return [number for part in tree for number in numbers_in(part)]
    return [tree] if isinstance(tree, (int, float)) else []


PAGES = {
    "classification": lambda: render_report(examples.record(), examples.contents(examples.classification())),
    "regression": lambda: render_report(examples.record(), examples.contents(examples.regression())),
    "hostile": lambda: hostile_page(),
    "no model": lambda: render_report(
        examples.record(rows=[], summary={"status": "diverged", "error": "NaN"}), Contents()
    ),
    "comparison": lambda: comparison(["one", "two"]),
    "group": lambda: group_page(make_group(diverged=[3])),
    "diverged group": lambda: group_page(make_group(seeds=range(3), diverged=range(3))),
    "hostile group": lambda: group_page(
        replace(make_group("diabetes", seeds=range(60)), path=HOSTILE, status=HOSTILE, manifest=hostile_manifest())
    ),
    "group comparison": lambda: group_comparison(HOSTILE),
}
if find_spec("optuna"):  # in the extra `sweep`
    PAGES |= {
        "sweep": lambda: render_sweep(make_contents(load_example())),
        "sweep without trials": lambda: render_sweep(make_contents(load_example(), [], is_confirmed=False)),
    }


def group_page(group: GroupRun) -> str:
    return render_group(group, make_logs(group))


def group_comparison(path: str) -> str:
    groups = [make_group(diverged=[3]), replace(make_group("digits", ["optimizer.lr=0.1"], better=1), path=path)]
    return render_group_comparison(compare_groups(groups), groups, [make_logs(group) for group in groups])


def hostile_manifest() -> dict[str, Any]:
    text = HOSTILE
    return {"command": [text, text], "versions": {text: text}, "device": text, "data": {"sha256": {text: text}}}


def hostile_page() -> str:
    text = HOSTILE
    record = examples.record(
        path=text,
        origins={"seed": text},
        summary={"status": text, "error": text, "best_epoch": text, "seconds": text},
        manifest=hostile_manifest(),
    )
    return render_report(record, examples.contents(examples.classification(examples.HOSTILE), text))


def comparison(names: list[str], metrics: dict[str, list[float | None]] | None = None) -> str:
    runs: list[Any] = [examples.record(f"name={json.dumps(name)}", path=f"runs/{name}") for name in names]
    settings = {"optimizer.lr": ["0.1", "0.2"]}
    return render_comparison(runs, Comparison(names, names, settings, metrics or {"val/loss": [0.25, 0.5]}))


def test_a_table_with_the_numbers_of_a_picture_is_folded() -> None:
    measured = examples.classification()
    for names, folded in (((), 0), (("confusion", "per_class"), 2)):
        page = Page(render_report(examples.record(), replace(examples.contents(measured), names=names)))
        captions = ("Metrics by class", "Confusion matrix: number of examples by true and predicted class")
        assert sum(page.text.count(caption) - 1 for caption in captions) == folded, "a folded table repeats its caption"


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_well_formed_and_accessible(make: Any) -> None:
    html = make()
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("title", "h1", "header", "nav", "main", "footer")] == [1] * 6
    assert not page.all("script", "link", "iframe", "object", "embed", "form", "base", "style")[
        1:
    ]  # only our style sheet
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", ids[0]) in ids
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/").startswith("data:image/")
    assert all(attributes["href"][1:] in ids for attributes in page.all("a"))
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert all(attributes["scope"] in ("col", "row", "colgroup") for attributes in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in zip([0, *levels], levels, strict=False))
    assert len(html) < 3_000_000


def test_the_policy_allows_only_embedded_images_and_the_style_sheet() -> None:
    html = PAGES["classification"]()
    (policy,) = [
        meta["content"] for meta in Page(html).all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]
    assert html.index("Content-Security-Policy") < html.index("<style>")


@pytest.mark.parametrize("measured", [examples.classification(), examples.regression()], ids=["classes", "values"])
def test_every_metric_is_shown(measured: dict[str, Any]) -> None:
    page = Page(render_report(examples.record(), examples.contents(measured)))
    shown = set(page.text.split())
    for value in numbers_in(measured["metrics"]) + numbers_in(measured["baselines"]):
        assert number(value) in shown or (value == 0 and "0" in shown), value
    assert all(statement in page.text for statement in measured["statements"])
    for finding in examples.FINDINGS:
        texts = (finding.statement, *finding.evidence, write_advice(finding, f"{examples.record().path}/resolved.yaml"))
        assert all(text.replace("`", "") in page.text for text in texts)
    for part in (
        "10,000 examples of test",
        "best checkpoint, epoch 17",
        "635b3f1c0ffee",
        "dlcli train -c 'my digits.yaml'",
    ):
        assert part in page.text


def test_user_text_is_escaped_and_control_characters_are_visible() -> None:
    html = hostile_page()
    page = Page(html)
    for text in (
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        r"\x1b[31mred\x07",
        r"a\u202egnp.exe",
    ):
        assert text in page.text
        assert text in "".join(str(image["alt"]) for image in page.all("img"))
    assert "49" not in page.text.partition("{{ 7*7 }}")[1]
    assert "{{ 7*7 }}" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", html)


def test_settings_and_commands_are_marked_as_code() -> None:
    for text, parts in {
        "optimizer.lr=1e+29; it was 1e+30": ["optimizer.lr=1e+29"],
        "model.hidden_sizes=[64, 32, 16], or less": ["model.hidden_sizes=[64, 32, 16]"],
        "say `dlcli train` and `<b>`": ["dlcli train", "&lt;b&gt;"],
        "dlcli train -c x seed=1": ["dlcli train -c x seed=1"],
        "1 <= 2, a == b": [],
    }.items():
        assert re.findall("<code>(.*?)</code>", code(text)) == parts
        assert Page(f"<p>{code(text)}</p>").text == text.replace("`", "")


def test_the_page_of_a_healthy_run_lists_what_was_checked() -> None:
    page = Page(render_report(examples.record(), Contents(looked_for=("overfitting", "saturated units"))))
    assert "No problems found. Checked for: overfitting, saturated units." in page.text
    assert "Diagnosis" not in Page(render_report(examples.record(), Contents())).text


def test_a_run_without_a_checkpoint_is_described() -> None:
    text = Page(PAGES["no model"]()).text
    for part in (
        "This run did not finish (diverged). NaN",
        "No checkpoint to evaluate",
        "2.15.0",
        "optimizer.lr",
        "dlcli verify",
    ):
        assert part in text
    unfinished = examples.record(summary={"status": "unfinished"})
    assert "This run did not finish (unfinished)." in Page(render_report(unfinished, Contents())).text


def test_a_foreign_record_with_any_types_can_be_rendered() -> None:
    complete = examples.record(rows=[])
    for value in (None, 3, -1.5, float("nan"), "x", [], {}, [3], {"x": 3}, [[{}]], True, 10**400):
        for key in (*complete.manifest, "resumed"):
            assert "</html>" in render_report(examples.record(manifest={**complete.manifest, key: value}), Contents())
        for key in complete.summary:
            assert "</html>" in render_report(examples.record(summary={**complete.summary, key: value}), Contents())


def test_changed_settings_come_first_with_their_origin() -> None:
    record = examples.record(origins={"optimizer.lr": "mine.yaml:3"} | {"seed": "default", "name": "default"})
    html = render_report(record, Contents())
    text = Page(html).text
    assert "optimizer.lr 0.2 mine.yaml:3" in text
    assert (
        text.index("optimizer.lr 0.2") < text.index("2 settings left at their defaults") < text.index("seed 0 default")
    )


def test_a_long_log_is_sampled_and_includes_the_best_epoch() -> None:
    rows = [{"epoch": n, "train/loss": 1 / n} for n in range(1, 1001)]
    text = Page(
        render_report(examples.record(rows=rows, summary={"status": "finished", "best_epoch": 777}), Contents())
    ).text
    assert "41 of 1,000 epochs" in text
    assert "777 best" in text
    assert "1,000 0.0010" in text


def test_the_best_run_on_validation_is_marked_with_a_word() -> None:
    metrics: dict[str, list[float | None]] = {
        "val/loss": [0.25, 0.5],
        "val/accuracy": [0.5, 0.9],
        "val/macro_f1": [0.88, 0.9],
        "test/loss": [0.3, None],
        "test/accuracy": [0.1, 0.9],
    }
    html = comparison(["one", "two"], metrics)
    text = Page(html).text
    for row in (
        "val/loss 0.2500 best 0.5000",
        "val/accuracy 0.5000 0.9000 best",
        "val/macro_f1 0.8800 tied 0.9000 tied",
        "test/loss 0.3000 –",
        "test/accuracy 0.1000 0.9000",
        "one runs/one finished 40 1:23 min",
    ):
        assert row in text
    assert html.count('<td class="number tied">') == 2


def test_the_command_writes_a_page_and_prints_its_path(dlcli: Any, clean_place: Path) -> None:
    assert dlcli("train", "-c", "digits", "training.epochs=2", "--run-dir", "run", "--quiet").code == 0
    done = dlcli("report", "run")
    assert (done.code, done.out, done.err) == (0, "run/report.html\n", "")
    page = Page(Path("run/report.html").read_text())
    for part in (
        "training.epochs 2 command line",
        "seed 0 default",
        "64-64-10, sigmoid; 4,810 parameters",
        "359 examples of test",
    ):
        assert part in page.text
    evaluated = json.loads(dlcli("eval", "run", "--json").out)
    assert number(evaluated["metrics"]["accuracy"]) in page.text
    again = json.loads(dlcli("report", "run", "-o", "again.html", "--json").out)
    assert again == {"run": "run", "file": "again.html", "bytes": Path("again.html").stat().st_size}
    assert Page(Path("again.html").read_text()).text == page.text


@pytest.mark.parametrize("file", ["", "a\0b"])
def test_no_page_is_written_to_an_invalid_path(dlcli: Any, clean_place: Path, file: str) -> None:
    assert dlcli("train", "-c", "diabetes", "training.epochs=1", "--run-dir", "run", "--quiet").code == 0
    for command in (["report", "run", "-o", file], ["runs", "compare", "run", "run", "--html", file]):
        assert dlcli(*command).code == 2
    assert {path.name for path in clean_place.iterdir()} == {"run"}


@pytest.mark.parametrize("file", ["missing/page.html", ".", "run", "pipe", "\ud800"])
def test_a_page_that_cannot_be_written_is_reported(dlcli: Any, clean_place: Path, file: str) -> None:
    assert dlcli("train", "-c", "diabetes", "training.epochs=1", "--run-dir", "run", "--quiet").code == 0
    os.mkfifo("pipe")
    for command in (["report", "run", "-o", file], ["runs", "compare", "run", "run", "--html", file]):
        done = dlcli(*command)
        assert done.code == 3, done
        assert "cannot write" in done.err
        assert "choose another file" in done.err
    assert {path.name for path in clean_place.iterdir()} == {"run", "pipe"}


def test_a_diverged_run_has_a_page(dlcli: Any, clean_place: Path) -> None:
    assert dlcli("train", "-c", "diabetes", "optimizer.lr=1e18", "--run-dir", "run", "--quiet").code == 5
    assert dlcli("report", "run").code == 0
    assert "This run did not finish (diverged)." in Page(Path("run/report.html").read_text()).text


def test_a_run_with_a_deleted_checkpoint_has_no_page(dlcli: Any, clean_place: Path) -> None:
    assert dlcli("train", "-c", "diabetes", "training.epochs=1", "--run-dir", "run", "--quiet").code == 0
    for name in ("last", "best"):
        Path(f"run/checkpoints/{name}.safetensors").unlink()
        done = dlcli("report", "run", "--checkpoint", name)
        assert done == dlcli("eval", "run", "--checkpoint", name)
        assert (done.code, Path("run/report.html").exists()) == (3, False)


def test_compared_runs_have_a_page(dlcli: Any, clean_place: Path) -> None:
    for lr in ("0.1", "0.01"):
        arguments = (
            "-c",
            "digits",
            "training.epochs=2",
            f"optimizer.lr={lr}",
            "--run-dir",
            f"runs/digits/lr{lr}",
            "--quiet",
        )
        assert dlcli("train", *arguments).code == 0
    done = dlcli("runs", "compare", "lr0.1", "lr0.01", "--html", "both.html", "--json")
    printed = json.loads(done.out)
    assert printed["file"] == "both.html"
    page = Page(Path("both.html").read_text())
    assert "optimizer.lr 0.1 0.01" in page.text
    assert printed["labels"] == ["lr 0.1", "lr 0.01"]
    assert "metric lr 0.1 lr 0.01" in page.text
    assert "lr 0.01 runs/digits/lr0.01 finished 2" in page.text
    del printed["metrics"]["seconds"]
    assert all(number(value) in page.text for row in printed["metrics"].values() for value in row)
    assert [str(image["alt"]).partition(",")[0] for image in page.all("img")] == [
        "train/loss",
        "val/loss",
        "val/accuracy",
    ]
