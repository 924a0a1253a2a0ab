"""The cache of resized images: shared, made anew when it is damaged or the files changed, and never needed."""

import json
import os
import pickle
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cases import one_sentence
from helpers.image_files import SIDE, cached, load, make, picture
from PIL import Image

from robustdl_lib.data import image_cache
from robustdl_lib.data.image_folder import BadImages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "images")


def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows by each file that is decoded."""
    seen: list[Path] = []
    real = image_cache._decode_into

    def spy(images: np.ndarray, row: int, file: Path) -> str:
        seen.append(file)
        return real(images, row, file)

    monkeypatch.setattr(image_cache, "_decode_into", spy)
    return seen


def test_images_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = decodes(monkeypatch)
    first, second = load(f"folder:{root}"), load(f"folder:{root}")
    assert len(seen) == 9
    assert np.array_equal(first.images, second.images)
    assert isinstance(second.images, np.memmap)
    assert [path.suffix for path in cached()] == [".json", ".u8"]
    load(f"folder:path={root},size=16")
    assert len(seen) == 18
    assert len(cached()) == 4


def test_the_array_is_written_to_by_nobody_else(root: Path) -> None:
    first, second = load(f"folder:{root}"), load(f"folder:{root}")
    before = cached()[1].read_bytes()
    first.images[:] = 0
    assert second.images.any()
    assert cached()[1].read_bytes() == before


@pytest.mark.usefixtures("no_warnings")
def test_torch_takes_the_array_as_it_is(root: Path) -> None:
    source = load(f"folder:{root}")
    assert torch.from_numpy(source.images).data_ptr() == source.images.ctypes.data
    assert np.array_equal(pickle.loads(pickle.dumps(source)).images, source.images)


def change_content(root: Path) -> None:
    """Write another image of the same length over one, and give it the old time of change."""
    file = root / "cat" / "0.png"
    Image.new("RGB", (SIDE, SIDE)).save(file.with_suffix(".bmp"))
    before = file.stat()
    file.write_bytes(file.with_suffix(".bmp").read_bytes().ljust(before.st_size, b"\0")[: before.st_size])
    file.with_suffix(".bmp").unlink()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_image(root: Path) -> None:
    picture(9).save(root / "cat" / "00.png")


def rename_image(root: Path) -> None:
    (root / "cat" / "0.png").rename(root / "cat" / "z.png")


@pytest.mark.parametrize("change", [change_content, add_image, rename_image])
def test_a_folder_that_changed_is_read_again_and_the_old_cache_removed(root: Path, change: Any) -> None:
    old = load(f"folder:path={root},size={SIDE}")
    kept = cached()
    time.sleep(0.02)  # a file system's clock has ticks
    change(root)
    new = load(f"folder:path={root},size={SIDE}")
    assert new.files != old.files or not np.array_equal(new.images, old.images)
    assert not set(kept) & set(cached())
    assert len(cached()) == 2


def test_two_folders_that_look_alike_from_outside_are_told_apart(tmp_path: Path) -> None:
    sources = []
    for name, colour in (("one", "red"), ("two", "blue")):
        make(tmp_path / name)
        for file in (tmp_path / name).glob("*/*.png"):
            Image.new("RGB", (SIDE, SIDE), colour).save(file, "BMP")
            os.utime(file, (1, 1))
        sources.append(load(f"folder:path={tmp_path / name},size={SIDE}"))
    assert sources[0].images[0, :, 0, 0].tolist() == [255, 0, 0]
    assert sources[1].images[0, :, 0, 0].tolist() == [0, 0, 255]


def flip_byte(pixels: Path, record: Path) -> None:
    content = bytearray(pixels.read_bytes())
    content[100] ^= 1
    pixels.write_bytes(content)


def cut(pixels: Path, record: Path) -> None:
    pixels.write_bytes(pixels.read_bytes()[:-5])


def lose_pixels(pixels: Path, record: Path) -> None:
    pixels.unlink()


def lose_record(pixels: Path, record: Path) -> None:
    record.unlink()


def cut_record(pixels: Path, record: Path) -> None:
    record.write_text(record.read_text()[:40])


def lie(pixels: Path, record: Path) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), "rows": 8}))


def list_in_record(pixels: Path, record: Path) -> None:
    record.write_text("[1, 2]")


@pytest.mark.parametrize("damage", [flip_byte, cut, lose_pixels, lose_record, cut_record, lie, list_in_record])
def test_a_damaged_cache_is_made_anew(root: Path, damage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.array(load(f"folder:{root}").images)
    record, pixels = cached()
    damage(pixels, record)
    seen = decodes(monkeypatch)
    assert np.array_equal(load(f"folder:{root}").images, first)
    assert len(seen) == 9
    load(f"folder:{root}")
    assert len(seen) == 9


def test_a_cache_that_cannot_be_written_is_no_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = np.array(load(f"folder:{root}").images)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ROBUSTDL_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="resized images are not kept"):
        assert np.array_equal(load(f"folder:{root}").images, expected)
    (root / "dog" / "0.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="not kept"), pytest.raises(BadImages) as refusal:
        load(f"folder:{root}")
    one_sentence(refusal.value, "dog/0.png")


def test_a_disk_that_fills_up_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert len(load(f"folder:{root}").images) == 9
    assert cached() == []


def test_runs_that_start_at_once_agree(root: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        sources = list(threads.map(load, [f"folder:path={root},size={SIDE}"] * 8))
    assert all(np.array_equal(source.images, sources[0].images) for source in sources)
    assert [path.suffix for path in cached()] == [".json", ".u8"]


def test_many_chunks_give_what_one_gives(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root / "eel" / "more", tuple("abcdefghij"), 9)
    whole = np.array(load(f"folder:path={root},size={SIDE}").images)
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 1)
    monkeypatch.setenv("ROBUSTDL_CACHE", str(root.parent / "other"))
    assert len(whole) == 99 > 64
    assert np.array_equal(load(f"folder:path={root},size={SIDE}").images, whole)


@pytest.mark.usefixtures("no_warnings")
def test_a_name_that_is_no_text_is_read(root: Path) -> None:
    raw = os.fsencode(root / "cat") + b"/\xff.png"
    try:
        Path(os.fsdecode(raw)).write_bytes((root / "cat" / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load(f"folder:{root}").images) == 10
