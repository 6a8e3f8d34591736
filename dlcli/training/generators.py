"""Random generators that dropout draws from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.training.batches import derive_seed

if TYPE_CHECKING:
    from dlcli.training.isolation import RunSettings


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the generators used by dropout on `device`.

    torch.manual_seed does the same but takes 0.1 to 0.3 ms, nearly as long as an epoch of a tiny model.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators used by dropout on `device`."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the states returned by `generator_states`; a generator without a state is left unchanged."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


class DropoutGenerators:
    """Random generators for the dropout of one training.

    Args:
        seed: Seed of the config.
        settings: Torch settings of the training, which hold the states of torch's generators between its computations.
        device: Device to compute on.
        own: Generator of this training alone, on the CPU; None means torch's default generators.
    """

    def __init__(
        self, seed: int, settings: RunSettings, device: torch.device, own: torch.Generator | None = None
    ) -> None:
        self._seed, self._settings, self._device, self._own = seed, settings, device, own

    def seed(self, epoch: int) -> None:
        """Seed the generators for an epoch, counted from 1."""
        seed = derive_seed(self._seed, "dropout", epoch)
        if self._own is not None:
            self._own.manual_seed(seed)
        else:
            seed_generators(self._device, seed)

    def states(self) -> dict[str, Tensor]:
        """Return the states of the generators, for `TrainingState`."""
        return dict(self._settings.generators) if self._own is None else {"cpu": self._own.get_state()}

    def restore(self, states: Mapping[str, Tensor]) -> None:
        """Restore the states returned by `states`."""
        if self._own is not None:
            self._own.set_state(states["cpu"])
        else:
            restore_generators(states, self._device)
