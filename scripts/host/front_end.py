"""ComfyUI's page in a real Chromium, driven as a person would: by clicks, a pointer that rests on things, and looking."""

from __future__ import annotations

import io
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from scripts.host.comfy_server import ComfyServer

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.mouse_button import MouseButton
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from scripts.paths import CHECKOUT

SCREENSHOTS = CHECKOUT / "output" / "screenshots"
PACK = "ledits-pp"
CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1000",
]
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Locale": "en",
    "Comfy.Minimap.Visible": False,
    "LiteGraph.Node.TooltipDelay": 50,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
}
"""What a user of this page has chosen: no tour, no minimap, tooltips at once, text at every zoom."""

FRONT_ENDS_OWN = re.compile(
    r"/user\.css|/api/userdata|/templates/|api\.comfy\.org|missingModelDownload|graph accessed before initialization|Error loading (fuse|core workflow)"
    # The page of a language is asked for before the one that holds for all.
    r"|/docs/LEDITS_\w+/en\.md"
)
"""Errors in the console that the page makes by itself: files that a new user does not have, and the registry and the models' addresses that are not asked here."""

PATIENCE = 90
"""Seconds to wait for what must come. A page that is drawn without a card, on a busy machine, makes a picture in two seconds."""

Found = TypeVar("Found")


def programs() -> tuple[str, str] | None:
    """Chromium and its driver, or None where they are not installed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class FrontEnd:
    """Context manager: a page on a server, with an empty profile."""

    def __init__(self, server: ComfyServer, profile: Path):
        self.server = server
        browser, driver = programs() or ("", "")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in [*CHROMIUM, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.title_places = itertools.cycle((40, 80, 120))

    def __enter__(self) -> FrontEnd:
        self.reload()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.driver.quit()

    def reload(self) -> None:
        self.driver.get(f"http://127.0.0.1:{self.server.port}/")
        self.wait(
            lambda: self.js("return window.app?.extensionManager && app.rootGraph && document.querySelector('[data-testid=queue-button]')")
        )
        self.close_dialogs()

    # Looking

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, look: Callable[[], Found], patience: float = PATIENCE, what: str = "") -> Found:
        def condition(_: Any) -> Found | bool:
            try:
                return look() or False
            except StaleElementReferenceException:
                return False

        return WebDriverWait(self.driver, patience, poll_frequency=0.1).until(condition, what)  # type: ignore[return-value]

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str, patience: float = PATIENCE) -> WebElement:
        return self.wait(lambda: next((element for element in self.all(selector) if element.is_displayed()), None), patience, selector)

    def look(self, selector: str, patience: float) -> WebElement | None:
        """The element, or None if it does not come in this time."""
        try:
            return self.one(selector, patience)
        except TimeoutException:
            return None

    def screenshot(self, name: str | None = None) -> Image.Image:
        """What the page shows; with a name also kept under output/screenshots/."""
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        if name:
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            picture.save(SCREENSHOTS / f"{name}.png")
        return picture

    def console_errors(self) -> list[str]:
        """Errors since the last look, without those that every page has."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and not FRONT_ENDS_OWN.search(entry["message"])
        ]

    # Templates

    def close_dialogs(self) -> None:
        """A page without a graph of an earlier visit opens with the template browser."""

        def closed() -> bool:
            if self.all("[data-testid=dialog-overlay]"):
                self.leave()
            return not self.all("[data-testid=dialog-overlay]")

        self.wait(closed)

    def browse_templates(self) -> dict[str, WebElement]:
        """The cards of the pack's workflows in the template browser, by name."""
        if not self.all("[data-testid=template-workflows-content]"):
            self.one("button.templates-tab-button").click()
        self.wait(lambda: self.pack_in_the_list()).click()
        self.wait(lambda: any(card.find_elements(By.CSS_SELECTOR, "img") for card in self.cards().values()), what="thumbnails")
        return self.cards()

    def pack_in_the_list(self) -> WebElement | None:
        return next((entry for entry in self.all("[role=button]") if entry.text.strip() == PACK), None)

    def cards(self) -> dict[str, WebElement]:
        prefix = "template-workflow-"
        found = {(card.get_attribute("data-testid") or "").removeprefix(prefix): card for card in self.all(f"[data-testid^={prefix}]")}
        return {name: card for name, card in found.items() if name}

    # Graphs

    def load(self, workflow: dict[str, Any]) -> None:
        # Without its result, which the driver cannot pass on where it refers to itself.
        self.js("return app.loadGraphData(arguments[0]).then(() => null)", workflow)

    def nodes(self) -> dict[int, str]:
        return {int(number): kind for number, kind in self.js("return app.rootGraph.nodes.map(n => [n.id, n.type])")}

    def put(self, kind: str) -> int:
        """A graph of nothing but one node of this kind; the node's id."""
        # Removed one by one: after clear() the ids begin anew, and the page gives a new node what it knows of the old one of that id.
        made = "for (const n of [...app.rootGraph.nodes]) app.rootGraph.remove(n); const n = LiteGraph.createNode(arguments[0]); app.rootGraph.add(n); return n.id"
        return int(self.js(made, kind))

    def show_all(self) -> None:
        """The whole graph, on the whole page."""
        self.close_panel()
        self.js("app.canvas.deselectAll(); return app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.still()

    def close_panel(self) -> None:
        for panel in self.all("[data-testid=properties-panel]"):
            panel.find_element(By.CSS_SELECTOR, "button[aria-label*='anel'], button:has(i[class*='panel-right'])").click()
        self.wait(lambda: not self.all("[data-testid=properties-panel]"))

    def still(self) -> None:
        """Waits until the canvas moves no more."""
        places: list[Any] = [None]

        def moved() -> bool:
            places.append(self.js("return [app.canvas.ds.scale, ...app.canvas.ds.offset, app.canvas.canvas.width]"))
            return places[-1] == places[-2]

        self.wait(moved)

    def show(self, node: int, scale: float = 1.0, left: float = 350, top: float = 250) -> None:
        """Moves the canvas so that the node begins at this place of the page."""
        self.js(
            "const n = app.rootGraph.getNodeById(arguments[0]), c = app.canvas, r = c.canvas.getBoundingClientRect();"
            "c.ds.scale = arguments[1]; c.ds.offset = [(arguments[2] - r.left) / c.ds.scale - n.pos[0], (arguments[3] - r.top) / c.ds.scale - n.pos[1]];"
            "c.setDirty(true, true); return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))",
            node,
            scale,
            left,
            top,
        )

    def place(self, node: int, x: float, y: float) -> tuple[int, int]:
        """Where a point of the node, counted from its corner, lies on the page."""
        left, top = self.js(
            "const n = app.rootGraph.getNodeById(arguments[0]), c = app.canvas, r = c.canvas.getBoundingClientRect();"
            "return [r.left + (n.pos[0] + arguments[1] + c.ds.offset[0]) * c.ds.scale, r.top + (n.pos[1] + arguments[2] + c.ds.offset[1]) * c.ds.scale]",
            node,
            x,
            y,
        )
        return round(left), round(top)

    def point(self, at: tuple[int, int], click: bool = False, button: int = MouseButton.LEFT) -> None:
        action = ActionChains(self.driver, duration=20)
        action.w3c_actions.pointer_action.move_to_location(at[0] - 6, at[1])
        action.w3c_actions.pointer_action.move_to_location(*at)
        if click:
            action.w3c_actions.pointer_action.click(button=button)
        action.perform()

    def tooltip(self, at: tuple[int, int]) -> str:
        """What appears when the pointer rests there."""

        def shown() -> WebElement | None:
            # A page that is still drawing may not know yet what lies under the pointer.
            self.point((at[0], 5))
            self.wait(lambda: not [tip for tip in self.all(".node-tooltip") if tip.is_displayed()], what="the last tooltip to go")
            self.point(at)
            return self.look(".node-tooltip", 5)

        return self.wait(shown, what="a tooltip").text

    def complaints(self, patience: float = 1.5) -> dict[str, list[str]]:
        """What the page says is wrong with the graph: the lines of each group of its error panel."""
        overlay = self.look("[data-testid=error-overlay-see-errors]", patience)
        if overlay is None:
            return {}
        overlay.click()
        self.one("[data-testid=panel-tab-errors]")
        groups = self.wait(lambda: [group for group in self.all("[data-testid^=error-group-]") if "display-message" not in _id(group)])
        return {_id(group).removeprefix("error-group-"): group.text.splitlines() for group in groups}

    def help(self, node: int) -> WebElement:
        """The panel that the info button of a node's toolbar opens."""
        self.js("app.canvas.deselectAll()")
        self.show(node)

        def toolbar() -> WebElement | None:
            # Two clicks at one place soon after each other would be a double click, which edits the title.
            self.point(self.place(node, next(self.title_places), -12), click=True)
            return self.look("[data-testid=info-button]", 8) or self.leave()

        self.wait(toolbar, what="the toolbar of the node").click()
        return self.one("[data-testid=properties-panel]")

    def leave(self) -> None:
        """What the Escape key closes."""
        ActionChains(self.driver).send_keys(Keys.ESCAPE).perform()

    def speak(self, language: str) -> None:
        """Switches the page's language as the settings do, and opens the page anew."""
        self.js("return app.extensionManager.setting.set('Comfy.Locale', arguments[0])", language)
        self.wait(lambda: self.server.get("/settings/Comfy.Locale") == language)
        self.reload()


def _id(element: WebElement) -> str:
    return element.get_attribute("data-testid") or ""
