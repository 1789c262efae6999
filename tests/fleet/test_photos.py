"""Which files are photos, what their results are called, and how they are read."""

import os

import numpy as np
import pytest
from PIL import Image

from fleet.errors import FleetError, PhotoError
from fleet.photos import find_photos, open_photo, read_values
from support.photo_folders import paint

NAMES = ["-dash.png", "a b.png", "鞋子.webp", "deep/er/x.bmp", "deep/x.jpg", "same.jpg", "same.jpg.png", "same.png", "x.JPG"]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        paint(tmp_path / name)
    for name in ("notes.txt", ".hidden.png", ".cache/y.png", "out/z.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_every_image_is_found_but_hidden_ones_and_results(folder):
    found = list(find_photos(folder, folder / "out"))
    assert sorted(photo.name for photo in found) == sorted(NAMES)
    stems = {photo.name: photo.stem for photo in found}
    assert stems["deep/er/x.bmp"] == "deep/er/x"
    assert (stems["same.jpg"], stems["same.png"]) == ("same.jpg", "same.png")
    assert len(set(stems.values())) == len(NAMES)


def test_a_link_to_nowhere_is_a_photo_that_cannot_be_read(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [photo.name for photo in find_photos(tmp_path, tmp_path / "out")] == ["gone.png"]
    with pytest.raises(PhotoError, match="cannot be read as an image"):
        open_photo(tmp_path / "gone.png")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_a_name_too(tmp_path):
    paint(tmp_path / os.fsdecode(b"caf\xe9.png"))
    assert [os.fsencode(photo.name) for photo in find_photos(tmp_path, tmp_path / "out")] == [b"caf\xe9.png"]


def test_results_do_not_go_over_the_photos(folder):
    with pytest.raises(FleetError, match="both the folder"):
        list(find_photos(folder, folder))
    with pytest.raises(FleetError, match="not a folder of photos"):
        list(find_photos(folder / "notes.txt", folder / "out"))


def test_a_photo_is_turned_as_its_camera_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(tmp_path / "turned.jpg", size=(20, 10), exif=exif)
    assert open_photo(tmp_path / "turned.jpg").size == (10, 20)


def test_transparency_is_kept(tmp_path):
    Image.new("RGBA", (4, 4), (1, 2, 3, 128)).save(tmp_path / "clear.png")
    assert open_photo(tmp_path / "clear.png").getpixel((0, 0)) == (1, 2, 3, 128)


def test_sixteen_bits_become_eight(tmp_path):
    Image.fromarray(np.full((2, 2), 51400, np.uint16)).save(tmp_path / "grey.png")
    assert open_photo(tmp_path / "grey.png").getpixel((0, 0)) == (200, 200, 200)
    Image.new("F", (2, 2)).save(tmp_path / "float.tif")
    with pytest.raises(PhotoError, match="floating point"):
        open_photo(tmp_path / "float.tif")


@pytest.mark.parametrize("content", [b"", b"text", b"whole"])
def test_what_is_no_photo_is_said(tmp_path, content):
    path = tmp_path / "broken.jpg"
    paint(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[:-200] if content == b"whole" else content)
    with pytest.raises(PhotoError, match="cannot be read as an image"):
        open_photo(path)


def test_values_are_read_as_spreadsheets_write_them(tmp_path):
    path = tmp_path / "values.csv"
    path.write_text('\ufeffphoto;8.text;6.seed\ndeep\\x.jpg;"red; round";\n鞋子.webp;blue;4\n', encoding="utf-8")
    assert list(read_values(path)) == [("deep/x.jpg", {"8.text": "red; round"}), ("鞋子.webp", {"8.text": "blue", "6.seed": "4"})]
    path.write_text("name,8.text\n")
    with pytest.raises(FleetError, match=r"no column 'photo'; its columns are name, 8\.text"):
        list(read_values(path))
