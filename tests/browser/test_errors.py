"""What stops a run, on ComfyUI's page in Chinese: the sentence in the page's language, and the English one below it."""

import json

from scripts.host.front_end import FrontEnd

import pytest

from scripts.paths import CHECKOUT
from support.page_scripts import constant

SENTENCES = constant("errors.js", "SENTENCES")["zh"]
TRANSLATED = """
const done = arguments[1];
import("/extensions/ledits-pp/errors.js").then(({ translate }) => done(arguments[0].map(text => translate(text, "zh"))));
"""
SET = """
const widget = app.rootGraph.nodes.find(n => n.type === "LEDITS_Sweep").widgets.find(w => w.name === arguments[0]);
const before = widget.value;
widget.value = arguments[1];
return before;
"""
TEXT = """
const known = ["concept", "columns", "column_values", "rows", "row_values"];
const widgets = app.rootGraph.nodes.find(n => n.type === "LEDITS_Sweep").widgets.filter(w => !known.includes(w.name));
return widgets.map(w => w.value).find(value => typeof value === "string" && value.includes("\\n"));
"""


def fill(sentence):
    """A sentence with numbers in its gaps."""
    for number in range(1, 10):
        sentence = sentence.replace(f"{{{number}}}", str(number)).replace("{}", str(number), 1)
    return sentence


def translated(page, texts):
    return page.driver.execute_async_script(TRANSLATED, texts)


def read(name):
    return json.loads((CHECKOUT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_each_sentence_is_read_as_itself(chinese):
    texts = [f"'words' {fill(sentence)}" for sentence in SENTENCES]
    wanted = [f"输入“words”：{fill(chinese_one)}\n{text}" for text, chinese_one in zip(texts, SENTENCES.values(), strict=True)]
    assert translated(chinese, texts) == wanted


def test_parts_of_a_sentence_are_translated_too(chinese):
    text = "LEDITS++ Edit, input 'concepts': the mask of concept 1 ('a hat') has 3 masks for 2 images: give one for all, or one for each"
    (found,) = translated(chinese, [text])
    assert found == f"编辑，输入“concepts”：概念 1（'a hat'）有 3 个遮罩，图像却有 2 幅：请给所有图像一个，或每幅一个\n{text}"


def test_other_messages_stay(chinese):
    others = ["CUDA error: out of memory", "", "LEDITS++ Edit, input 'mask': something that no list has", "Value 3 bigger than max of 2"]
    assert translated(chinese, others) == [None] * len(others)


@pytest.fixture(params=[False, True], ids=["canvas", "Nodes 2.0"])
def newer_kind(chinese, request):
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    chinese.js(set_kind, request.param)
    yield request.param
    chinese.js(set_kind, False)


@pytest.mark.parametrize(
    ("widget", "value", "sentence"),
    [
        pytest.param("concept", 5, "is {}, but the chain has {}, counted from 0", id="in the run"),
        pytest.param("column_values", "3, x", "has {}, which is not a number: {}", id="before it"),
    ],
)
def test_the_node_and_the_page_say_it(chinese: FrontEnd, widget, value, sentence, newer_kind):
    chinese.load(read("sweep"))
    right = chinese.js(SET, widget, value)
    chinese.js("app.queuePrompt(0)")
    translated, english = SENTENCES[sentence].split("{1}")[0], sentence.split("{}")[1]
    text = chinese.wait(lambda: chinese.js(TEXT), 60, "the sentence on the node")
    chinese.screenshot(f"errors-chinese-{widget}{'-2.0' if newer_kind else ''}")
    assert translated in text.splitlines()[0]
    assert english in text.splitlines()[1]
    assert shown(chinese, translated)
    chinese.one("[data-testid=error-overlay-see-errors]", 60).click()
    if widget == "concept":
        chinese.wait(lambda: shown(chinese, f"LeditsInputError: {text.splitlines()[0]}"), what="the same in the report")
    chinese.js(SET, widget, right)
    chinese.js("app.queuePrompt(0)")
    chinese.wait(lambda: not chinese.js(TEXT), 60, "the sentence gone")
    chinese.wait(lambda: not shown(chinese, text.splitlines()[0]), what="the sentence gone from the page")
    chinese.js("return app.api.interrupt(null)")
    chinese.console_errors()


def test_in_english_the_node_says_it_as_it_is(page: FrontEnd):
    page.load(read("sweep"))
    page.js(SET, "column_values", "3, x")
    page.js("app.queuePrompt(0)")
    said = "'column_values' has 'x', which is not a number"
    assert page.wait(lambda: shown(page, said), 60, said)
    page.console_errors()


def shown(page, text):
    return text in page.js("return document.body.innerText")
