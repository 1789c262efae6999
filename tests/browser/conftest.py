import json
import shutil

from scripts.host.comfy_server import ComfyServer
from scripts.host.front_end import SETTINGS, FrontEnd, programs

import pytest

from scripts.paths import CHECKOUT
from scripts.shipped.canvas import stand_in_for_models

MISSING = """No Chromium here, so ComfyUI's page was NOT tested.
On Debian and Ubuntu: sudo apt-get install chromium chromium-driver fonts-wqy-zenhei"""


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """ComfyUI's page with the pack, its workflows' pictures and the small checkpoint."""
    if programs() is None:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("comfyui-browser")
    for part in ("input", "user/default"):
        (folder / part).mkdir(parents=True)
    for picture in (CHECKOUT / "workflows").glob("*.png"):
        shutil.copy(picture, folder / "input")
    stand_in_for_models(folder / "models")
    (folder / "user/default/comfy.settings.json").write_text(json.dumps(SETTINGS))
    with ComfyServer(folder) as server, FrontEnd(server, tmp_path_factory.mktemp("profile")) as front_end:
        yield front_end


@pytest.fixture(scope="module")
def chinese(page):
    """The same page in Chinese."""
    page.speak("zh")
    yield page
    page.speak("en")


@pytest.fixture(scope="session")
def definitions(page):
    """What the server says of each of the pack's nodes."""
    return {kind: node for kind, node in page.server.get("/object_info").items() if node["python_module"] == "custom_nodes.ledits-pp"}


def pytest_terminal_summary(terminalreporter):
    if programs() is None and any("tests/browser" in report.nodeid for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("browser", sep="!", red=True, bold=True)
        terminalreporter.line(MISSING, red=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What the page showed when a test failed is kept beside the other screenshots."""
    report = yield
    if report.failed and "page" in item.funcargs:
        item.funcargs["page"].screenshot(f"failed-{item.name}")
    return report
