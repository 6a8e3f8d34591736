"""Studies that the user defines: they vary any setting of any config."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence

from dlcli.config.files import Source, read_source
from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.paths import expand_path
from dlcli.config.render import describe_setting, flatten, name_value
from dlcli.config.schema import Config
from dlcli.errors import UsageError
from dlcli.lecture.studies.answers import answer_ends
from dlcli.lecture.studies.catalogue import find_study
from dlcli.lecture.studies.leaders import is_all_at_chance, leaders
from dlcli.lecture.studies.results import StudyResults
from dlcli.lecture.studies.study import GAP, BaseConfig, Panel, Study, Variant, affects_time
from dlcli.lecture.studies.vary_options import EXAMPLE, as_number, read_options
from dlcli.text import join

MAX_VARIANTS = 12  # more curves cannot be told apart in one figure
# Learning rates that the study `learning-rate` tries with a user's config, in multiples of the config's rate.
_LR_FACTORS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
_BEYOND = 10.0  # ratio of an added learning rate to the end of the range
MAX_ADDED = 2  # maximum number of learning rates that the study adds


def choose_study(
    name: str | None,
    settings: Sequence[str],
    *,
    config: str | os.PathLike[str] | None,
    vary: Sequence[str],
    data: str | None = None,
) -> Study:
    """Return a study of the catalogue, with the user's config if there is one, or the study that varies settings.

    Raises:
        UsageError: If the study does not exist, or the arguments contradict each other.
        ConfigError: If the config is invalid.
    """
    if name is not None and vary:
        raise UsageError(
            f"the study {name} has its own variants; --vary defines others", hint="leave out the name or --vary"
        )
    if data is not None and (config is not None or vary):
        raise UsageError(
            "--data cannot be used with a config or --vary: the config names the data", hint="remove `--data`"
        )
    if name is not None:
        return find_study(name) if config is None else use_config(name, _read_config(config), settings)
    if not vary:
        raise UsageError(
            "a study needs a name or --vary", hint=f"list the studies with `dlcli study`, or add {EXAMPLE}"
        )
    if config is None:
        raise UsageError("--vary needs a config to start from", hint="add `-c digits`, or your own config")
    return vary_settings(vary, _read_config(config), settings)


def _read_config(config: str | os.PathLike[str]) -> Source:
    """Read a config once for all variants, because standard input can be read only once."""
    return read_source(expand_path(config, "the config path") if isinstance(config, str) else os.fspath(config))


def vary_settings(vary: Sequence[str], config: Source, settings: Sequence[str] = ()) -> Study:
    """Return the study that varies settings of a config; several settings are combined into a grid.

    Args:
        vary: Settings with their values, such as `model.activation=sigmoid,relu`.
        config: Config that all variants start from. The study does not include its values of the varied settings.
        settings: Overrides `key=value` for all variants.

    Raises:
        UsageError: If the values cannot be read, or cannot be compared in one study.
        ConfigError: If the config is invalid.
    """
    values = read_options(vary)
    loaded = load_config(config, settings)
    combinations = list(itertools.product(*([(key, text) for text in texts] for key, texts in values.items())))
    if len(combinations) > MAX_VARIANTS:
        raise UsageError(
            f"a study compares at most {MAX_VARIANTS} variants in one figure. Got {len(combinations)}",
            hint="vary fewer values, or one setting at a time",
        )
    variants = tuple(_make_variant(config, settings, combination) for combination in combinations)
    names = [key.rpartition(".")[2] if key.rpartition(".")[2] != "name" else key.split(".")[0] for key in values]
    return Study(
        name="-".join([loaded.config.name, *names]),
        question=f"What is the effect of {join(values)} on {loaded.config.name}?",
        lecture="",
        base_configs=_own_config(config, loaded),
        variants=variants,
        reference=variants[0].label,
        answer=answer_ends,
        panel=_choose_panel(values, variants),
        grid=_grid(values, variants),
        own=_find_own(loaded.config, variants, config, settings),
        compares_times=any(map(affects_time, values)),
    )


def _find_own(own: Config, variants: Sequence[Variant], config: Source, settings: Sequence[str]) -> str:
    """Return the label of the variant that equals the user's config; "" if none does."""
    configs = {variant.label: load_config(config, [*settings, *variant.settings]).config for variant in variants}
    return next((label for label, candidate in configs.items() if flatten(candidate) == flatten(own)), "")


def _make_variant(config: Source, settings: Sequence[str], combination: Sequence[tuple[str, str]]) -> Variant:
    """Return the variant with some settings, given as pairs of key and text.

    Raises:
        ConfigError: If the config of the variant is invalid.
    """
    overrides = tuple(f"{key}={text}" for key, text in combination)
    resolved = flatten(load_config(config, [*settings, *overrides]).config)
    pairs = [(key, resolved.get(key, text)) for key, text in combination]  # a section has no single value
    return Variant(
        label=" + ".join(describe_setting(key, value) for key, value in pairs),
        settings=overrides,
        value=as_number(combination[0][1]) if len(combination) == 1 else None,
        short=GAP.join(name_value(value) for _, value in pairs) if len(pairs) > 1 else "",
    )


def use_config(name: str, config: Source, settings: Sequence[str] = ()) -> Study:
    """Return a study of the catalogue with the user's config in place of the preset and its settings.

    The study `learning-rate` then varies the learning rate around the config's rate.

    Raises:
        UsageError: If the study does not exist or needs its own config.
        ConfigError: If the config is invalid.
    """
    study = find_study(name)
    if study.curve == "distance":
        raise UsageError(f"{name} needs its own config: a linear model", hint=f"run `dlcli study {name}`")
    loaded = load_config(config, settings)
    own = dataclasses.replace(study, base_configs=_own_config(config, loaded))
    if name != "learning-rate":
        return own
    variants = tuple(_vary_lr(factor * loaded.config.optimizer.lr) for factor in _LR_FACTORS)
    label = variants[_LR_FACTORS.index(1.0)].label
    return dataclasses.replace(own, variants=variants, reference=label, own=label)


def _vary_lr(lr: float, *, is_added: bool = False) -> Variant:
    """Return the variant with a learning rate, rounded to two digits."""
    lr = float(f"{lr:.2g}")
    return Variant(f"α={lr:g}", (f"optimizer.lr={lr!r}",), lr, is_added=is_added)


def find_rate_beyond(results: StudyResults) -> Variant | None:
    """Return the learning rate to add if the best one of a user's config is an end of the range; else None."""
    study, leading = results.study, leaders(results)
    if study.name != "learning-rate" or not study.own or not leading:
        return None
    values = {variant.label: variant.value or 0.0 for variant in study.variants}
    best = max(values.values()) if is_all_at_chance(results) else values[leading[0].label]
    if best == max(values.values()):
        return _vary_lr(best * _BEYOND, is_added=True)
    return _vary_lr(best / _BEYOND, is_added=True) if best == min(values.values()) else None


def _own_config(config: Source, loaded: LoadedConfig) -> Mapping[str, BaseConfig]:
    """Return the config as the base of all variants, with the same number of epochs for all.

    The default number of epochs depends on the batch size and the number of examples, which a study may vary.
    """
    epochs = f"training.epochs={loaded.config.training.epochs}"
    return {loaded.config.data.name: BaseConfig(config, (epochs,), level=None)}


def _choose_panel(values: Mapping[str, Sequence[str]], variants: Sequence[Variant]) -> Panel:
    """Return a grid for two settings, a curve over numbers, and single seeds for everything else."""
    if len(values) == 2:
        return "grid"
    return "settings" if all(variant.value is not None for variant in variants) else "seeds"


def _grid(values: Mapping[str, Sequence[str]], variants: Sequence[Variant]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values of the rows and columns; empty unless there are two settings."""
    if len(values) != 2:
        return (), ()
    rows, columns = zip(*(variant.short.split(GAP) for variant in variants), strict=True)
    n = len(list(values.values())[1])
    return rows[::n], columns[:n]
