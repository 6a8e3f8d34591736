"""Experiments: the data, model, task and device that a config describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config, InitFromRun
from dlcli.data.preprocessing import Preprocessing
from dlcli.data.sources import load_raw, load_splits
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.errors import UsageError, one_line
from dlcli.model import LayerMatch, build_mlp, take_parameters
from dlcli.task import Task, build_task
from dlcli.training.arithmetic import Arithmetic, choose_arithmetic
from dlcli.training.batches import draw_order, examples_per_batch
from dlcli.training.device import check_memory, convert_memory_errors, dtype_for, pick_device, place_splits
from dlcli.training.world import World


@dataclass(frozen=True)
class Parent:
    """Trained model that training starts from, see `InitFromRun`.

    Attributes:
        parameters: Parameters of the model by their names in the state dict.
        preprocessing: Preprocessing of the model, with the name of the run that trained it.
    """

    parameters: Mapping[str, Tensor]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Experiment:
    """Data, model and task of a config on its device, and the arithmetic of its training.

    `parent` is the trained model that training starts from, if any. `world` describes the processes that train `model`.
    """

    config: Config
    splits: Splits
    model: nn.Sequential
    task: Task
    device: torch.device
    arithmetic: Arithmetic
    parent: Parent | None = None
    world: World = field(default_factory=World)


def build_experiment(
    config: Config,
    *,
    notify: Callable[[str], None] | None = None,
    splits: Splits | None = None,
    parent: Parent | None = None,
    world: World | None = None,
) -> Experiment:
    """Load the data and build the model that `config` describes.

    In the config of the result, the layout of the data files and the default batch size and number of epochs are set,
    because they may depend on the data.

    Args:
        config: Validated config.
        notify: Called with a one-line message before a download; None disables downloads.
        splits: Data of `config` if already loaded; None loads it.
        parent: Trained model to start from if `model.init` names a run.
        world: Processes that train the model together; None means this one alone.

    Raises:
        DataError: If the data is missing, damaged or unsuitable.
        DeviceError: If the device is missing, or its memory is too small.
        UsageError: If the model normalizes over batches and a batch has a single example, no layer of the parent fits,
            or `model.init` names a run and there is no parent.
    """
    world = World(shards=config.training.shards) if world is None else world
    inherited = _inherited_preprocessing(config, parent)
    device = pick_device(config.training.device, world.local_rank)
    dtype = dtype_for(config.training.precision, device)
    splits = load_splits(config, notify=notify, inherited=inherited) if splits is None else splits
    config, info = config.with_layout(splits.layout).with_usual_lengths(len(splits.train)), splits.info
    check_memory(config, splits, device, dtype)
    _check_batches(config, len(splits.train))
    with convert_memory_errors(config):
        model, notes = build_model(config, info, dtype, parent)
        model, splits = model.to(device), replace(splits, notes=(*splits.notes, *notes))
        task = build_task(config, info, splits.target_scaling, splits.train.targets)
        arithmetic = choose_arithmetic(config, model, len(splits.train), world)
        return Experiment(config, place_splits(splits, device, dtype), model, task, device, arithmetic, parent, world)


def build_experiments(
    config: Config,
    seeds: Sequence[int],
    *,
    notify: Callable[[str], None] | None = None,
    parent: Parent | None = None,
) -> list[Experiment]:
    """Build the experiment of a config for each of several seeds; see `build_experiment`.

    The data is read once.

    Raises:
        UsageError: If default settings depend on the number of training examples, which differs between the seeds.
    """
    raw, inherited = load_raw(config, notify), _inherited_preprocessing(config, parent)
    experiments = []
    for seed in seeds:
        of_seed = config.model_copy(update={"seed": seed})
        splits = load_splits(of_seed, notify=notify, inherited=inherited, raw=raw)
        experiments.append(build_experiment(of_seed, splits=splits, parent=parent))
    _check_alike(experiments)
    return experiments


def _check_alike(experiments: Sequence[Experiment]) -> None:
    """Check that all seeds have the same number of epochs and the same batch size.

    Raises:
        UsageError: If one of them differs.
    """
    first, *others = (experiment.config for experiment in experiments)
    for config in others:
        for name in ("epochs", "batch_size"):
            values = [getattr(each.training, name) for each in (first, config)]
            if values[0] != values[1]:
                message = (
                    f"the default training.{name} depends on the number of training examples, and is {values[0]} for "
                    f"seed {first.seed} and {values[1]} for seed {config.seed}"
                )
                raise UsageError(message, hint=f"write it like `training.{name}={values[0]}`")


def _inherited_preprocessing(config: Config, parent: Parent | None) -> Preprocessing | None:
    """Return the preprocessing to keep from the parent; None if it is fitted on the training examples.

    Raises:
        UsageError: If `model.init` names a run and there is no parent.
    """
    init = config.model.init
    if not isinstance(init, InitFromRun):
        return None
    if parent is None:
        message = "model.init names a run, and only the training of a run can start from another"
        raise UsageError(message, hint="choose initial parameters, such as `model.init=default`")
    return parent.preprocessing if init.preprocessing == "keep" else None


def build_model(
    config: Config, info: DataInfo, dtype: torch.dtype, parent: Parent | None
) -> tuple[nn.Sequential, list[str]]:
    """Return the model that training starts with, on the CPU, and notes on the layers that come from the parent.

    Raises:
        UsageError: If no layer of the parent fits.
    """
    model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=dtype)
    if parent is None:
        return model, []
    theirs, matches = parent.preprocessing, take_parameters(model, parent.parameters)
    taken = sum(match.is_taken for match in matches)
    if not taken:
        message = f"no layer of {theirs.run} fits: {_describe_differences(matches, '')}"
        hint = "use its model.hidden_sizes, or choose initial parameters with `model.init=default`"
        raise UsageError(message, hint=hint)
    new = f"; {_describe_differences(matches, ' is new')}" if taken < len(matches) else ""
    notes = [f"{taken} of {len(matches)} layers from {theirs.run}{new}"]
    for match, kind in ((matches[0], "feature_names"), (matches[-1], "class_names")):
        names = getattr(theirs.info, kind)
        if match.is_taken and names != getattr(info, kind):
            layer, noun = ("first", "features") if kind == "feature_names" else ("last", "classes")
            notes.append(f"the {layer} layer was trained for other {noun}: {_shortened(names)}")
    return model, notes


def _describe_differences(matches: Sequence[LayerMatch], verb: str) -> str:
    """Return the layers whose shapes do not agree: `the last is new: 10 outputs instead of 3`."""
    names = [*(f"layer {number}" for number in range(1, len(matches))), "the last"]
    pairs = zip(names, matches, strict=True)
    return "; ".join(f"{name}{verb}: {match.difference}" for name, match in pairs if not match.is_taken)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(map(one_line, names[:5])) + (" …" if len(names) > 5 else "") if names else "pixels"


def _check_batches(config: Config, n: int) -> None:
    """Check that no batch has a single example if the model normalizes over batches.

    Raises:
        UsageError: If a batch has a single example; the hint is the next larger batch size without such a batch.
    """
    if not config.model.batch_norm or not config.model.hidden_sizes:
        return
    size = examples_per_batch(n, config.training.batch_size)
    if n > 1 and n % size != 1:
        return
    suitable = next((larger for larger in range(size + 1, n) if n % larger != 1), "full")
    raise UsageError(
        f"model.batch_norm needs at least 2 examples in a batch, and the last of {n:,} in batches of {size:,} is alone",
        hint=f"write it like `training.batch_size={suitable}`",
    )


def build_float32_cpu_experiment(config: Config) -> Experiment:
    """Build the experiment on the CPU in float32, which every machine supports, for later conversion to float64."""
    training = config.training.model_copy(update={"device": "cpu", "precision": "float32"})
    return build_experiment(config.model_copy(update={"training": training}))


def first_batch(experiment: Experiment, n: int) -> Split:
    """Return the first n training examples in the order of the first epoch."""
    train = experiment.splits.train
    return train.select(draw_order(len(train), experiment.config.seed, epoch=1)[:n])
