"""What stands beside the code for those who install, package and cite it."""

from __future__ import annotations

import re
from pathlib import Path

from .needs import module

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_every_folder_with_code_and_none_of_the_tests() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^packages = \[\n(.*?)^\]", text, flags=re.MULTILINE | re.DOTALL)
    folders = dict(re.findall(r'^"(hppnet[\w.]*)" = "([\w/]+)"$', text, flags=re.MULTILINE))
    assert set(re.findall(r'"([\w.]+)"', listed)) == set(folders)
    tree = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in ("hppnet", "model", "offline", "realtime", "training")
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts
    }
    assert set(folders.values()) == tree
    assert all((ROOT / folder / "__init__.py").is_file() for folder in tree)


def test_the_plain_install_has_no_pytorch() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (plain,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, flags=re.MULTILINE | re.DOTALL)
    names = set(re.findall(r'"([a-z_]+)>=', plain))
    assert names == {"mido", "numpy", "onnxruntime", "rich", "safetensors", "soundfile", "soxr", "typer"}


def test_the_citation_names_this_version() -> None:
    yaml = module("yaml", "train")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (version,) = re.findall(
        r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE
    )
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["version"] == version and citation["license"] == "MIT"
    assert all(work["title"] and work["authors"] and work["year"] for work in citation["references"])


def test_a_release_publishes_wheel_sdist_and_page_of_the_tagged_version_once_all_is_checked() -> None:
    yaml = module("yaml", "train")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    jobs = workflow["jobs"]
    assert workflow[True]["push"] == {"tags": ["v*"]}  # YAML takes "on" for a truth
    for name in ("pypi", "page"):
        assert set(jobs[name]["needs"]) == {"check", "try"} and jobs[name]["if"] == "github.ref_type == 'tag'"
    built = [step.get("run") or step["uses"] for step in jobs["build"]["steps"]]
    assert any("pyproject.toml" in line for line in built) and any(
        line.startswith("make page") for line in built
    )
    assert any(line.endswith("python -m build --outdir dist") for line in built)
    assert {"ubuntu-latest", "windows-latest"} <= set(jobs["try"]["strategy"]["matrix"]["system"])


def test_forms_ask_for_what_is_needed_and_a_bug_report_begins_with_the_doctor() -> None:
    yaml = module("yaml", "train")
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")}
    assert {"bug", "notes", "idea", "config"} == set(forms)
    first = forms["bug"]["body"][0]
    assert "hppnet doctor" in first["attributes"]["label"] and first["validations"]["required"]
    for name in ("bug", "notes", "idea"):
        assert forms[name]["name"] and forms[name]["description"]
        assert any(part["validations"]["required"] for part in forms[name]["body"] if "validations" in part)
