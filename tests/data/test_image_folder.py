"""Own images: how they are read, and what is refused by name. Their cache: test_image_cache.py."""

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cases import one_sentence
from helpers.image_files import SIDE, cached, load, make, picture
from PIL import Image

from robustdl_lib.data import image_folder
from robustdl_lib.data.image_folder import BadImages
from robustdl_lib.registry import DATASETS, SpecError

MODES = {
    "1": 255,
    "L": 90,
    "P": 90,
    "RGB": (10, 20, 30),
    "RGBA": (10, 20, 30, 255),
    "CMYK": (9, 8, 7, 6),
    "I;16": 40_000,
}
FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "images")


def test_a_folder_becomes_a_source(root: Path) -> None:
    source = load(f"folder:path={root},size={SIDE}")
    assert source.images.shape == (9, 3, SIDE, SIDE)
    assert source.images.dtype == np.uint8
    assert source.classes == ("cat", "dog", "eel")
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert source.files[:4] == ("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png")
    assert source.pool.tolist() == list(range(9))
    assert source.test.tolist() == []
    for row, seed in enumerate((0, 1, 2, 100, 101, 102, 200, 201, 202)):
        assert np.array_equal(source.images[row].transpose(1, 2, 0), np.asarray(picture(seed)))
    assert source.mean == pytest.approx(source.images.mean(axis=(0, 2, 3)) / 255)
    assert source.std == pytest.approx(source.images.std(axis=(0, 2, 3)) / 255)


def test_images_are_32_pixels_wide_unless_told(root: Path) -> None:
    assert load(f"folder:{root}").images.shape == (9, 3, 32, 32)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    make(tmp_path / "a")
    image = Image.new(mode, (5, 7), MODES[mode])
    suffix = "tif" if mode == "CMYK" else "png"
    image.save(tmp_path / "a" / "cat" / f"9.{suffix}")
    found = load(f"folder:path={tmp_path / 'a'},size={SIDE}").images[3]
    expected = (40_000 // 257,) * 3 if mode == "I;16" else image.convert("RGB").getpixel((0, 0))
    assert found.reshape(3, -1).T.tolist() == [list(expected)] * SIDE**2


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_read_whatever_its_name_says(tmp_path: Path, suffix: str) -> None:
    make(tmp_path / "a")
    picture(5, 20).save(tmp_path / "a" / "cat" / "0.png", FORMATS[suffix])
    with Image.open(tmp_path / "a" / "cat" / "0.png") as opened:
        expected = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    assert np.array_equal(load(f"folder:path={tmp_path / 'a'},size={SIDE}").images[0].transpose(1, 2, 0), expected)


def test_a_large_photograph_looks_as_if_it_were_decoded_whole(root: Path) -> None:
    whole = picture(3, 6).resize((700, 500), Image.Resampling.BICUBIC)
    whole.save(root / "cat" / "0.png", "JPEG", quality=95)
    expected = np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)
    found = load(f"folder:path={root},size={SIDE}").images[0].transpose(1, 2, 0)
    assert np.abs(found - expected).max() < 12
    assert np.abs(found - expected).mean() < 3


def test_nothing_says_what_its_classes_look_like(root: Path) -> None:
    assert DATASETS.parse(f"folder:{root}").entry.facts.flips == {}


def test_what_is_transparent_becomes_white(root: Path) -> None:
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)).save(root / "cat" / "0.png")
    assert (load(f"folder:path={root},size={SIDE}").images[0] == 255).all()


def test_a_photograph_taken_sideways_is_put_upright(root: Path) -> None:
    image = picture(7)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(root / "cat" / "0.png", exif=exif)
    upright = np.rot90(np.asarray(image), -1)
    assert np.array_equal(load(f"folder:path={root},size={SIDE}").images[0].transpose(1, 2, 0), upright)


def test_of_a_film_the_first_picture_is_taken(root: Path) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "blue")]
    frames[0].save(root / "cat" / "0.png", "GIF", save_all=True, append_images=frames[1:])
    assert load(f"folder:path={root},size={SIDE}").images[0, :, 0, 0].tolist() == [255, 0, 0]


def test_what_a_system_puts_there_is_passed_over(root: Path) -> None:
    before = load(f"folder:{root}").files
    (root / ".git").mkdir()
    (root / "readme.txt").write_text("not in a class")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (root / "cat" / name).write_bytes(b"x")
    assert load(f"folder:{root}").files == before


def test_subfolders_of_a_class_belong_to_it_and_loops_are_not_followed(root: Path) -> None:
    (root / "cat" / "more").mkdir()
    picture(3).save(root / "cat" / "more" / "0.png")
    for link, to in ((root / "cat" / "loop", root), (root / "loop", root), (root / "up", root.parent)):
        link.symlink_to(to, target_is_directory=True)
    (root / "itself").symlink_to(root / "itself")
    source = load(f"folder:{root}")
    assert source.classes == ("cat", "dog", "eel")
    assert source.files[:4] == ("cat/0.png", "cat/1.png", "cat/2.png", "cat/more/0.png")


def test_a_class_may_be_a_link_to_a_folder_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "cat").rename(tmp_path / "elsewhere")
    (root / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert load(f"folder:{root}").files[0] == "cat/0.png"


def broken_png() -> bytes:
    """Return a PNG whose first part has a wrong checksum."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head) ^ 1)
    return b"\x89PNG\r\n\x1a\n" + chunk


def fractions() -> bytes:
    place = Path(os.environ["ROBUSTDL_RESULTS"]).parent / "f.tif"
    Image.new("F", (8, 8), 0.5).save(place)
    return place.read_bytes()


def truncated(side: int = 200) -> bytes:
    place = Path(os.environ["ROBUSTDL_RESULTS"]).parent / "t.png"
    picture(1, side).save(place)
    return place.read_bytes()[: side * side]


BAD = {
    "empty": (lambda: b"", "it is empty"),
    "text": (lambda: b"no image. Really none.", "no known format"),
    "web page": (lambda: b"<!DOCTYPE html><html></html>", "no known format"),
    "truncated": (truncated, "truncated"),
    "head alone": (lambda: truncated()[:20], ""),
    "broken": (broken_png, ""),
    "fractions": (fractions, "fractions"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_image_that_cannot_be_read_is_refused_by_name(root: Path, name: str) -> None:
    content, reason = BAD[name]
    (root / "dog" / "1.png").write_bytes(content())
    for _ in range(2):
        with pytest.raises(BadImages) as refusal:
            load(f"folder:{root}")
        said = one_sentence(refusal.value, str(root), "dog/1.png", reason, "unreadable=skip")
        assert "other" not in said
    assert cached() == []


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_image_is_left_out_with_a_warning_if_asked(root: Path, name: str) -> None:
    (root / "dog" / "1.png").write_bytes(BAD[name][0]())
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match="left out as unreadable, 1 in all: dog/1.png"):
            source = load(f"folder:path={root},size={SIDE},unreadable=skip")
        assert source.files == tuple(
            f"{c}/{i}.png" for c in ("cat", "dog", "eel") for i in range(3) if (c, i) != ("dog", 1)
        )
        assert source.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
        assert source.pool.tolist() == list(range(8))
        assert np.array_equal(source.images[4].transpose(1, 2, 0), np.asarray(picture(102)))
    with pytest.raises(BadImages):
        load(f"folder:path={root},size={SIDE}")


def test_the_refusal_counts_the_other_bad_images(root: Path) -> None:
    for name in ("cat/2.png", "dog/1.png", "eel/0.png"):
        (root / name).write_bytes(b"")
    with pytest.raises(BadImages) as refusal:
        load(f"folder:{root}")
    one_sentence(refusal.value, "cat/2.png", "and 2 other files")


def test_a_mended_image_is_read_again(root: Path) -> None:
    (root / "dog" / "1.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out"):
        load(f"folder:path={root},unreadable=skip")
    picture(101).save(root / "dog" / "1.png")
    assert len(load(f"folder:path={root},unreadable=skip").files) == 9


def test_a_class_whose_images_are_all_bad_is_refused_even_then(root: Path) -> None:
    for file in (root / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.warns(UserWarning, match="unreadable, 3 in all"), pytest.raises(BadImages) as refusal:
        load(f"folder:path={root},unreadable=skip")
    one_sentence(refusal.value, "'dog'", "no image that can be read")


def nothing(root: Path) -> None:
    shutil.rmtree(root)


def a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_bytes(b"")


def no_classes(root: Path) -> None:
    for entry in root.iterdir():
        shutil.rmtree(entry)
    picture(1).save(root / "0.png")


def one_class(root: Path) -> None:
    shutil.rmtree(root / "dog")
    shutil.rmtree(root / "eel")


def empty_class(root: Path) -> None:
    (root / "ape").mkdir()
    (root / "ape" / ".DS_Store").write_bytes(b"x")


def single(root: Path) -> None:
    (root / "dog" / "0.png").unlink()
    (root / "dog" / "1.png").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (nothing, ("found nothing", "subfolder for each class")),
        (a_file, ("found a file",)),
        (no_classes, ("no subfolders",)),
        (one_class, ("at least two classes", "'cat'")),
        (empty_class, ("'ape'", "no image")),
        (single, ("'dog'", "one image", "stratified split")),
    ],
)
def test_a_folder_that_cannot_be_learned_from_is_refused(root: Path, damage: Any, words: tuple[str, ...]) -> None:
    damage(root)
    with pytest.raises(BadImages) as refusal:
        load(f"folder:{root}")
    one_sentence(refusal.value, str(root), *words)
    assert cached() == []


@pytest.mark.parametrize("name", ["with space", "a=b", "a:b", "ä", "x:y=z", "#1", "café.d"])
def test_a_path_survives_its_canonical_spec(tmp_path: Path, name: str) -> None:
    made = make(tmp_path / name)
    spec = DATASETS.parse(f"folder:path={made},size=16")
    assert spec.knobs["path"] == str(made)
    assert DATASETS.parse(str(spec)).knobs == spec.knobs
    assert str(DATASETS.parse(str(spec))) == str(spec)
    assert len(load(str(spec)).files) == 9


@pytest.mark.parametrize("spec", ["folder:/a,b", "folder:path=/a,b", "folder:/a=b", "folder:", "folder", "csv:x,y"])
def test_a_spec_that_cannot_be_read_is_refused(spec: str) -> None:
    with pytest.raises(SpecError) as refusal:
        load(spec)
    one_sentence(refusal.value, spec.partition(":")[0])


@pytest.mark.parametrize("path", ["/a,b", " /a", "/a ", ""])
def test_a_path_that_no_spec_can_say_is_refused(path: str) -> None:
    with pytest.raises(SpecError) as refusal:
        image_folder.folder(path=path)
    one_sentence(refusal.value, repr(path), "comma")


@pytest.mark.parametrize("knobs", ["size=3", "size=2000", "size=x", "unreadable=keep", "pth=3"])
def test_other_knobs_are_refused(root: Path, knobs: str) -> None:
    with pytest.raises(SpecError) as refusal:
        load(f"folder:path={root},{knobs}")
    one_sentence(refusal.value, knobs.split("=")[0])


def write_csv(root: Path, *lines: str, encoding: str = "utf-8") -> Path:
    table = root / "table.csv"
    table.write_text("\n".join(lines) + "\n", encoding=encoding)
    return table


def rows_of(words: tuple[str, ...], part: str = ",") -> list[str]:
    return [
        f"{name}/{index}.png{part}{word}"
        for name, word in zip(("cat", "dog", "eel"), words, strict=True)
        for index in (0, 1)
    ]


@pytest.mark.parametrize("part", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_becomes_a_source(root: Path, part: str, encoding: str) -> None:
    table = write_csv(root, f"file{part}label", *rows_of(("b", "ä", "a"), part), "", encoding=encoding)
    source = load(f"csv:path={table},size={SIDE}")
    assert source.classes == ("a", "b", "ä")
    assert source.labels.tolist() == [1, 1, 2, 2, 0, 0]
    assert source.files[2] == "dog/0.png"
    assert np.array_equal(source.images[2].transpose(1, 2, 0), np.asarray(picture(100)))


def test_whole_numbers_are_in_their_own_order(root: Path) -> None:
    assert load(f"csv:{write_csv(root, 'file,label', *rows_of(('10', '9', '-1')))}").classes == ("-1", "9", "10")
    assert load(f"csv:{write_csv(root, 'file,label', *rows_of(('10', '9', '01')))}").classes == ("01", "10", "9")


def test_columns_may_have_other_names_and_files_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    lines = [f"7,../images/{row}" for row in rows_of(("x", "y", "z"))[:-2]] + [
        f"7,{root}/eel/{i}.png,z" for i in (0, 1)
    ]
    (tmp_path / "lists").mkdir()
    table = write_csv(tmp_path / "lists", "id,image file,class", *lines)
    source = load(f"csv:path={table},file=image file,label=class")
    assert source.classes == ("x", "y", "z")
    assert source.files[0] == "../images/cat/0.png"


CSVS = {
    "no column": (["file,lable", "cat/0.png,a"], ("no column 'label'", "did you mean 'lable'?", "file, lable")),
    "no such file": (["file,label", "cat/0.png,a", "cat/9.png,b", "x,b"], ("line 3", "'cat/9.png'", "1 other file")),
    "a folder": (["file,label", "cat,a"], ("line 2", "'cat'")),
    "no label": (["file,label", "cat/0.png,a", "dog/0.png, "], ("line 3", "label")),
    "short line": (["file,label", "cat/0.png"], ("line 2", "label")),
    "twice": (["file,label", "cat/0.png,a", "./cat/0.png,b"], ("'cat/0.png'", "more than once")),
    "one class": (["file,label", "cat/0.png,a", "dog/0.png,a"], ("two classes", "'a'")),
    "one each": (["file,label", "cat/0.png,a", "dog/0.png,b"], ("'a'", "one image", "1 other class")),
    "no rows": (["file,label"], ("a line for each image",)),
    "nothing": ([], ("no column 'file'",)),
    "open quote": (["file,label", '"cat/0.png,a'], ("csv in UTF-8",)),
}


@pytest.mark.parametrize("name", CSVS)
def test_a_csv_that_is_not_right_is_refused(root: Path, name: str) -> None:
    lines, words = CSVS[name]
    table = write_csv(root, *lines)
    with pytest.raises(BadImages) as refusal:
        load(f"csv:{table}")
    one_sentence(refusal.value, str(table), *words)
    assert cached() == []


def test_a_csv_that_is_no_text_is_refused(root: Path) -> None:
    with pytest.raises(BadImages) as refusal:
        load(f"csv:{root / 'cat' / '0.png'}")
    one_sentence(refusal.value, "csv in UTF-8")
    for place in (root, root / "none.csv"):
        with pytest.raises(BadImages) as refusal:
            load(f"csv:{place}")
        one_sentence(refusal.value, str(place), "columns file and label")
