"""The state of a run: all that changes while training, saved and restored whole."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..model import checkpoint
from ..model.config import ModelConfig
from ..model.network import HPPNet
from ..model.shipped import DEFAULT
from .balance import Balance
from .settings import Settings

SHIPPED = "shipped"  #: in ``begin`` and ``teacher``: the weights that come with the package


@dataclass
class Run:
    """All that changes while training."""

    network: HPPNet
    average: HPPNet  #: exponential moving average of the weights: what is shipped
    optimiser: torch.optim.Optimizer
    balance: Balance = field(default_factory=Balance)
    step: int = 0
    steps: int = 0  #: of a run that was given minutes, once they are known
    best: float = -1.0  #: highest validation F1 so far, in percent
    scaler: dict[str, Any] = field(default_factory=dict)  #: the gradient scaler's state (fp16)

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "steps": self.steps,
            "balance": self.balance.means,
            "best": self.best,
            "scaler": self.scaler,
            "sizes": _sizes(self.network),
        }


def _sizes(network: HPPNet) -> str:
    return json.dumps(dataclasses.asdict(network.config))


def begin(settings: Settings) -> tuple[Run, Callable[[], None]]:
    """A fresh run, or the saved one where the folder holds one.

    The function that comes with it restores the optimiser; call it when the network is on its device,
    where the optimiser's state has to go too. Raises ValueError for a saved run that does not fit.
    """
    torch.manual_seed(settings.seed)
    network = HPPNet(settings.sizes)
    if settings.begin:
        _take_over(network, weights_of(settings.begin))
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=settings.schedule.learning_rate,
        weight_decay=settings.schedule.weight_decay,
    )
    run = Run(network, copy.deepcopy(network).requires_grad_(False), optimiser)
    saved = Path(settings.folder) / "run.pt"
    if not saved.exists():
        return run, lambda: None
    state = _read(saved)
    try:
        if state.get("sizes", _sizes(network)) != _sizes(network):
            raise RuntimeError("other sizes")
        network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
    except (RuntimeError, KeyError) as error:
        raise ValueError(
            f'{saved}: expected the network "{settings.sizes.name}", found one of other sizes; '
            "choose another folder, or the config this run was begun with"
        ) from error
    run.step = state["step"]
    run.steps = state.get("steps", 0)
    # What earlier versions did not save begins anew.
    run.balance = Balance(state.get("balance"))
    run.best = state.get("best", -1.0)
    run.scaler = state.get("scaler", {})
    return run, lambda: optimiser.load_state_dict(state["optimiser"])


def weights_of(name: str) -> Path:
    """The checkpoint that ``begin`` or ``teacher`` names."""
    return DEFAULT if name == SHIPPED else Path(name)


def network_of(path: Path, setting: str) -> HPPNet:
    """The network of a checkpoint. Raises ValueError, naming the setting, for what is none."""
    try:
        return checkpoint.load(path)[0]
    except checkpoint.CheckpointError as error:
        raise ValueError(f"{error}; {setting} expects a checkpoint") from error


def config_of(settings: Settings, note_ends: str) -> ModelConfig:
    """What a run's weights are saved with: the thresholds of what it began with, until others are chosen."""
    begun = checkpoint.load(weights_of(settings.begin))[1] if settings.begin else ModelConfig()
    return ModelConfig(settings.sizes, decoder=begun.decoder, note_ends=note_ends)


def _take_over(network: HPPNet, path: Path) -> None:
    """The weights of a checkpoint of these sizes. Raises ValueError for others."""
    known = network_of(path, "begin")
    pairs = ((name, vars(known.config)[name], size) for name, size in vars(network.config).items())
    if differs := [f"its {name} is {a}, here {b}" for name, a, b in pairs if a != b and name != "name"]:
        raise ValueError(f"{path}: {', '.join(differs)}; begin expects the sizes of [network]")
    network.load_state_dict(known.state_dict())


def _read(saved: Path) -> dict[str, Any]:
    try:
        state = torch.load(saved, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{saved}: expected a saved run, cannot be read; remove it to begin anew") from error
    if not isinstance(state, dict) or not {"network", "average", "optimiser", "step"} <= set(state):
        raise ValueError(f"{saved}: expected a saved run, found something else; remove it to begin anew")
    return state


def save(run: Run, settings: Settings, note_ends: str = "keys") -> None:
    """Writes what resuming needs (run.pt) and the averaged weights (last.safetensors), each atomically."""
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".run.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as handle:
            torch.save(run.state(), handle)
            handle.flush()
            os.fsync(handle.fileno())  # else a power cut could leave an empty file under the new name
        os.replace(temporary, folder / "run.pt")
    finally:
        temporary.unlink(missing_ok=True)
    save_weights(folder / "last.safetensors", run, settings, note_ends)


def save_weights(path: Path, run: Run, settings: Settings, note_ends: str, **about: object) -> None:
    """Writes the averaged weights as a checkpoint, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"step": run.step, "batch": settings.batch, "frames": settings.frames, **about}
    checkpoint.save(path, run.average, config_of(settings, note_ends), told)
