"""A checkpoint: weights (safetensors) with the whole configuration in the file's metadata.

Loading executes no code from the file. All names and shapes must fit the configuration.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from .config import DecoderConfig, ModelConfig, NetworkConfig
from .engine.network import OnnxNetwork
from .files import replacing
from .frontend import FrontEndConfig
from .releases import PREFIX, Releases
from .sizes import check

if TYPE_CHECKING:
    from .engines import Network
    from .network import HPPNet

DEFAULT = Path(__file__).parent / "weights" / "default.safetensors"
LICENCE = "CC BY-NC-SA 4.0: for non-commercial use only"  #: licence of DEFAULT, see weights/MODEL_CARD.md
FORMAT = "2"


class CheckpointError(Exception):
    """The checkpoint cannot be used. The message says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint file."""

    path: Path
    weights: dict[str, np.ndarray]
    config: ModelConfig
    about: dict[str, Any]
    releases: Releases | None = None  #: chooses the ends of notes with full context, if it has been fitted

    @property
    def name(self) -> str:
        """The file name and the identity of the weights."""
        return f"{self.path.name} {identity(self.path)}"

    def network(self, device: str = "cpu") -> Network:
        """The network for the engine of ``device`` (see ``engines``). Raises as ``torch_network``."""
        if device == "cpu":
            return OnnxNetwork(self.weights, self.config.network)
        return self.torch_network().to(device)

    def torch_network(self) -> HPPNet:
        """The network in PyTorch, in evaluation mode. Raises CheckpointError if PyTorch is missing."""
        try:
            from .network import filled
        except ModuleNotFoundError as error:
            raise CheckpointError(
                f"{self.path}: PyTorch, which runs the network on a GPU and trains it, is not installed: "
                "pip install 'hppnet[gpu]'"
            ) from error
        return filled(self.config.network, self.weights)


def save(
    path: Path,
    network: Network,
    config: ModelConfig,
    about: dict[str, Any] | None = None,
    releases: Releases | None = None,
) -> None:
    """Writes weights and configuration to ``path``, completely or not at all. Raises OSError.

    ``about`` (JSON) describes the origin of the weights: data, steps, figures.
    """
    weights = {**weights_of(network), **(releases.weights if releases is not None else {})}
    metadata = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(config)),
        "about": json.dumps(about or {}),
    }
    with replacing(path) as part:
        # save_file would make the file readable by its owner only
        part.write_bytes(to_bytes(weights, metadata))


def weights_of(network: Network) -> dict[str, np.ndarray]:
    """All tensors of a network, by their names."""
    if isinstance(network, OnnxNetwork):
        return dict(network.weights)
    tensors = network.state_dict().items()
    return {name: np.ascontiguousarray(tensor.detach().cpu().numpy()) for name, tensor in tensors}


def read(path: Path | None = None) -> Checkpoint:
    """Reads the checkpoint at ``path``, by default the shipped one, without PyTorch.

    Raises CheckpointError if the file is missing, unreadable, of another format, or its weights do not fit.
    """
    path = Path(path) if path is not None else DEFAULT
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint (.safetensors), found no such file")
    try:
        with safe_open(path, framework="np") as handle:
            metadata = handle.metadata() or {}
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file, could not read it ({error})") from error
    config = _config(path, metadata)
    own = {name: weights.pop(name) for name in list(weights) if name.startswith(PREFIX)}
    try:
        check(weights, config.network)
        releases = Releases.of(own) if own else None
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its weights do not fit its configuration: {error}") from error
    return Checkpoint(path, weights, config, _about(path, metadata), releases)


def load(path: Path | None = None) -> tuple[HPPNet, ModelConfig, dict[str, Any]]:
    """The network in PyTorch (evaluation mode), its configuration and its ``about`` entries.

    Raises CheckpointError as ``read`` does, and if PyTorch is missing.
    """
    found = read(path)
    return found.torch_network(), found.config, found.about


def _config(path: Path, metadata: dict[str, str]) -> ModelConfig:
    found = metadata.get("format", "none")
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: expected an hppnet checkpoint of format {FORMAT}, found format {found}; "
            f"{_advice(found)}"
        )
    try:
        raw = json.loads(metadata["config"])
        return ModelConfig(
            network=NetworkConfig(**{k: _tuples(v) for k, v in raw["network"].items()}),
            front_end=FrontEndConfig(**raw["front_end"]),
            decoder=DecoderConfig(**{"onset_soonest": raw["decoder"]["onset"], **raw["decoder"]}),
            note_ends=raw["note_ends"],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its configuration cannot be read ({error})") from error


def _about(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(json.loads(metadata.get("about", "{}")))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its about entries cannot be read ({error})") from error


def _advice(found: str) -> str:
    """Advice for a file of another format."""
    if found == "none":
        return "use a file that hppnet train wrote"
    if found == "1":
        return "it was made for an earlier version of hppnet: use the weights that come with this one"
    return "install the version of hppnet that wrote it, or a newer one"


def _tuples(value: Any) -> Any:
    """JSON has lists where settings have tuples."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def identity(path: Path | None = None) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over the tensors and the configuration of a checkpoint.

    The ``about`` entries and the order of the tensors do not count, so equal weights have equal identities.
    If the file is not a checkpoint, the digest covers all its bytes; loading reports the error. Raises
    OSError if the file cannot be read.
    """
    content = (path or DEFAULT).read_bytes()
    try:
        return _of_checkpoint(content)
    except (ValueError, KeyError, TypeError, AttributeError):
        return hashlib.sha256(content).hexdigest()[:12]


def _of_checkpoint(content: bytes) -> str:
    """The identity of a safetensors file: 8 bytes of header length, a JSON header, the tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    tensors = memoryview(content)[8 + length :]
    metadata = header.pop("__metadata__")
    digest = hashlib.sha256()
    config = json.dumps(json.loads(metadata["config"]), sort_keys=True)
    digest.update(f"{metadata['format']} {config}".encode())
    for name in sorted(header):
        start, stop = header[name]["data_offsets"]
        digest.update(f"{name} {header[name]['dtype']} {header[name]['shape']}".encode())
        digest.update(tensors[start:stop])
    return digest.hexdigest()[:12]
