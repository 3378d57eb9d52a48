"""What many tests share: transcribers, one core for PyTorch, and what a test may need of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from click.testing import Result
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.checkpoint import load, save
from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.network import HPPNet
from hppnet.model.transcriber import Transcriber
from hppnet.training import kernels

from .needs import require
from .rigs.jack_server import JackServer
from .sounds import TONE_WEIGHTS

# A busy machine is no fault: neither an example nor drawing one has a time to keep. Fixtures that a test
# shares among its examples are only read.
settings.register_profile(
    "hppnet",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("hppnet")

#: These use sound devices, ports or a browser in real time: one process runs them one after the other.
DEVICES = ("test_live_command.py", "test_live_jack.py", "test_web_browser.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the tests, a file's go to one: they share what they set up."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "devices" if Path(file).name in DEVICES else file

    return ByFile(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        require(*mark.args)


@pytest.fixture(scope="session", autouse=True)
def no_build() -> Iterator[Callable[[], object]]:
    """Training runs without its C++ kernels, which take a minute to build; what builds them."""
    build = kernels.compiled
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "compiled", lambda: None)
        yield build


@pytest.fixture(autouse=True)
def built(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, no_build: Callable[[], object]
) -> None:
    """A test that needs a compiler has the kernels."""
    if any("compiler" in mark.args for mark in request.node.iter_markers("needs")):
        monkeypatch.setattr(kernels, "compiled", no_build)


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    """It detects the notes of ``sounds.piano_like``, and any machine keeps up with it."""
    return Transcriber.load(TONE_WEIGHTS, precision="fp32", device="cpu")


@pytest.fixture(scope="session")
def in_torch() -> Transcriber:
    """As ``transcriber``, computed by PyTorch."""
    network, config, about = load(TONE_WEIGHTS)
    return Transcriber(network, config, about=about)


@pytest.fixture(scope="session")
def shipped() -> Transcriber:
    """The shipped checkpoint in fp32: for what depends on how well it detects."""
    return Transcriber.load(precision="fp32", device="cpu")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint so small that nothing takes long; it has learned nothing."""
    torch.manual_seed(0)
    config = ModelConfig(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2))
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save(path, HPPNet(config.network), config)
    return path


@pytest.fixture(scope="module")
def jack_server() -> Iterator[JackServer]:
    """48 000 Hz, blocks of 256 samples; nobody else is on it."""
    require("jack")
    with JackServer(48_000, 256) as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, in which it runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Transcribe(Protocol):
    """``hppnet transcribe`` with these arguments and standard input, and what came of it."""

    def __call__(self, *arguments: str, given: bytes | None = None) -> Result: ...


@pytest.fixture
def run(small: Path) -> Transcribe:
    """In this process, with the small checkpoint."""

    def run(*arguments: str, given: bytes | None = None) -> Result:
        command = ["transcribe", "--checkpoint", str(small), "--jobs", "1", *arguments]
        return CliRunner().invoke(app, command, input=given)

    return run
