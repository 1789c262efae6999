"""The words in the right-click menu of LEDITS++ Concept and Extract Mask, in ComfyUI's page."""

from scripts.host.front_end import FrontEnd

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.mouse_button import MouseButton
from selenium.webdriver.common.keys import Keys

BUILD = """
const [nodes, links] = arguments;
for (const node of [...app.rootGraph.nodes]) app.rootGraph.remove(node);
const made = {};
Object.entries(nodes).forEach(([name, [kind, fields]], place) => {
  const node = made[name] = LiteGraph.createNode(kind);
  app.rootGraph.add(node);
  node.pos = [place * 700, 0];
  for (const [field, value] of Object.entries(fields)) node.widgets.find(w => w.name === field).value = value;
});
for (const [from, to, input] of links) {
  const slot = made[to].inputs.findIndex(i => i.name === input);
  const output = made[from].outputs.findIndex(o => o.type === made[to].inputs[slot].type);
  made[from].connect(Math.max(output, 0), made[to], slot);
}
return made.last.id;
"""
OFFERED = """
const n = app.rootGraph.getNodeById(arguments[0]);
const item = app.canvas.getNodeMenuOptions(n).find(item => item?.content === arguments[1]);
return item ? item.submenu.options.map(option => option.content) : null;
"""
PROBE = ("LEDITS_ProbeAttention", {"text": "a (red:1.2) circle, on grey"})
GRAPHS = {
    "a concept": ({"last": ("LEDITS_Concept", {"text": "a green circle"})}, [], ["a", "green", "circle"]),
    "its where": ({"last": ("LEDITS_Concept", {"text": "a green circle", "where": "red  circle"})}, [], ["red", "circle"]),
    "its attention": (
        {"probe": PROBE, "last": ("LEDITS_Concept", {"text": "a green circle"})},
        [("probe", "last", "attention")],
        ["a", "red", "circle", "on", "grey"],
    ),
    "a probe": (
        {"probe": PROBE, "last": ("LEDITS_ExtractMask", {})},
        [("probe", "last", "attention")],
        ["a", "red", "circle", "on", "grey"],
    ),
    "a reroute": (
        {"probe": PROBE, "reroute": ("Reroute", {}), "last": ("LEDITS_ExtractMask", {})},
        [("probe", "reroute", ""), ("reroute", "last", "attention")],
        ["a", "red", "circle", "on", "grey"],
    ),
    "the second concept of an edit": (
        {
            "one": ("LEDITS_Concept", {"text": "glasses"}),
            "two": ("LEDITS_Concept", {"text": "a hat", "where": "black hair"}),
            "edit": ("LEDITS_Edit", {}),
            "last": ("LEDITS_ExtractMask", {"concept": 1}),
        },
        [("one", "two", "concepts"), ("two", "edit", "concepts"), ("edit", "last", "attention")],
        ["black", "hair"],
    ),
    "Chinese": (
        {"last": ("LEDITS_Concept", {"text": "\u7ea2\u8272\u7684\u5706\uff0c\u65b9\u5757"})},
        [],
        ["\u7ea2\u8272\u7684\u5706", "\u65b9\u5757"],
    ),
    "no text": ({"last": ("LEDITS_Concept", {})}, [], None),
    "no attention": ({"last": ("LEDITS_ExtractMask", {})}, [], None),
    "no such concept": ({"probe": PROBE, "last": ("LEDITS_ExtractMask", {"concept": 3})}, [("probe", "last", "attention")], None),
}
MENU, MENU_2 = ".litemenu-entry", "[role=menuitem]"


def build(page, nodes, links):
    """A graph that the page has taken down, so that undo knows it; the id of its last node."""
    page.js("return app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    number = page.js(BUILD, nodes, links)
    page.show(number)
    page.point(page.place(number, -60, -60), click=True)
    return number


def words(page, node):
    return page.js("return app.rootGraph.getNodeById(arguments[0]).widgets.find(w => w.name === 'words').value", node)


def choose(page, node, title, word):
    """As a person does: a right click on the node, the pointer on the entry, a click on the word."""

    def opened():
        page.point(page.place(node, 100, -12), click=True, button=MouseButton.RIGHT)
        return page.look(MENU, 5) and entry(page, title)

    page.wait(opened, what=title).click()
    page.wait(lambda: entry(page, word), what=word).click()


def entry(page, text, menu=MENU):
    return next((found for found in page.all(menu) if found.is_displayed() and found.text.strip() == text), None)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_words_are_those_of_the_text_that_the_map_comes_from(page: FrontEnd, name):
    nodes, links, wanted = GRAPHS[name]
    node = page.js(BUILD, nodes, links)
    assert page.js(OFFERED, node, "Words") == wanted


def test_a_circle_of_links_offers_nothing_and_breaks_nothing(page: FrontEnd):
    nodes = {"edit": ("LEDITS_Edit", {}), "last": ("LEDITS_Concept", {"text": "a hat"})}
    node = page.js(BUILD, nodes, [("last", "edit", "concepts")])
    made = "const edit = app.rootGraph.nodes.find(n => n.comfyClass === 'LEDITS_Edit'), n = app.rootGraph.getNodeById(arguments[0]);"
    page.js(made + "edit.connect(1, n, n.inputs.findIndex(i => i.name === 'attention'))", node)
    assert page.js(OFFERED, node, "Words") is None


def test_other_nodes_have_no_such_entry(page: FrontEnd):
    node = page.js(BUILD, {"last": PROBE}, [])
    assert page.js(OFFERED, node, "Words") is None


def test_choosing_a_word_adds_it_and_choosing_it_again_takes_it_out(page: FrontEnd):
    page.console_errors()
    node = build(page, *GRAPHS["a probe"][:2])
    choose(page, node, "Words", "circle")
    page.wait(lambda: words(page, node) == "circle", what="the word")
    choose(page, node, "Words", "red")
    page.wait(lambda: words(page, node) == "circle red", what="two words")
    page.screenshot("words")
    choose(page, node, "Words", "\u2713 circle")
    page.wait(lambda: words(page, node) == "red", what="the word taken out")
    assert page.console_errors() == []


def test_undo_takes_a_word_back_in_one_step(page: FrontEnd):
    node = build(page, *GRAPHS["a probe"][:2])
    choose(page, node, "Words", "circle")
    page.wait(lambda: words(page, node) == "circle", what="the word")
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    page.wait(lambda: words(page, node) == "", 20, "the field as it was")
    assert len(page.nodes()) == 2


def test_in_chinese_it_is_chinese(page: FrontEnd):
    page.speak("zh")
    try:
        node = page.js(BUILD, *GRAPHS["a concept"][:2])
        assert page.js(OFFERED, node, "\u8bcd\u8bed") == ["a", "green", "circle"]
    finally:
        page.speak("en")


def test_it_works_on_nodes_of_the_newer_kind(page: FrontEnd):
    """Nodes 2.0, whose menu the page draws itself."""
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    page.js(set_kind, True)
    try:
        node = build(page, *GRAPHS["a probe"][:2])
        title = page.one(f"[data-node-id='{node}'] [data-testid^=node-header]")
        ActionChains(page.driver).context_click(title).perform()
        # The pointer opens the list; a click would close it again.
        ActionChains(page.driver).move_to_element(page.wait(lambda: entry(page, "Words", MENU_2), what="the entry")).perform()
        page.wait(lambda: entry(page, "circle", MENU_2), what="the word").click()
        page.wait(lambda: words(page, node) == "circle", what="the word chosen")
        shown = page.one(f"[data-node-id='{node}'] [aria-label=words]")
        page.wait(lambda: shown.get_attribute("value") == "circle", what="the word in the field")
    finally:
        page.js(set_kind, False)
