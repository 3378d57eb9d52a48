"""The page as plain files for static hosts, and ``about.json``, which the page requests first."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from ...model.timebase import LATENCIES, latency_s
from ...model.transcriber import DEFAULT_LATENCY_MS
from .network_files import LOOK_AHEADS, network_files

PAGE = Path(__file__).parent / "page"
RUNTIME = Path(__file__).parent / "runtime"  #: onnxruntime-web; installed by ``make page``
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
#: Folder of piano recordings, in RUNTIME and in the page, which loads them when they are chosen.
SAMPLES = "samples"
#: Content security policy. ``index.html`` has the same; frame-ancestors is valid only in a header.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
NOTICES = ("LICENSE", "ThirdPartyNotices.txt")
SERVICE_WORKER = "service_worker.js"
NOT_KEPT = (SERVICE_WORKER, *(f"runtime/{name}" for name in NOTICES))  #: files not kept for offline use


class NoRuntime(Exception):
    """onnxruntime-web is not in this installation."""

    def __init__(self) -> None:
        super().__init__(
            "onnxruntime-web is missing from this installation, so no page can compute by itself: install a "
            "released wheel, or run make page in a clone (it needs npm)"
        )


def has_runtime() -> bool:
    """Whether the engine can run in the page."""
    return all((RUNTIME / name).is_file() for name in (*RUNTIME_FILES, *NOTICES))


def page_files(checkpoint: Path | None, version: str) -> dict[str, bytes]:
    """Returns paths relative to the page's folder, and contents. ``checkpoint`` None: the shipped one.

    Raises NoRuntime, and CheckpointError for a checkpoint that cannot run in a page.
    """
    if not has_runtime():
        raise NoRuntime
    network, samples = network_files(checkpoint), sample_files()
    files = {
        path.relative_to(PAGE).as_posix(): path.read_bytes() for path in PAGE.rglob("*") if path.is_file()
    }
    for name in (*RUNTIME_FILES, *NOTICES):
        files[f"runtime/{name}"] = (RUNTIME / name).read_bytes()
    files.update({f"network/{name}": content for name, content in network.items()})
    facts = json.loads(network["network.json"])
    told = about(["page"], "page", version, facts, offline=True, samples=bool(samples))
    files["about.json"] = json.dumps(told).encode()
    kept = sorted(set(files) - set(NOT_KEPT))
    digest = hashlib.sha256()
    for name in kept:
        digest.update(name.encode() + b"\0" + files[name])
    build = f"const BUILD = {json.dumps(digest.hexdigest()[:12])};\nconst FILES = {json.dumps(kept)};\n"
    files[SERVICE_WORKER] = build.encode() + files[SERVICE_WORKER]
    return {**files, **samples}


def sample_files() -> dict[str, bytes]:
    """Returns the piano recordings and their licence notice by path; empty if not installed."""
    folder = RUNTIME / SAMPLES
    return {f"{SAMPLES}/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.*"))}


def first_load_mb(files: dict[str, bytes]) -> float:
    """Compressed size in MB of the page's files, without the piano recordings, which load when chosen."""
    needed = [content for name, content in files.items() if not name.startswith(f"{SAMPLES}/")]
    return sum(len(gzip.compress(content, 9)) for content in needed) / 1e6


def about(
    engines: list[str],
    engine: str,
    version: str,
    network: dict[str, Any],
    *,
    offline: bool = False,
    samples: bool = False,
    token_required: bool = False,
) -> dict[str, Any]:
    """Returns about.json's content. ``engines``: "page", "server" or both; ``engine``: the first choice."""
    names = {frames: name for name, frames in LATENCIES.items()}
    return {
        "engines": engines,
        "engine": engine,
        "version": version,
        "checkpoint": network["checkpoint"],
        "licence": network["licence"],
        "latencies": [
            {"ms": round(1000 * latency_s(frames)), "name": names.get(frames, "")} for frames in LOOK_AHEADS
        ],
        "default_latency_ms": DEFAULT_LATENCY_MS,
        "token_required": token_required,
        "offline": offline,
        "samples": samples,
    }
