"""The `dlcli data` commands: list, fetch and check."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.completion import complete_config
from dlcli.cli.options import JsonOption, OverridesArgument, QuietOption
from dlcli.cli.output import open_reporter, print_json, print_listing, print_result
from dlcli.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from dlcli.config.schema import Config

app = typer.Typer(
    help="Manage data sources.\n\nExample: dlcli data list\n\nExample: dlcli data check digits", no_args_is_help=True
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data source, e.g. fashion_mnist.")]
CheckedArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG|FILE",
        help="YAML file, preset or data source; or a table or a folder of pictures.",
        autocompletion=complete_config,
    ),
]
TargetOption = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="Column of the file to predict.")]
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

    from dlcli.data.sources import load_splits

    splits = load_splits(loaded, notify=open_reporter("plain", quiet=quiet).note)
    counts, kept = {"train": len(splits.train) + len(splits.val), "test": len(splits.test)}, root or "the cache folder"
    if json:
        print_json({"name": name, **counts, "sha256": dict(splits.info.checksums)}, kept=kept)
    else:
        print_result(f"{name}: {counts['train']:,} train, {counts['test']:,} test, verified", kept=kept)


@app.command("check")
def check_command(
    name: CheckedArgument,
    overrides: OverridesArgument = None,
    target: TargetOption = None,
    root: RootOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 6 if anything is found.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what would be trained on, and what is wrong with it. Exits with 3 if the data cannot be used.

    The data are those of a source, of a config, of a table or of a folder of pictures. The network is not used.

    Example: dlcli data check weather.csv --target weather

    Example: dlcli data check weather.csv --target weather data.encoding=windows-1252

    Example: dlcli data check mine.yaml --strict
    """
    from dlcli.cli.data_check import check_page
    from dlcli.data.check.check import check_data, check_file

    if root is None and _is_own_data(name):
        result = check_file(name, target, overrides or ())
    elif target is None:
        result = check_data(_config(name, root, overrides or ()))
    else:
        raise UsageError("--target is for tables", hint="write it like `dlcli data check FILE.csv --target COLUMN`")
    n = len(result.findings)
    message = f"{name}: {'1 finding' if n == 1 else f'{n} findings'}"
    failure = CheckFailed(message, hint="omit --strict to accept them") if strict and n else None
    if json:
        print_json(asdict(result), failure=failure)
    else:
        print_result(*check_page(name, result))
    if failure:
        raise failure


def _config(name: str, root: str | None, overrides: Sequence[str] = ()) -> Config:
    from dlcli.config.load import load_config
    from dlcli.config.paths import resolve_path
    from dlcli.config.schema import Config, data_sources

    sources = data_sources()
    if name not in sources and not _is_config(name):
        hint = f"choose one of {', '.join(sources)}, or pass a config or a file: `dlcli data check mine.yaml`"
        raise UsageError(f"unknown data source {name!r}", hint=hint)
    if name not in sources:
        if root is not None:
            raise UsageError("--root cannot be used with a config", hint="set data.root in the config")
        return load_config(name, overrides).config
    if overrides:
        raise UsageError(
            f"{name} takes no settings", hint=f"write them into a config: `dlcli config init --data {name}`"
        )
    setting = next((setting for setting in ("root", "path") if setting in sources[name].model_fields), None)
    if root is not None and setting is None:
        raise UsageError(f"{name} takes no --root: it is not read from files", hint=f"run `dlcli data check {name}`")
    if root is None and setting == "path":
        raise UsageError(f"{name} needs a folder", hint=f"write it like `dlcli data check {name} --root DIR`")
    section = {"name": name} if root is None else {"name": name, str(setting): resolve_path(root, "", "--root")}
    return Config.model_validate({"task": sources[name].tasks[0], "data": section})


def _is_config(name: str) -> bool:
    from dlcli.config.presets import presets

    is_plain_file = not os.path.splitext(name)[1] and os.path.isfile(name)
    return name in presets() or name.endswith((".yaml", ".yml")) or is_plain_file


def _is_own_data(name: str) -> bool:
    """Return whether a name refers to a table or a folder of pictures, which may be missing."""
    from dlcli.config.schema import data_sources

    if name in data_sources() or _is_config(name):
        return False
    return os.sep in name or bool(os.path.splitext(name)[1]) or os.path.isdir(name)
