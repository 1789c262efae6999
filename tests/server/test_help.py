"""Help pages, their pictures and the translations, asked for as ComfyUI's front end asks."""

import io
import json
import re
import urllib.request

import pytest
from PIL import Image

from scripts.paths import CHECKOUT


def fetched(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=60) as answer:
        return answer.headers.get_content_type(), answer.read()


@pytest.fixture(scope="module")
def ours(faulty):
    """The pack's nodes and the address of their pages."""
    info = {name: node for name, node in faulty.get("/object_info").items() if name.startswith("LEDITS_") and "TEST" not in name}
    modules = {node["python_module"] for node in info.values()}
    assert modules == {"custom_nodes.ledits-pp"}
    return info, f"/extensions/{modules.pop().split('.')[1]}/docs/"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_pages_and_their_pictures_are_served(faulty, ours, language):
    info, docs = ours
    for name in info:
        kind, content = fetched(faulty, docs + (f"{name}.md" if language == "en" else f"{name}/{language}.md"))
        # The front end takes an answer in HTML for a page that is missing.
        assert kind != "text/html"
        pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", content.decode())
        assert pictures
        for picture in pictures:
            assert Image.open(io.BytesIO(fetched(faulty, docs + picture)[1])).format == "JPEG"


def test_translations_are_served(faulty, ours):
    served = faulty.get("/i18n")
    for language in ("en", "zh"):
        folder = CHECKOUT / "locales" / language
        assert set(ours[0]) <= set(served[language]["nodeDefs"])
        for name, texts in json.loads((folder / "nodeDefs.json").read_text(encoding="utf-8")).items():
            assert served[language]["nodeDefs"][name] == texts
        for kind, texts in json.loads((folder / "main.json").read_text(encoding="utf-8")).items():
            assert served[language][kind].items() >= texts.items()
