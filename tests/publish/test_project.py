"""pyproject.toml says what the registry asks for, in its form."""

import importlib.util
import re
import sys
from urllib.parse import urlparse

import comfyui_version
import pytest
import tomllib
from PIL import Image

from scripts.paths import CHECKOUT

FILE = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
PROJECT, COMFY = FILE["project"], FILE["tool"]["comfy"]


def test_name_and_version():
    assert re.fullmatch(r"[a-z](?:[a-z0-9]|[-_.](?![-_.]))*[a-z0-9]", PROJECT["name"])
    assert len(PROJECT["name"]) < 100
    assert "comfyui" not in PROJECT["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"])
    assert f"## {PROJECT['version']}" in (CHECKOUT / "CHANGELOG.md").read_text()


def test_files_that_it_names_are_there():
    assert set(PROJECT["license"]) == {"file"}
    assert (CHECKOUT / PROJECT["license"]["file"]).is_file()
    assert (CHECKOUT / PROJECT["readme"]).is_file()


def test_it_asks_for_nothing_that_comfyui_does_not_bring():
    asked = [line for line in (CHECKOUT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert PROJECT["dependencies"] == asked == []


def test_it_asks_for_the_oldest_comfyui_that_is_tested():
    readme = (CHECKOUT / "README.md").read_text()
    oldest = COMFY["requires-comfyui"].removeprefix(">=")
    assert re.fullmatch(r"\d+\.\d+\.\d+", oldest)
    assert f"ComfyUI {oldest} or newer" in readme


def load_on(version, monkeypatch):
    """Loads the pack's __init__.py on a ComfyUI of this version."""
    monkeypatch.setattr(comfyui_version, "__version__", version)
    spec = importlib.util.spec_from_file_location("on_another_comfyui", CHECKOUT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", ["0.3.64", "0.16.2", "0.3.48-dev"])
def test_an_older_comfyui_is_told_which_one_is_needed(version, monkeypatch):
    monkeypatch.setitem(sys.modules, "comfy_api.latest", None)  # as where it does not exist yet
    oldest = COMFY["requires-comfyui"].removeprefix(">=")
    with pytest.raises(ImportError) as caught:
        load_on(version, monkeypatch)
    assert oldest in str(caught.value)
    assert version in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [COMFY["requires-comfyui"].removeprefix(">="), "0.16.10", "0.30.0+local", "1.0", "nightly"])
def test_every_other_comfyui_loads_it(version, monkeypatch):
    assert load_on(version, monkeypatch).comfy_entrypoint


def test_addresses_are_of_one_repository():
    repository = PROJECT["urls"]["Repository"]
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", repository)
    assert all(address.startswith(repository) for address in PROJECT["urls"].values())
    owner = urlparse(repository).path.split("/")[1]
    assert COMFY["PublisherId"] == owner


def test_icon_and_banner_are_of_the_size_that_the_registry_takes():
    for name, fits in {
        "Icon": lambda width, height: width <= 800 and height <= 400,
        "Banner": lambda width, height: width * 9 == height * 21,
    }.items():
        raw = PROJECT["urls"]["Repository"].replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
        assert COMFY[name].startswith(raw)
        assert fits(*Image.open(CHECKOUT / COMFY[name].removeprefix(raw)).size)


def test_icon_and_banner_are_what_the_script_draws():
    import numpy as np

    from scripts import artwork

    for name, drawn in {"icon": artwork.icon(), "banner": artwork.banner()}.items():
        kept = Image.open(artwork.FOLDER / f"{name}.png")
        assert kept.mode == drawn.mode
        # Another version of the drawing library may round an edge otherwise.
        assert np.abs(np.asarray(kept).astype(float) - np.asarray(drawn)).mean() < 1


def test_comfyui_reads_it():
    from comfy_config.config_parser import extract_node_configuration

    read = extract_node_configuration(str(CHECKOUT))
    assert read.project.name == PROJECT["name"]
    assert read.project.supported_os == ["OS Independent"]
    assert read.project.supported_comfyui_version == COMFY["requires-comfyui"]
    assert (read.project.urls.repository, read.tool_comfy.publisher_id) == (PROJECT["urls"]["Repository"], COMFY["PublisherId"])
    # Its reader does not know the registry's Banner.
    assert (read.tool_comfy.display_name, read.tool_comfy.icon) == (COMFY["DisplayName"], COMFY["Icon"])
