"""The state of a run: all that changes while training, saved and restored whole."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel

from ..model import checkpoint
from ..model.config import ModelConfig
from ..model.files import replacing
from ..model.network import HPPNet
from .losses import Balance
from .recipe import difference, digest_of, resolved
from .settings import TrainingSettings, read_weights, weights_of

NEEDED = {"network", "average", "optimiser", "step", "recipe"}


@dataclass
class TrainingRun:
    """The state that changes during training, and the recipe it must be resumed with."""

    network: HPPNet
    average: AveragedModel  #: weights averaged over steps, saved as a checkpoint
    optimiser: torch.optim.Optimizer
    recipe: dict[str, Any] = field(default_factory=dict)  #: all initial settings, by dotted name
    balance: Balance = field(default_factory=Balance)
    step: int = 0
    steps: int = 0  #: total of a run limited by minutes, once known; else 0
    best: float = -1.0  #: highest validation F1 so far, in percent
    scaler: dict[str, Any] = field(default_factory=dict)  #: the gradient scaler's state (fp16)

    @property
    def averaged(self) -> HPPNet:
        """The network with averaged weights."""
        return cast(HPPNet, self.average.module)

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "recipe": self.recipe,
            "step": self.step,
            "steps": self.steps,
            "balance": self.balance.means,
            "best": self.best,
            "scaler": self.scaler,
        }


def begin(
    settings: TrainingSettings, data: Mapping[str, str] | None = None
) -> tuple[TrainingRun, Callable[[], None]]:
    """The folder's saved run, or a new one, and a function that restores the optimiser.

    Call the function when the network is on its device, since the optimiser's state must be there too.
    ``data`` are digests by source. Raises ValueError for a saved run that cannot be read, or that was begun
    with other settings or data.
    """
    torch.manual_seed(settings.seed)
    network = HPPNet(settings.sizes)
    if settings.initialize_from:
        _take_over(network, weights_of(settings.initialize_from))
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=settings.schedule.learning_rate,
        weight_decay=settings.schedule.weight_decay,
    )
    recipe = _recipe(settings, data)
    run = TrainingRun(network, AveragedModel(network).requires_grad_(False), optimiser, recipe)
    state = check_saved(settings, data)
    if state is None:
        return run, lambda: None
    saved = Path(settings.folder) / "run.pt"
    try:
        network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
    except RuntimeError as error:
        raise ValueError(
            f"{saved}: its weights are of another network than this version's; "
            "choose another --folder to begin anew"
        ) from error
    run.step, run.steps, run.best = state["step"], state["steps"], state["best"]
    run.balance, run.scaler = Balance(state["balance"]), state["scaler"]
    return run, lambda: optimiser.load_state_dict(state["optimiser"])


def _recipe(settings: TrainingSettings, data: Mapping[str, str] | None) -> dict[str, Any]:
    return resolved(settings) | {f"data.{name}": digest for name, digest in (data or {}).items()}


def check_saved(settings: TrainingSettings, data: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """The state of the folder's saved run; None where there is none.

    Raises ValueError for one that cannot be read, or was begun with other settings or data.
    """
    saved = Path(settings.folder) / "run.pt"
    if not saved.exists():
        return None
    state = _read(saved)
    if differs := difference(state["recipe"], _recipe(settings, data)):
        raise ValueError(
            f"{saved}: this run was begun with other settings: {differs}; "
            "undo that to go on, or choose another --folder to begin anew"
        )
    return state


def config_of(settings: TrainingSettings, note_ends: str) -> ModelConfig:
    """The configuration saved with a run's weights, with the thresholds of ``initialize_from``, if given."""
    name = settings.initialize_from
    begun = checkpoint.load(weights_of(name))[1] if name else ModelConfig()
    return ModelConfig(settings.sizes, decoder=begun.decoder, note_ends=note_ends)


def _take_over(network: HPPNet, path: Path) -> None:
    """Loads the weights of a checkpoint. Raises ValueError where its sizes differ."""
    known = read_weights(path, "initialize_from").torch_network()
    sizes = vars(known.config)
    pairs = ((name, sizes.get(name), size) for name, size in vars(network.config).items())
    if differs := [f"{name} = {a} instead of {b}" for name, a, b in pairs if a != b and name != "name"]:
        raise ValueError(
            f"{path}: initialize_from expects a network of the recipe's sizes, got {', '.join(differs)}"
        )
    network.load_state_dict(known.state_dict())


def mix_with_initial(network: HPPNet, settings: TrainingSettings) -> None:
    """Makes the network the mean of itself and, counted ``initial_share``, the weights its run began with.

    So it forgets less of what the new data lack (Wortsman et al., "Robust fine-tuning of zero-shot models",
    CVPR 2022).
    """
    if share := settings.initial_share:
        known = read_weights(weights_of(settings.initialize_from), "initialize_from").torch_network()
        with torch.no_grad():
            for own, initial in zip(network.parameters(), known.parameters(), strict=True):
                own.lerp_(initial, share)


def _read(saved: Path) -> dict[str, Any]:
    try:
        state = torch.load(saved, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{saved}: expected a saved run, cannot be read; remove it to begin anew") from error
    if not isinstance(state, dict) or NEEDED - set(state):
        raise ValueError(
            f"{saved}: expected a saved run of this version, found something else; remove it to begin anew"
        )
    return state


def save(run: TrainingRun, settings: TrainingSettings, note_ends: str = "keys") -> None:
    """Writes the state of the run (run.pt) and the averaged weights (last.safetensors), each atomically."""
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "run.pt") as part, open(part, "wb") as handle:
        torch.save(run.state(), handle)
        handle.flush()
        os.fsync(handle.fileno())  # otherwise a power cut could leave an empty file under the new name
    save_weights(folder / "last.safetensors", run, settings, note_ends)


def save_weights(
    path: Path, run: TrainingRun, settings: TrainingSettings, note_ends: str, **about: object
) -> None:
    """Writes the averaged weights as a checkpoint, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, run.averaged, config_of(settings, note_ends), {**about_run(run, settings), **about})


def about_run(run: TrainingRun, settings: TrainingSettings) -> dict[str, object]:
    """The origin of a run's weights, stored in the checkpoint."""
    data = {name.removeprefix("data."): d for name, d in run.recipe.items() if name.startswith("data.")}
    return {
        "recipe": settings.text,
        "recipe_digest": digest_of(run.recipe),
        "data": data,
        "steps": run.step,
        "hours": round(settings.hours(run.step), 3),
    }
