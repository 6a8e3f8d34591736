"""The `dlcli data` commands: list, fetch and check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.options import JsonOption, QuietOption
from dlcli.cli.output import open_reporter, print_listing, print_result
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.config.schema import Config

app = typer.Typer(
    help="Manage data sources.\n\nExample: dlcli data list\n\nExample: dlcli data check digits", no_args_is_help=True
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data source, e.g. fashion_mnist.")]
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
def fetch_command(name: NameArgument, root: RootOption = None, quiet: QuietOption = False) -> None:
    """Download a data source, or replace its damaged files, and verify it.

    Example: dlcli data fetch fashion_mnist

    Example: dlcli data fetch fashion_mnist --data-root ~/data
    """
    loaded = _config(name, root)

    from dlcli.data import load_splits

    splits = load_splits(loaded, notify=open_reporter("plain", quiet=quiet).note)
    summary = f"{name}: {len(splits.train) + len(splits.val):,} train, {len(splits.test):,} test, verified"
    print_result(summary, kept=root or "the cache folder")


@app.command("check")
def check_command(name: NameArgument, root: RootOption = None) -> None:
    """Verify a data source without using the network. Exits with 3 if it is missing or damaged.

    Example: dlcli data check digits

    Example: dlcli data check fashion_mnist
    """
    loaded = _config(name, root)

    from dlcli.data import load_splits

    splits = load_splits(loaded)
    print_result(f"{name}: {len(splits.train) + len(splits.val):,} train, {len(splits.test):,} test, verified")


def _config(name: str, root: str | None) -> Config:
    from dlcli.config.paths import resolve_path
    from dlcli.config.schema import Config, data_sources

    sources = data_sources()
    if name not in sources:
        raise UsageError(f"unknown data source {name!r}", hint=f"choose one of {', '.join(sources)}")
    if root is not None:
        root = resolve_path(root, "", "--root")
    if root is not None and "root" not in sources[name].model_fields:
        raise UsageError(f"{name} takes no --root: it is not read from files", hint=f"run `dlcli data check {name}`")
    section = {"name": name} if root is None else {"name": name, "root": root}
    return Config.model_validate({"task": sources[name].tasks[0], "data": section})
