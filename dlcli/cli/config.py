"""The `dlcli config` commands: list, show, init, validate, schema, explain and diff."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import path_parser, print_notes
from dlcli.cli.completion import complete_setting_name
from dlcli.cli.failures import print_error
from dlcli.cli.init import init_command, write_new
from dlcli.cli.options import FormatOption, JsonOption
from dlcli.cli.output import paragraph, print_json, print_json_text, print_listing, print_result
from dlcli.cli.tables import make_table
from dlcli.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from dlcli.config.load import LoadedConfig

app = typer.Typer(
    help="Inspect, create and validate configs.\n\nExample: dlcli config list\n\nExample: dlcli config show digits",
    no_args_is_help=True,
)


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List the presets with a one-line description each.

    Example: dlcli config list

    Example: dlcli config list --json
    """
    from dlcli.config.presets import preset_summary, presets

    summaries = {name: preset_summary(file.read_text(encoding="utf-8")) for name, file in presets().items()}
    print_listing("presets", summaries, json=json)


@app.command("show")
def show_command(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file or preset name.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Override settings from the config, e.g. optimizer.lr=0.5"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show every setting with its value and where the value comes from.

    Example: dlcli config show digits optimizer.lr=0.5

    Example: dlcli config show fashion_mnist --json
    """
    from dlcli.config.load import load_config
    from dlcli.config.render import render_yaml

    loaded = load_config(config, overrides or ())
    print_notes(loaded.notes)
    if json:
        print_json(loaded.config.model_dump())
    else:
        print_result(render_yaml(loaded.config, lambda section, field, path: loaded.origin(path)).rstrip())


app.command("init")(init_command)


@app.command("validate")
def validate_command(
    configs: Annotated[list[str], typer.Argument(metavar="CONFIG", help="YAML files or preset names.")],
    json: JsonOption = False,
    _format: FormatOption = "text",
) -> None:
    """Check configs and report all their problems at once. Exits with 2 if a config is invalid.

    Example: dlcli config validate mine.yaml

    Example: dlcli config validate digits moons
    """
    from dlcli.config.sweep.load import load_either

    errors: list[UsageError] = []
    problems: list[Problem] = []
    for name in configs:
        try:
            load_either(name)
        except UsageError as error:
            print_error(error)
            errors.append(error)
            if isinstance(error, ConfigError):
                problems += error.problems
            else:
                problems.append(Problem(name, None, None, "", error.message, error.hint))
        else:
            if not json:
                print_result(f"{name} is valid")
    if json:
        failure = UsageError(f"{len(errors)} configs are invalid") if len(errors) > 1 else next(iter(errors), None)
        print_json({"problems": [asdict(problem) for problem in problems]}, failure=failure)
    if errors:
        raise typer.Exit(UsageError.exit_code)


@app.command("schema")
def schema_command(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write; stdout by default.",
            parser=path_parser("--output"),
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of configs, for completion and validation in an editor.

    Example: dlcli config schema -o dlcli.schema.json

    Example: dlcli config schema
    """
    import json

    from dlcli.config.describe import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    if output is None:
        print_json_text(text)
    else:
        write_new(output, f"{text}\n")
        print_result(f"wrote {output}", kept=output)


@app.command("explain")
def explain_command(
    setting: Annotated[
        str,
        typer.Argument(
            metavar="SETTING",
            help="Dotted name of the setting, e.g. optimizer.momentum",
            autocompletion=complete_setting_name,
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Explain a setting: its meaning, default, allowed values and place in the lecture.

    Example: dlcli config explain optimizer.momentum

    Example: dlcli config explain lr
    """
    from dlcli.config.describe import explain

    entries = explain(setting)
    if json:
        print_json(dict(entries))
        return
    width = max(len(heading) for heading, _ in entries) + 2
    for heading, text in entries:
        print_result(paragraph(text, start=f"{heading:<{width}}"))


@app.command("diff")
def diff_command(
    first: Annotated[str, typer.Argument(metavar="A", help="First YAML file, preset or run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Second YAML file, preset or run.")],
    json: JsonOption = False,
) -> None:
    """Show the settings whose resolved values differ between two configs or runs.

    Example: dlcli config diff digits moons

    Example: dlcli config diff digits mine.yaml
    """
    from dlcli.config.render import flatten, render_value

    a, b = (flatten(_load_config_or_run(name).config) for name in (first, second))
    differing = {
        key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if repr(a.get(key)) != repr(b.get(key))
    }
    if json:
        print_json(
            {"differences": {key: {"a": value_a, "b": value_b} for key, (value_a, value_b) in differing.items()}}
        )
    elif not differing:
        print_result("no difference")
    else:
        rows = [[key, *("–" if key not in side else render_value(side[key]) for side in (a, b))] for key in differing]
        print_result(make_table(["setting", first, second], rows))


def _load_config_or_run(name: str) -> LoadedConfig:
    from dlcli.config.load import load_config
    from dlcli.config.paths import expand_path
    from dlcli.config.presets import presets

    if name in presets() or name.endswith((".yaml", ".yml")):
        return load_config(name)

    from dlcli.runs.find import find_run

    return load_config(find_run(expand_path(name)).resolved)
