"""Tests of forged checkpoints with a valid checksum but invalid content: rejected with a message, and skipped."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from conftest import Finished
from torch import Tensor

from dlcli.api import train
from dlcli.config.load import load_config
from dlcli.errors import Interrupted
from dlcli.runs import recorder
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.tensor_file import DamagedError
from dlcli.training.events import EpochEnded, Event
from dlcli.training.listeners import Listeners
from faults.outcome import outcome

SETTINGS = ["model={hidden_sizes: [3], dropout: 0.1}", "training={epochs: 3, batch_size: 400}", "scheduler=null"]
Dlcli = Callable[..., Finished]


@pytest.fixture
def run(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run that was stopped after its second epoch."""
    monkeypatch.setattr(recorder, "SAVE_SECONDS", 0.0)
    stopped: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == 2:
            stopped.append(15)

    loaded = load_config("moons", [*SETTINGS, "optimizer.momentum=0.9"])
    train(loaded, run_dir=Path("whole"))
    with pytest.raises(Interrupted):
        train(loaded, run_dir=Path("run"), listeners=Listeners(listen, None, lambda: stopped[0] if stopped else None))
    return Path("run")


def forge(path: Path, text: str, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint with the header `text`, with `DIGEST` replaced by the valid checksum."""
    content = safetensors.torch.save(
        {name: value.clone() for name, value in tensors.items()}, metadata={"dlcli": text.replace("DIGEST", "0" * 64)}
    )
    path.write_bytes(content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["dlcli"])
    return {**header, "sha256": "DIGEST"}, safetensors.torch.load(content)


def values() -> list[Any]:
    return [None, -1, -1.5, 1.5, 2**70, 10**300, "x", "", True, [], {}, [1], math.nan, math.inf]


def paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    result = [path] if path else []
    for key, item in value.items() if isinstance(value, dict) else ():
        result += paths(item, (*path, key))
    return result


def replaced(value: Any, path: tuple[str, ...], new: Any) -> Any:
    return {**value, path[0]: replaced(value[path[0]], path[1:], new) if path[1:] else new}


def without(value: Any, path: tuple[str, ...]) -> Any:
    if path[1:]:
        return {**value, path[0]: without(value[path[0]], path[1:])}
    return {key: item for key, item in value.items() if key != path[0]}


def check_refused_or_harmless(path: Path) -> bool:
    """Load a checkpoint; return whether it was rejected, with a message of one line."""
    try:
        load_checkpoint(path)
    except DamagedError as error:
        message = error.message
    else:
        return False
    assert "\n" not in message
    return True


# Parts where other values are valid, e.g. seed 3 or a loss of -1.5; resolved.yaml, the log or verify detect changes.
FREE = ("settings", "val", "versions", "data")


@pytest.mark.parametrize("which", ["last", "best"])
def test_no_forged_value_in_the_header_causes_a_traceback(run: Path, which: str) -> None:
    path = run / "checkpoints" / f"{which}.safetensors"
    header, tensors = read(path)
    refused = tried = 0
    for key_path in paths(header):
        if key_path == ("sha256",):
            continue
        for change in [
            lambda p=key_path: without(header, p),
            *(lambda p=key_path, v=v: replaced(header, p, v) for v in values()),
        ]:
            forged = change()
            forge(path, json.dumps(forged), tensors)
            refused += check_refused_or_harmless(path)
            tried += 1
        extra = replaced(
            header,
            key_path,
            {**(header[key_path[0]] if len(key_path) == 1 and isinstance(header[key_path[0]], dict) else {}), "x": 1},
        )
        forge(path, json.dumps(extra), tensors)
        check_refused_or_harmless(path)
    assert tried > 400
    assert refused > tried // 4


def forged_headers(header: dict[str, Any]) -> dict[str, str]:
    text = json.dumps(header)
    position = header["training"]["position"]
    deep = "[" * 100_000 + "]" * 100_000
    return {
        "nested deeply": text.replace('"monitor"', f'"deep": {deep}, "monitor"', 1),
        "settings nested deeply": json.dumps({**header, "settings": 0}).replace('"settings": 0', f'"settings": {deep}'),
        "settings are null": json.dumps({**header, "settings": None}),
        "negative position": json.dumps(replaced(header, ("training", "position"), {**position, "epochs": -1})),
        "text for a position": json.dumps(replaced(header, ("training", "position", "epochs"), "2")),
        "float for a position": json.dumps(replaced(header, ("training", "position", "epochs"), 2.0)),
        "huge position": json.dumps(replaced(header, ("training", "position", "epochs"), 10**400)),
        "number of 5,000 digits": text.replace('"step": ', '"step": ' + "9" * 5000, 1),
        "no position": json.dumps(without(header, ("training", "position"))),
        "no header": "{}",
        "a list": "[]",
        "not JSON": "DIGEST{",
        "NaN": text.replace('"factor": 1.0', '"factor": NaN'),
        "other arithmetic": json.dumps(replaced(header, ("arithmetic", "library"), "blas")),
        "no threads": json.dumps(replaced(header, ("arithmetic", "threads"), 0)),
        "epoch before position": json.dumps({**header, "epoch": 1}),
        "fewer class names": json.dumps(replaced(header, ("data", "class_names"), ["0"])),
        "other number of inputs": json.dumps(replaced(header, ("data", "in_features"), 63)),
        "unknown description": json.dumps({**header, "data": {**header["data"], "colour": "red"}}),
    }


def forged_tensors(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    weight, velocity, cpu = tensors["model.0.weight"], tensors["optimizer.velocity.0.weight"], tensors["generators.cpu"]

    def changed(**more: Tensor) -> dict[str, Tensor]:
        return {**tensors, **{name.replace("__", "."): value for name, value in more.items()}}

    return {
        "NaN parameter": changed(model__0__weight=weight * math.nan),
        "infinite parameter": changed(model__0__bias=tensors["model.0.bias"] + math.inf),
        "float64 parameter": changed(model__0__weight=weight.double()),
        "integer parameter": changed(model__0__weight=weight.int()),
        "transposed parameter": changed(model__0__weight=weight.t().contiguous()),
        "wider parameter": changed(model__0__weight=torch.cat([weight, weight])),
        "empty parameter": changed(model__0__weight=weight[:, :0]),
        "scalar parameter": changed(model__0__weight=weight[0, 0].clone()),
        "missing parameter": {name: value for name, value in tensors.items() if name != "model.0.weight"},
        "another parameter": changed(model__9__weight=weight),
        "another part": changed(other__x=weight),
        "NaN velocity": changed(optimizer__velocity__0__weight=velocity * math.nan),
        "infinite velocity": changed(optimizer__velocity__0__weight=velocity + math.inf),
        "wider velocity": changed(optimizer__velocity__0__weight=torch.cat([velocity, velocity])),
        "missing velocity": {name: value for name, value in tensors.items() if name != "optimizer.velocity.0.bias"},
        "no velocities": {name: value for name, value in tensors.items() if not name.startswith("optimizer.")},
        "other optimizer state": changed(optimizer__mean__0__weight=velocity),
        "short generator": changed(generators__cpu=cpu[:100].clone()),
        "long generator": changed(generators__cpu=torch.cat([cpu, cpu])),
        "generator of zeros": changed(generators__cpu=torch.zeros_like(cpu)),
        "generator of floats": changed(generators__cpu=cpu.float()),
        "no generator": {name: value for name, value in tensors.items() if name != "generators.cpu"},
        "cuda generator": changed(generators__cuda=cpu[:7].clone()),
        "NaN sum": changed(sums__loss=torch.tensor(math.nan)),
        "weight without examples": changed(sums__weight=torch.tensor(3.0)),
        "vector of sums": changed(sums__loss=torch.zeros(3)),
        "no sums": {name: value for name, value in tensors.items() if not name.startswith("sums.")},
        "scale of zero": changed(input_scaling__scale=torch.zeros_like(tensors["input_scaling.scale"])),
        "NaN shift": changed(input_scaling__shift=tensors["input_scaling.shift"] * math.nan),
        "float32 scale": changed(input_scaling__scale=tensors["input_scaling.scale"].float()),
        "complex scale": changed(input_scaling__scale=tensors["input_scaling.scale"].to(torch.complex64)),
        "longer shift": changed(input_scaling__shift=torch.zeros(5, dtype=torch.float64)),
        "no scaling": {name: value for name, value in tensors.items() if not name.startswith("input_scaling.")},
    }


def test_invalid_checkpoints_are_rejected_and_skipped_by_resume(run: Path, dlcli: Dlcli) -> None:
    path, expected = run / "checkpoints" / "last.safetensors", outcome(Path("whole"))
    header, tensors = read(path)
    forgeries: dict[str, tuple[str, dict[str, Tensor]]] = {}
    forgeries |= {name: (text, tensors) for name, text in forged_headers(header).items()}
    forgeries |= {name: (json.dumps(header), others) for name, others in forged_tensors(tensors).items()}
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    for number, (name, forgery) in enumerate(forgeries.items()):
        forge(path, *forgery)
        with pytest.raises(DamagedError, match=r"^cannot use run/checkpoints/last\.safetensors: it is "):
            load_checkpoint(path)
        for command in (["eval", "run", "--checkpoint", "last"], ["verify", "run"]):
            done = dlcli(*command)
            assert (done.code, done.out, "Traceback" in done.err) == (3, "", False), (name, command, done)
        if number % 4 == 0:
            done = dlcli("train", "--resume", "run")
            assert done.code == 0, (name, done)
            assert "note: cannot use run/checkpoints/last.safetensors: it is " in done.err
            assert "note: continuing from run/checkpoints/previous.safetensors, epoch 1" in done.err
            assert outcome(run) == expected, name
            for file in [file for file in run.rglob("*") if file.is_file() and file not in before]:
                file.unlink()
            for file, content in before.items():
                file.write_bytes(content)
    assert len(forgeries) >= 50


def test_a_valid_checkpoint_for_other_data_or_another_position_is_rejected(run: Path, dlcli: Dlcli) -> None:
    path = run / "checkpoints" / "last.safetensors"
    header, tensors = read(path)
    other = {**header["data"], "in_features": 4, "feature_names": ["x1", "x2", "x3", "x4"]}
    wider = torch.cat([tensors["model.0.weight"]] * 2, dim=1)
    velocity = torch.cat([tensors["optimizer.velocity.0.weight"]] * 2, dim=1)
    forge(
        path,
        json.dumps({**header, "data": other}),
        {**tensors, "model.0.weight": wider, "optimizer.velocity.0.weight": velocity},
    )
    for command in (
        ["eval", "run", "--checkpoint", "last"],
        ["train", "--resume", "run"],
        ["predict", "run", "--checkpoint", "last"],
    ):
        done = dlcli(*command)
        assert (done.code, "the data has changed since run was trained" in done.err) == (3, True), done
    position = {**header["training"]["position"], "examples": 100_000}
    forged = replaced({**header, "epoch": 3}, ("training", "position"), position)
    forge(path, json.dumps(forged), {**tensors, "sums.weight": torch.tensor(3.0)})
    done = dlcli("train", "--resume", "run")
    assert (done.code, "does not fit the data" in done.err) == (3, True), done


def test_predict_reports_parameters_that_overflow(run: Path, dlcli: Dlcli) -> None:
    checkpoints = run / "checkpoints"
    (run / "summary.json").unlink()  # it records the SHA-256 of `best`, as does `last`
    for which in ("last", "previous", "best-previous"):
        (checkpoints / f"{which}.safetensors").unlink(missing_ok=True)
    best = checkpoints / "best.safetensors"
    header, tensors = read(best)
    huge = {name: torch.full_like(value, 1e38) for name, value in tensors.items() if name.startswith("model.")}
    assert huge
    forge(best, json.dumps(header), tensors | huge)
    done = dlcli("predict", str(run))
    assert (done.code, done.out) == (3, "")
    assert "error: the model gives outputs that are not finite numbers" in done.err
    assert "Traceback" not in done.err
