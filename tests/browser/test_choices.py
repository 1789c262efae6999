"""The choices of lists on ComfyUI's page in Chinese: what is shown is translated, what is saved and sent is not."""

import json

from scripts.paths import CHECKOUT
from support.page_scripts import constant

NAMES = constant("choices.js", "CHOICES")["zh"]["mask_mode"]
LABEL = """
const w = app.rootGraph.getNodeById(arguments[0]).widgets.find(w => w.name === "mask_mode");
return [w._displayValue, w.value, w.last_y];
"""


def test_the_list_is_chinese_and_its_value_english(chinese):
    node = chinese.put("LEDITS_Concept")
    chinese.show(node)
    label, value, top = chinese.js(LABEL, node)
    assert (label, value) == (f"{NAMES['intersect']} intersect", "intersect")
    chinese.point(chinese.place(node, 150, top + 10), click=True)
    entries = chinese.wait(lambda: chinese.all(".litecontextmenu .litemenu-entry"))
    assert [entry.text.strip() for entry in entries] == [f"{name} {choice}" for choice, name in NAMES.items()]
    chinese.screenshot("choices-chinese")
    entries[list(NAMES).index("noise")].click()
    chinese.wait(lambda: chinese.js(LABEL, node)[:2] == [f"{NAMES['noise']} noise", "noise"], what="the choice")
    sent = chinese.js("return app.graphToPrompt().then(made => made.output)")[str(node)]["inputs"]
    assert sent["mask_mode"] == "noise"


def test_so_it_is_on_nodes_of_the_newer_kind(chinese):
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    chinese.js(set_kind, True)
    try:
        node = chinese.put("LEDITS_Concept")
        chinese.show(node)
        fields = json.loads((CHECKOUT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))["LEDITS_Concept"]["inputs"]
        shown = f"[data-node-id='{node}'] [aria-label='{fields['mask_mode']['name']}']"
        assert chinese.one(shown).text.strip() == f"{NAMES['intersect']} intersect"
        chinese.screenshot("choices-chinese-2.0")
    finally:
        chinese.js(set_kind, False)
