"""A file that Save Inversion has written is in Load Inversion's list, without a reload of the page."""

import json

from scripts.host.front_end import FrontEnd

import pytest

from scripts.paths import CHECKOUT

ADD = """
const add = kind => { const n = LiteGraph.createNode(kind); app.rootGraph.add(n); return n };
const invert = app.rootGraph.nodes.find(n => n.type === 'LEDITS_Invert'), save = add('LEDITS_SaveInversion');
save.widgets[0].value = arguments[0];
invert.connect(0, save, 0);
for (const n of app.rootGraph.nodes.filter(n => ['SaveImage', 'PreviewImage', 'MaskPreview', 'LEDITS_Edit', 'LEDITS_Heatmap'].includes(n.type))) app.rootGraph.remove(n);
app.rootGraph.nodes.find(n => n.type === 'LEDITS_Schedule').widgets[0].value = 2;
return add('LEDITS_LoadInversion').id;
"""
OFFERED = "return app.rootGraph.getNodeById(arguments[0]).widgets[0].options.values"


@pytest.mark.parametrize("newer", [False, True], ids=["canvas", "Nodes 2.0"])
def test_it_is_offered_after_the_run(page: FrontEnd, newer):
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    page.js(set_kind, newer)
    try:
        page.load(json.loads((CHECKOUT / "workflows" / "try_it.json").read_text()))
        name = f"kept/{'newer' if newer else 'classic'}"
        file = f"{name}_00001_.inversion.safetensors [output]"
        load = page.js(ADD, name)
        assert file not in page.js(OFFERED, load)
        page.console_errors()
        page.one("[data-testid=queue-button]").click()
        page.wait(lambda: file in page.js(OFFERED, load), what="the file in the list")
        assert file in page.js("const n = LiteGraph.createNode('LEDITS_LoadInversion'); return n.widgets[0].options.values")
        if newer:
            page.show(load)
            page.one(f"[data-node-id='{load}'] [role=combobox], [data-node-id='{load}'] [aria-label=file]").click()
            page.wait(lambda: [entry for entry in page.all("[role=option]") if entry.text.strip() == file], what="the file")
            page.leave()
        assert page.console_errors() == []
    finally:
        page.js(set_kind, False)


def test_a_run_that_saves_nothing_new_asks_for_no_list(page: FrontEnd):
    page.load(json.loads((CHECKOUT / "workflows" / "try_it.json").read_text()))
    load = page.js(ADD, "kept/once")
    page.js(
        "window.refreshes = 0; const f = app.refreshComboInNodes; app.refreshComboInNodes = function () { refreshes++; return f.call(app) }"
    )
    try:
        for runs in (1, 2):
            page.one("[data-testid=queue-button]").click()
            page.wait(lambda runs=runs: len(page.server.get("/history")) and finished(page) >= runs, what=f"run {runs}")
        assert page.wait(lambda: page.js("return refreshes")) == 1
        assert any("once_00001_" in name for name in page.wait(lambda: page.js(OFFERED, load)))
    finally:
        page.js("delete app.refreshComboInNodes")


def finished(page):
    """Runs of this graph that came to their end."""
    return sum("once" in json.dumps(run["outputs"]) for run in page.server.get("/history").values())
