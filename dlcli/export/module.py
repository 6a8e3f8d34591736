"""Trained model as one module: raw values in, predictions out."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dlcli.data.encoding import Encoder
from dlcli.prediction.predictor import Predictor


class RawModel(nn.Module):
    """Encoding, scaling, model and head in one module, from which the files of all formats are made.

    Args:
        predictor: Trained model with its preprocessing. The gradients of its parameters are disabled.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        info, scaling = predictor.info, predictor.input_scaling
        # As in training: tables are scaled in float64, all other data in float32.
        dtype = torch.float64 if info.columns else torch.float32
        self.encoder = Encoder(info.columns) if info.columns else None
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", scaling.shift.to(dtype))
        self.register_buffer("scale", scaling.scale.to(dtype))
        self.model = predictor.model
        self._head = predictor.task.predictions
        self.requires_grad_(False).eval()

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the parameters."""
        return cast("nn.Linear", self.model[0]).weight.dtype

    def forward(self, raw: Tensor) -> Tensor:
        """Return P(class | x), or values in the target's unit: float64, shape (N, out_features).

        Args:
            raw: For a table, float64 of shape (N, columns): numbers, and codes of categories as in `raw_values`.
                For pictures, uint8 of shape (N, channels, height, width). For other data, float64 of shape
                (N, in_features).
        """
        values = raw.flatten(1) if self.encoder is None else self.encoder(raw)
        scaled = (values.to(self.shift.dtype) - self.shift) / self.scale
        return self._head(self.model(scaled.to(self.dtype)))

    def trace(self, example: Tensor) -> ExportedProgram:
        """Return `forward` as an exported program for any number of examples.

        Args:
            example: One example.
        """
        pair = example.repeat_interleave(2, 0)  # torch would treat a size of 1 as constant
        return torch.export.export(self, (pair,), dynamic_shapes=({0: Dim("N")},))
