import shutil
import zipfile

from scripts.host.comfy_server import ComfyServer

import pytest

from scripts.archive import build
from scripts.paths import CHECKOUT


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """What would be published."""
    return build(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def published(archive, tmp_path_factory):
    """A ComfyUI into which nothing but the archive was unpacked; the small model's own node is test-side and stays linked."""
    folder = tmp_path_factory.mktemp("comfyui-published")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder / "custom_nodes" / "ledits-pp")
    (folder / "input").mkdir()
    shutil.copy(CHECKOUT / "workflows" / "two_shapes.png", folder / "input")
    with ComfyServer(folder) as server:
        yield server
