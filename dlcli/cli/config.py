"""dlcli config: list, show, init, validate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from dlcli.cli.output import JsonOption, print_error, print_json, print_result
from dlcli.errors import ConfigError, Problem, UsageError

app = typer.Typer(help="Presets, and what a config means.", no_args_is_help=True)


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List the presets, a line each."""
    from dlcli.config.presets import preset_summary, presets

    summaries = {name: preset_summary(file.read_text(encoding="utf-8")) for name, file in presets().items()}
    if json:
        print_json({"presets": summaries})
        return
    width = max(len(name) for name in summaries)
    print_result(*(f"{name:<{width}}  {summary}" for name, summary in summaries.items()))


@app.command("show")
def show_command(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or a preset's name.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE")] = None,
    json: JsonOption = False,
) -> None:
    """Show every setting with its value and where that came from."""
    from dlcli.config.load import load_config
    from dlcli.config.render import render_yaml

    loaded = load_config(config, overrides or ())
    if json:
        print_json(loaded.config.model_dump())
    else:
        print_result(render_yaml(loaded.config, lambda section, field, path: loaded.origin(path)).rstrip())


@app.command("init")
def init_command(
    data: Annotated[str, typer.Option("--data", help="A data source: digits, fashion_mnist, ...")] = "digits",
    task: Annotated[
        Literal["classification", "regression"] | None, typer.Option("--task", help="The data's task if left out.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; stdout if left out.")
    ] = None,
) -> None:
    """Write a config to start from, with every setting explained."""
    from dlcli.config.render import render_explained
    from dlcli.config.schema import data_sources, explain_setting, starting_config

    sources = data_sources()
    if data not in sources:
        raise UsageError(f"there is no data source {data!r}", hint=f"one of {', '.join(sources)}")
    if task is not None and task not in sources[data].tasks:
        raise UsageError(f"{data} is data for {sources[data].tasks[0]}, not {task}", hint="leave --task out")
    config = starting_config(data, task or sources[data].tasks[0])

    explained = render_explained(config, explain_setting)
    text = f"# Train with: dlcli train -c {output or 'FILE'}\n{explained}"
    if output is None:
        print_result(text.rstrip())
        return
    try:
        with open(output, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {(error.strerror or str(error)).lower()}") from error
    print_result(f"wrote {output}; train with `dlcli train -c {output}`")


@app.command("validate")
def validate_command(
    configs: Annotated[list[str], typer.Argument(metavar="CONFIG", help="YAML files, or presets' names.")],
    json: JsonOption = False,
) -> None:
    """Check configs; all problems of all files at once. Exit 2 if there are any."""
    from dlcli.config.load import load_config

    problems: list[Problem] = []
    for name in configs:
        try:
            load_config(name)
        except ConfigError as error:
            problems += error.problems
            if not json:
                print_error(error)
        except UsageError as error:
            problems.append(Problem(name, None, None, "", error.message, error.hint))
            if not json:
                print_error(error)
        else:
            if not json:
                print_result(f"{name} is valid")
    if json:
        print_json({"problems": [asdict(problem) for problem in problems]})
    if problems:
        raise typer.Exit(UsageError.exit_code)
