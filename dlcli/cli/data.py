"""The `dlcli data` commands: list, fetch and check."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.completion import complete_config
from dlcli.cli.options import JsonOption, QuietOption
from dlcli.cli.output import make_table, open_reporter, print_json, print_listing, print_result
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.config.schema import Config
    from dlcli.data.splits import Splits

app = typer.Typer(
    help="Manage data sources.\n\nExample: dlcli data list\n\nExample: dlcli data check digits", no_args_is_help=True
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data source, e.g. fashion_mnist.")]
CheckedArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|CONFIG", help="Data source, YAML file or preset name.", autocompletion=complete_config
    ),
]
RootOption = Annotated[
    str | None, typer.Option("--root", metavar="DIR", help="Folder for the data; by default the user's cache folder.")
]


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List the data sources with a one-line description each.

    Example: dlcli data list

    Example: dlcli data list --json
    """
    from dlcli.config.schema import data_sources

    sources = {name: model.__doc__ or "" for name, model in data_sources().items()}
    print_listing("sources", sources, json=json)


@app.command("fetch")
def fetch_command(
    name: NameArgument, root: RootOption = None, json: JsonOption = False, quiet: QuietOption = False
) -> None:
    """Download a data source, or replace its damaged files, and verify it.

    Example: dlcli data fetch fashion_mnist

    Example: dlcli data fetch fashion_mnist --root ~/data
    """
    loaded = _config(name, root)

    from dlcli.data import load_splits

    splits = load_splits(loaded, notify=open_reporter("plain", quiet=quiet).note)
    counts, kept = {"train": len(splits.train) + len(splits.val), "test": len(splits.test)}, root or "the cache folder"
    if json:
        print_json({"name": name, **counts, "sha256": dict(splits.info.checksums)}, kept=kept)
    else:
        print_result(f"{name}: {counts['train']:,} train, {counts['test']:,} test, verified", kept=kept)


@app.command("check")
def check_command(name: CheckedArgument, root: RootOption = None) -> None:
    """Verify a data source, or the data of a config, without using the network. Exits with 3 if it cannot be used.

    Example: dlcli data check digits

    Example: dlcli data check fashion_mnist

    Example: dlcli data check mine.yaml
    """
    loaded = _config(name, root)

    from dlcli.config.schema import ImageFolderData
    from dlcli.data import load_splits

    splits = load_splits(loaded)
    counts = f"{len(splits.train) + len(splits.val):,} train, {len(splits.test):,} test"
    if isinstance(loaded.data, ImageFolderData):
        counts = f"{len(splits.train):,} train, {len(splits.val):,} val, {len(splits.test):,} test"
    print_result(f"{name}: {counts}, verified")
    if isinstance(loaded.data, ImageFolderData):
        _print_pictures(loaded.data.path or "", splits)


def _print_pictures(path: str, splits: Splits) -> None:
    """Print the size of the inputs, the number of pictures of each class in each split, and what was skipped."""
    info = splits.info
    assert info.image_shape is not None
    channels, height, width = info.image_shape
    n = sum(len(split) for split in (splits.train, splits.val, splits.test))
    form = f"{height}×{width} {'rgb' if channels == 3 else 'grayscale'}"
    counts = [split.targets.bincount(minlength=info.out_features) for split in (splits.train, splits.val, splits.test)]
    rows = [[name, *(f"{count[label]:,}" for count in counts)] for label, name in enumerate(info.class_names)]
    print_result(
        f"{n:,} pictures of {info.out_features:,} classes, as {form}, in {path}",
        make_table(["class", "train", "val", "test"], rows),
        *(f"note: {note}" for note in splits.notes),
    )


def _config(name: str, root: str | None) -> Config:
    from dlcli.config.load import load_config
    from dlcli.config.paths import resolve_path
    from dlcli.config.schema import Config, data_sources

    sources = data_sources()
    if name not in sources and not _is_config(name):
        hint = f"choose one of {', '.join(sources)}, or pass a config: `dlcli data check mine.yaml`"
        raise UsageError(f"unknown data source {name!r}", hint=hint)
    if name not in sources:
        if root is not None:
            raise UsageError("a config takes no --root", hint="set the folder in the config")
        return load_config(name).config
    setting = next((setting for setting in ("root", "path") if setting in sources[name].model_fields), None)
    if root is not None and setting is None:
        raise UsageError(f"{name} takes no --root: it is not read from files", hint=f"run `dlcli data check {name}`")
    if root is None and setting == "path":
        raise UsageError(f"{name} needs a folder", hint=f"write it like `dlcli data check {name} --root DIR`")
    section = {"name": name} if root is None else {"name": name, str(setting): resolve_path(root, "", "--root")}
    return Config.model_validate({"task": sources[name].tasks[0], "data": section})


def _is_config(name: str) -> bool:
    from dlcli.config.presets import presets

    return name in presets() or name.endswith((".yaml", ".yml")) or os.path.isfile(name)
