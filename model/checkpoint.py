"""A checkpoint: weights (safetensors) with the whole configuration in the file's metadata.

Nothing in it is executed on loading, and every name and shape must fit.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from .config import DecoderConfig, ModelConfig, NetworkConfig
from .former_network import FormerConfig, FormerNetwork, fill
from .frontend import FrontEndConfig
from .network import HPPNet
from .shipped import DEFAULT

FORMAT = "2"
FORMER_FORMAT = "1"  #: removed by the swap of weights, with ``former_network``


class CheckpointError(Exception):
    """A checkpoint that cannot be used: what was expected, what came, what to do."""


def save(path: Path, network: HPPNet, config: ModelConfig, about: dict[str, Any] | None = None) -> None:
    """Writes weights and configuration to ``path``, whole or not at all.

    ``about`` (JSON) says where the weights come from: data, steps, figures.
    """
    metadata = {
        "format": format_of(network),
        "config": json.dumps(dataclasses.asdict(config)),
        "about": json.dumps(about or {}),
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(
            to_bytes(weights, metadata)
        )  # save_file would make it readable by its owner only
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def format_of(network: HPPNet) -> str:
    """The format that a network is saved in."""
    return FORMER_FORMAT if isinstance(network, FormerNetwork) else FORMAT


def load(path: Path | None = None) -> tuple[HPPNet, ModelConfig, dict[str, Any]]:
    """The network in evaluation mode, its configuration and what is said about it.

    Raises CheckpointError for anything that is not a whole checkpoint of this format.
    """
    path = Path(path) if path is not None else DEFAULT
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint (.safetensors), found no such file")
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file, could not read it ({error})") from error
    config = _config(path, metadata)
    try:
        network = _network(config.network, weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: its weights do not fit its configuration: {reason}") from error
    return network.eval().requires_grad_(False), config, json.loads(metadata.get("about", "{}"))


def _network(config: NetworkConfig, weights: dict[str, Tensor]) -> HPPNet:
    if isinstance(config, FormerConfig):
        former = FormerNetwork(config)
        fill(former, weights)
        return former
    network = HPPNet(config)
    network.load_state_dict(weights)
    return network


def _config(path: Path, metadata: dict[str, str]) -> ModelConfig:
    found = metadata.get("format", "none")
    if found not in (FORMER_FORMAT, FORMAT):
        raise CheckpointError(
            f"{path}: expected an hppnet checkpoint of format {FORMAT}, found format {found}; "
            f"{_advice(found)}"
        )
    sizes = FormerConfig if found == FORMER_FORMAT else NetworkConfig
    try:
        raw = json.loads(metadata["config"])
        return ModelConfig(
            network=sizes(**{k: _tuples(v) for k, v in raw["network"].items()}),
            front_end=FrontEndConfig(**raw["front_end"]),
            decoder=DecoderConfig(**raw["decoder"]),
            note_ends=raw["note_ends"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its configuration cannot be read ({error})") from error


def _advice(found: str) -> str:
    """What to do about a file of another format."""
    if found == "none":
        return "a checkpoint is what hppnet train writes"
    return "install the version of hppnet that wrote it, or a newer one"


def _tuples(value: Any) -> Any:
    """JSON knows lists only; settings are tuples."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
