"""Expansion of paths in configs, overrides and file names."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.paths import escape_path, expand_path, open_regular, resolve_path
from dlcli.config.render import render_yaml
from dlcli.config.schema import Config, FashionMnistData, path_settings, section_models
from dlcli.errors import ConfigError, UsageError

NOT_UTF8 = os.fsdecode(b"caf\xe9")


def root_of(loaded: LoadedConfig) -> str | None:
    assert isinstance(loaded.config.data, FashionMnistData)
    return loaded.config.data.root


def rendered(loaded: LoadedConfig) -> str:
    return render_yaml(loaded.config, lambda _section, _field, path: loaded.origin(path))


@pytest.fixture(autouse=True)
def home(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a$b")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("ODD", "~/$DATA")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("~", "/home/a$b"),
        ("~/x", "/home/a$b/x"),
        ("~root/x", "/root/x"),
        ("./~", "./~"),
        ("x/~", "x/~"),
        ("$DATA/x", "/data/x"),
        ("${DATA}x", "/datax"),
        ("x/$DATA", "x//data"),
        ("$ODD", "~/$DATA"),
        ("$$DATA", "$DATA"),
        ("$$$DATA", "$/data"),
        ("a$", "a$"),
        ("$5/${}/${a-b}", "$5/${}/${a-b}"),
        ("digits", "digits"),
    ],
)
def test_a_path_is_expanded_once(written: str, expanded: str) -> None:
    if written.startswith("~root") and os.path.expanduser("~root") != "/root":
        pytest.skip("root's home folder is not /root")
    assert expand_path(written) == expanded


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("$UNSET/x", "UNSET is not set"),
        ("${UNSET}", "UNSET is not set"),
        ("$EMPTY/x", "EMPTY is not set"),
        ("~no-such-user/x", "no user 'no-such-user'"),
        ("", "is empty"),
        ("a\0b", "NUL"),
    ],
)
def test_paths_that_cannot_be_expanded_are_rejected(written: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        expand_path(written, "--root")
    assert caught.value.message.startswith("--root")
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("path", ["\ud800", "/data/\ud800", "caf\udce9"])
def test_paths_that_are_not_utf_8_are_rejected(clean_place: Path, path: str) -> None:
    with pytest.raises(UsageError, match="--root cannot be stored as text"):
        resolve_path(path, "", "--root")


@pytest.mark.parametrize("path", ["/a", "/$DATA", "/${UNSET}/$$", "/a$", "/$$$a"])
def test_an_escaped_path_expands_to_itself(path: str) -> None:
    assert expand_path(escape_path(path)) == path


def test_a_path_is_relative_to_the_file_that_contains_it(clean_place: Path) -> None:
    Path("configs/base").mkdir(parents=True)
    Path("configs/base/root.yaml").write_text("data: {name: fashion_mnist, root: inside}\n")
    Path("configs/mine.yaml").write_text("extends: base/root.yaml\n")
    Path("configs/other.yaml").write_text("extends: base/root.yaml\ndata:\n  root: ../outside\n")
    assert root_of(load_config("configs/mine.yaml")) == str(clean_place / "configs/base/inside")
    assert root_of(load_config("configs/other.yaml")) == str(clean_place / "outside")
    assert root_of(load_config("configs/mine.yaml", ["data.root=x"])) == str(clean_place / "x")
    assert root_of(load_config("configs/mine.yaml", ["data={name: fashion_mnist, root: x}"])) == str(clean_place / "x")
    assert root_of(load_config("fashion_mnist", ["data.root=~/x"])) == "/home/a$b/x"
    assert root_of(load_config("fashion_mnist")) is None
    loaded = load_config("configs/other.yaml")
    assert loaded.origin(("data", "root")) == "configs/other.yaml:3"


def test_a_base_without_a_suffix_is_searched_in_the_folder_of_the_file(clean_place: Path) -> None:
    Path("configs").mkdir()
    Path("configs/base").write_text("data: {name: digits}\n")
    Path("configs/mine.yaml").write_text("extends: base\n")
    assert load_config("configs/mine.yaml").config.data.name == "digits"


def test_a_path_that_an_override_replaces_is_not_expanded() -> None:
    Path("mine.yaml").write_text("data: {name: fashion_mnist, root: $UNSET/x}\n")
    assert root_of(load_config("mine.yaml", ["data.root=/x"])) == "/x"
    with pytest.raises(ConfigError, match=r"mine\.yaml:1:29: data\.root .*UNSET is not set"):
        load_config("mine.yaml")


def test_a_resolved_config_reads_back_from_any_folder(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dollar sign in an expanded path is not expanded again."""
    Path("x$DATA").mkdir()
    monkeypatch.chdir("x$DATA")
    Path("mine.yaml").write_text("data: {name: fashion_mnist, root: data}\n")
    loaded = load_config("mine.yaml")
    assert root_of(loaded) == str(clean_place / "x$DATA" / "data")
    Path("resolved.yaml").write_text(rendered(loaded))
    resolved = Path("resolved.yaml").resolve()
    monkeypatch.chdir("/")
    assert load_config(resolved).config == loaded.config, "a Path object is not expanded"


def test_configs_and_bases_are_found_by_home_and_variables(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(clean_place))
    monkeypatch.setenv("CONFIGS", str(clean_place))
    Path("base.yaml").write_text("data: {name: digits}\n")
    Path("mine.yaml").write_text("extends: $CONFIGS/base.yaml\n")
    assert load_config("~/mine.yaml").config == load_config("${CONFIGS}/mine.yaml").config
    assert not Path("~").exists()


def test_a_root_that_is_not_utf8_is_rejected_and_such_a_file_name_is_escaped(clean_place: Path) -> None:
    Path(f"{NOT_UTF8}.yaml").write_text("data: {name: fashion_mnist}\nname: a-run\n")
    loaded = load_config(f"{NOT_UTF8}.yaml")
    assert "  # caf\\udce9.yaml:2" in rendered(loaded)
    assert rendered(loaded).encode()
    for folder, root in ((NOT_UTF8, "data"), ("data", NOT_UTF8)):
        with pytest.raises(UsageError) as caught:
            resolve_path(root, folder, "data.root")
        assert "data.root cannot be stored as text" in caught.value.message
    with pytest.raises(ConfigError):
        load_config("fashion_mnist", [f"data.root={NOT_UTF8}"])


def test_a_file_name_with_a_newline_adds_no_line_to_the_resolved_config(clean_place: Path) -> None:
    Path("a\nseed: 7.yaml").write_text("data: {name: digits}\nname: a-run\n")
    Path("kept.yaml").write_text(rendered(load_config("./a\nseed: 7.yaml")))
    assert load_config("kept.yaml").config.seed == 0


def test_pipes_sockets_and_devices_do_not_block(clean_place: Path) -> None:
    os.mkfifo("pipe.yaml")
    Path("folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.yaml")
        for name in ("pipe.yaml", "socket.yaml", "folder", "/dev/zero", "/dev/tty0"):
            with pytest.raises(OSError, match=r"it is|No such"):
                open_regular(name)
            with pytest.raises(UsageError, match="cannot read"):
                load_config(f"./{name}" if "/" not in name else name)
        Path("mine.yaml").write_text("extends: pipe.yaml\n")
        with pytest.raises(ConfigError, match="not a regular file"):
            load_config("mine.yaml")


def test_every_setting_that_holds_a_path_is_marked_as_a_path() -> None:
    texts = {
        (section, name)
        for section in Config.model_fields
        for model in section_models(Config, section)
        for name, field in model.model_fields.items()
        if field.annotation in (str, str | None)
    }
    no_paths = {
        ("early_stopping", "monitor"),
        ("checkpoint", "monitor"),
        ("training", "device"),
        ("data", "background"),
        ("data", "time"),
        ("data", "group"),
        ("data", "split"),
        ("data", "inputs"),
        ("data", "target"),
    }
    paths = {("data", name) for name in ("root", "path", "train", "val", "test")}
    assert texts - no_paths == paths
    assert set(path_settings()) == {*paths, ("model", "init", "run")}
