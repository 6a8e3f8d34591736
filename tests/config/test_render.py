from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.config.document import read_document
from dlcli.config.load import load_config
from dlcli.config.presets import presets
from dlcli.config.render import flatten, read_origins, render_explained, render_value, render_yaml
from dlcli.config.schema import data_sources, explain_setting, starting_config


@pytest.mark.parametrize("preset", presets())
def test_a_rendered_preset_reads_back_as_the_same_config(clean_place: Path, preset: str) -> None:
    config = load_config(preset).config
    Path("again.yaml").write_text(render_yaml(config, lambda *_: "a comment: {with} [signs]"))
    assert load_config("again.yaml").config == config


@pytest.mark.parametrize("source", data_sources())
def test_a_starting_config_is_valid(clean_place: Path, source: str) -> None:
    config = starting_config(source, data_sources()[source].tasks[0])
    Path("start.yaml").write_text(render_explained(config, explain_setting))
    read = load_config("start.yaml").config
    settings = flatten(config)
    if settings.get("data.path"):
        settings["data.path"] = f"{clean_place}/{settings['data.path']}"
    assert flatten(read) == settings


@pytest.mark.parametrize(
    "value", ["no", "1e-3", "", "~", "a b", "a: b", "#x", '"', "\\", "é\x1b\u202e", "null", 1e-5, 3]
)
def test_a_value_reads_back_as_itself(value: object) -> None:
    assert read_document(f"key: {render_value(value)}\n", "f").tree == {"key": value}


def test_origins_of_values_are_read_back() -> None:
    loaded = load_config("digits", ["optimizer.lr=0.5", "training.epochs=3"])
    text = render_yaml(loaded.config, lambda _section, _field, path: loaded.origin(path))
    origins = read_origins(loaded.config, text)
    assert origins == {key: loaded.origin(tuple(key.split("."))) for key in flatten(loaded.config)}
    assert origins["optimizer.lr"] == "command line"
    edited = text.replace("lr: 0.5", "lr: 0.6")
    assert read_origins(loaded.config, edited) == {
        key: origin for key, origin in origins.items() if key != "optimizer.lr"
    }


def test_a_value_that_looks_like_an_origin_is_not_read_as_an_origin() -> None:
    loaded = load_config("fashion_mnist", ['data.root="a  # b"'])
    text = render_yaml(loaded.config, lambda _section, _field, path: loaded.origin(path))
    assert read_origins(loaded.config, text)["data.root"] == "command line"
