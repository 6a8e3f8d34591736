"""Small untrained models with every kind of input, for tests of the export."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from dlcli.config.load import load_config
from dlcli.data.encoding import ColumnInfo
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.model import ACTIVATIONS, build_mlp
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.identity import identifying_settings
from dlcli.training.arithmetic import Arithmetic

NUMBERS = tuple(ColumnInfo(f"x{i}", "number", fill=float(10**i)) for i in range(3))
COLUMNS = (
    ColumnInfo("mass", "number", fill=40.5),
    ColumnInfo("wild", "boolean", fill=0.4),
    ColumnInfo("island", "category", categories=("Biscoe", "Dream"), has_missing=True),
    ColumnInfo("label", "category", categories=("a", "b", "ß"), has_other=True),
    ColumnInfo("probabilities", "category", categories=("f", "m")),
)
INPUTS: dict[str, dict[str, Any]] = {
    "numbers": {"columns": NUMBERS},
    "columns": {"columns": COLUMNS},
    "grey pictures": {"image_shape": (1, 3, 4)},
    "colour pictures": {"image_shape": (3, 3, 2)},
}
HEADS = ("softmax", "l1", "regression 1", "regression 3")
GRID = list(itertools.product(ACTIVATIONS, HEADS, INPUTS))


def make_checkpoint(
    activation: str = "sigmoid", head: str = "softmax", inputs: str = "columns", *extra: str, **info: Any
) -> Checkpoint:
    """Return the checkpoint of a model with random parameters and scaling.

    Args:
        activation: Activation of the model.
        head: One of `HEADS`.
        inputs: One of `INPUTS`; "" if `info` describes them.
        extra: More settings.
        info: Fields of `DataInfo` that replace those of the other arguments.
    """
    draw = torch.Generator().manual_seed(len(activation) + 7 * len(head))
    is_regression = head.startswith("regression")
    outputs = int(head[-1]) if is_regression else 3
    settings = [f"task={'regression' if is_regression else 'classification'}", f"model.activation={activation}"]
    settings += ["model.hidden_sizes=[5, 4]", *([] if is_regression else [f"model.head={head}"]), *extra]
    source = "synthetic_regression" if is_regression else "synthetic_classification"
    config = load_config({"data": {"name": source}}, settings).config
    fields: dict[str, Any] = {
        "class_names": () if is_regression else ("b", "a", "ç\n"),
        **INPUTS.get(inputs, {}),
        **info,
    }
    columns = fields.get("columns", ())
    features = tuple(feature for column in columns for feature in column.features)
    width = len(features) or int(np.prod(fields.get("image_shape") or fields.pop("in_features")))
    fields |= {"name": "csv", "task": config.task, "in_features": width, "out_features": outputs}
    info_ = DataInfo(**{"feature_names": features, "target_name": "species", **fields})
    dtype = torch.float64 if config.training.precision == "float64" else torch.float32
    model = build_mlp(width, outputs, config.model, seed=3, dtype=dtype)
    parameters = {
        name: torch.rand(value.shape, generator=draw).to(value.dtype) + 0.5
        if "running" in name
        else 0.7 * value + 0.1 * torch.randn(value.shape, generator=draw).to(value.dtype)
        for name, value in model.state_dict().items()
    }
    if head == "l1":
        parameters[[*parameters][-1]] += 1  # where all outputs are near 0, |z| / Σ |z| multiplies the rounding of z
    return Checkpoint(
        parameters=parameters,
        input_scaling=_scaling(width if columns else 1, columns, draw),
        target_scaling=Scaling(1e3 * _double(outputs, draw), 50 * _double(outputs, draw).abs() + 1),
        epoch=2,
        step=8,
        monitor="val/loss",
        val={},
        arithmetic=Arithmetic("eager", 1, "torch"),
        info=info_,
        settings=identifying_settings(config),
    )


def _double(n: int, draw: torch.Generator) -> torch.Tensor:
    return torch.randn(n, generator=draw, dtype=torch.float64)


def _scaling(width: int, columns: tuple[ColumnInfo, ...], draw: torch.Generator) -> Scaling:
    """Return the scaling of numbers about their fill values, and of pixels about 100; categories stay 0 and 1."""
    if not columns:
        return Scaling(torch.full((1,), 100.0).double(), torch.full((1,), 60.0).double())
    shift, scale = [], []
    for column in columns:
        numeric = column.kind != "category"
        shift += [column.fill if numeric else 0.0] * len(column.features)
        scale += [column.fill / 4 if numeric else 1.0] * len(column.features)
    return Scaling(torch.tensor(shift).double(), torch.tensor(scale).double())
