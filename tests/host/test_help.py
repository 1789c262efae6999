"""Help pages and translations against the schemas: nothing missing, nothing stale.

ComfyUI's front end reads docs/<id>/<language>.md or else docs/<id>.md below WEB_DIRECTORY, and looks pictures up from docs/ for both.
"""

import json
import re
from pathlib import Path

from scripts.host.in_comfy import nodes, pack

import pytest
from comfy_api.latest import io
from PIL import Image

from scripts.help_pictures import MOST_BYTES, PICTURES
from scripts.help_texts import LOCALES, english
from scripts.paths import CHECKOUT
from support.messages import messages as said
from support.page_scripts import constant

DOCS = CHECKOUT / pack().WEB_DIRECTORY / "docs"
SECTIONS = json.loads((Path(__file__).parent / "help_sections.json").read_text(encoding="utf-8"))
"""The headings of every page. In a file of their own: some tools take no Python file with Chinese in it."""
ITS_OWN_CATEGORIES = {"advanced"}
"""Parts of category names that the front end translates itself, for all nodes."""
SYNTAX = set("{}@|")
"""What the front end's messages give a meaning to: a name or description with one of these is shown broken."""
OF_KINDS_OF_NOISE = {"flow prediction", "eps- or v-prediction", "{} of noise scaled by {}"}
"""What messages call a model's noise: `str` of a kind."""
CHINESE = re.compile(r"[\u4e00-\u9fff]")

every_node = pytest.mark.parametrize("node_id", nodes())
every_page = pytest.mark.parametrize(("node_id", "language"), [(node_id, language) for node_id in nodes() for language in SECTIONS])


def schema_of(node_id):
    return nodes()[node_id].GET_SCHEMA()


def locale(language, file):
    return json.loads((LOCALES / language / file).read_text(encoding="utf-8"))


def page_place(node_id, language):
    return DOCS / f"{node_id}.md" if language == "en" else DOCS / node_id / f"{language}.md"


def page(node_id, language):
    return page_place(node_id, language).read_text(encoding="utf-8")


def sections(text):
    """The text below each ## heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def inputs_of(text):
    """The text below each ### heading of a page's first section, by (name, id)."""
    parts = re.split(r"^### (.*?)`(\w+)`$", next(iter(sections(text).values())), flags=re.MULTILINE)
    return dict(zip(zip(parts[1::3], parts[2::3], strict=True), parts[3::3], strict=True))


def messages(text):
    """What a page quotes from errors, in bold."""
    return re.findall(r'^- \*\*"([^"]+)"', text, flags=re.MULTILINE)


def leaves(tree, path=()):
    if not isinstance(tree, dict):
        return {path: tree}
    return {place: text for key, branch in tree.items() for place, text in leaves(branch, (*path, key)).items()}


def numbers(text):
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))


def test_the_english_texts_are_the_schemas():
    assert locale("en", "nodeDefs.json") == english(), "make locale writes them anew"


@every_node
def test_every_text_is_translated(node_id):
    texts, translated = leaves(english()[node_id]), leaves(locale("zh", "nodeDefs.json").get(node_id, {}))
    assert list(translated) == list(texts)
    for place, text in texts.items():
        assert translated[place].strip(), place
        if place[-1] in ("tooltip", "description"):
            assert CHINESE.search(translated[place]), place
            assert numbers(translated[place]) == numbers(text), place


def test_every_choice_has_a_name_in_chinese():
    combos = [item for node_id in nodes() for item in schema_of(node_id).inputs if isinstance(item, io.Combo.Input)]
    choices = {item.id: set(item.options) for item in combos if item.id != "file"}
    names = constant("choices.js", "CHOICES")["zh"]
    assert names.keys() == choices.keys()
    for field, named in names.items():
        assert named.keys() == choices[field] - {"LEDITS++"}, field
        assert all(CHINESE.search(name) for name in named.values())
        assert len(set(named.values())) == len(named)


def test_every_message_is_translated():
    sentences = constant("errors.js", "SENTENCES")["zh"]
    names = {schema_of(node_id).display_name for node_id in nodes()}
    assert set(sentences) == said() | names | OF_KINDS_OF_NOISE
    for sentence, translated in sentences.items():
        assert translated != sentence, sentence
        assert sorted(re.findall(r"{(\d)}", translated)) == [str(number + 1) for number in range(sentence.count("{}"))], sentence


def test_no_node_is_translated_that_is_not_there():
    assert list(locale("zh", "nodeDefs.json")) == list(nodes())


@pytest.mark.parametrize("language", SECTIONS)
def test_no_text_means_something_else_to_the_front_end(language):
    for file in ("nodeDefs.json", "main.json"):
        for place, text in leaves(locale(language, file)).items():
            assert not SYNTAX & set(text), place


@pytest.mark.parametrize("language", SECTIONS)
def test_categories_and_data_types_have_names(language):
    schemas = [schema_of(node_id) for node_id in nodes()]
    categories = {part for schema in schemas for part in schema.category.split("/")} - ITS_OWN_CATEGORIES
    types = {item.get_io_type() for schema in schemas for item in [*schema.inputs, *schema.outputs]}
    main = locale(language, "main.json")
    assert set(main) == {"nodeCategories", "dataTypes"}
    assert set(main["nodeCategories"]) == categories
    assert set(main["dataTypes"]) == {name for name in types if name.startswith("LEDITS_")}
    assert all(leaves(main).values())


@every_page
def test_a_page_explains_every_input_and_output(node_id, language):
    texts, text, schema = locale(language, "nodeDefs.json")[node_id], page(node_id, language), schema_of(node_id)
    assert re.match(r"# (.+)\n", text)[1] == texts["display_name"]
    assert list(sections(text)) == SECTIONS[language]

    explained = inputs_of(text)
    assert [name for _, name in explained] == [item.id for item in schema.inputs]
    for (title, name), explanation in explained.items():
        assert title.strip() == ("" if language == "en" else texts["inputs"][name]["name"])
        assert len(explanation.strip()) > 10, name
    outputs, wrong, wiring = list(sections(text).values())[1:]
    assert re.findall(r"^- `(\w+)`", outputs, flags=re.MULTILINE) == [item.display_name for item in schema.outputs]
    assert wrong.count("\n- ") >= 2
    assert "```" in wiring


@every_page
def test_what_a_page_quotes_is_what_the_pack_says(node_id, language):
    source = "".join(file.read_text(encoding="utf-8") for folder in ("nodes", "ledits") for file in (CHECKOUT / folder).rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # strings that continue on the next line
    quoted = messages(page(node_id, language))
    assert quoted == messages(page(node_id, "en"))
    for message in quoted:
        pattern = r"[^\n]*".join(re.escape(part.strip()) for part in message.split("…"))
        assert re.search(pattern, source), message


@every_page
def test_a_page_shows_its_picture(node_id, language):
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page(node_id, language))
    assert [target for _, target in shown] == [f"images/{node_id}.jpg"]
    file = DOCS / shown[0][1]
    assert file.stat().st_size <= MOST_BYTES
    with Image.open(file) as picture:
        assert picture.width >= 3 * 200
        assert any(low != high for low, high in picture.convert("RGB").getextrema())


def test_there_is_no_page_or_picture_of_anything_else():
    pages = {page_place(node_id, language) for node_id in nodes() for language in SECTIONS}
    pictures = {DOCS / "images" / f"{node_id}.jpg" for node_id in nodes()}
    assert {file for file in DOCS.rglob("*") if file.is_file()} == pages | pictures
    assert set(PICTURES) == set(nodes())
