"""How a run computes: what is tried, what is chosen, and that it is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cases import one_sentence, smoke

from robustdl_lib import models, paths, sweeps, train
from robustdl_lib.config import ConfigError
from robustdl_lib.data import Data
from robustdl_lib.parallel import on_threads
from robustdl_lib.training import compute
from robustdl_lib.training.compute import Format

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROBUSTDL_FORMAT")


def speeds(monkeypatch: pytest.MonkeyPatch, **found: float) -> list[Format]:
    """Let a probe measure what is given, by layout and type of number; return the list of what was tried."""
    tried: list[Format] = []

    def measured(cfg: Any, forms: list[Format], *_: Any) -> dict[Format, float]:
        tried.extend(forms)
        return {form: found.get(form.words.replace(" ", "_"), found.get("others", 100.0)) for form in forms}

    monkeypatch.setattr(compute, "measure", measured)
    return tried


def chosen(**changes: Any) -> Format:
    return compute.fastest(smoke(**changes), CPU, SHAPE, 10)


def test_the_usual_format_is_channels_last_float32_on_the_threads_there_are() -> None:
    with on_threads(2):
        assert compute.usual(smoke(), CPU) == Format("channels_last", "float32", 2)
    assert compute.usual(smoke(precision="bfloat16"), CPU).precision == "bfloat16"


def test_each_layout_number_and_count_of_threads_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = speeds(monkeypatch)
    with on_threads(2):
        chosen()
    assert len(tried) == len(set(tried)) == 8
    assert tried[0] == Format("channels_last", "float32", 2)
    del tried[:]
    with on_threads(1):
        chosen(precision="float32")
    assert {form.layout for form in tried} == {"channels_last", "contiguous"}
    assert {(form.precision, form.threads) for form in tried} == {("float32", 1)}


def test_another_format_is_chosen_only_where_it_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_threads(1):
        speeds(monkeypatch, others=100.0, contiguous_float32_1=129.0)
        assert chosen() == Format("channels_last", "float32", 1)
        speeds(monkeypatch, others=100.0, contiguous_bfloat16_1=135.0, channels_last_bfloat16_1=131.0)
        assert chosen(model="resnet14") == Format("contiguous", "bfloat16", 1)


def test_nothing_is_tried_where_the_usual_format_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = speeds(monkeypatch, others=50.0, contiguous_float32_1=100.0)
    monkeypatch.setenv("ROBUSTDL_FORMAT", "usual")
    with on_threads(1):
        assert chosen() == Format("channels_last", "float32", 1)
    assert tried == []


def test_one_thread_is_taken_where_two_are_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, others=50.0, channels_last_float32_1=100.0)
    with on_threads(2):
        assert chosen().threads == 1


def test_what_was_measured_is_kept_and_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, others=50.0, contiguous_float32_1=100.0)
    with on_threads(1):
        first = chosen()
        tried = speeds(monkeypatch)
        assert chosen() == first
        assert tried == []
        chosen(model="resnet14")
        assert len(tried) == 4
    kept = json.loads((paths.cache() / "formats.json").read_text())
    (entry,) = [entry for key, entry in kept.items() if "resnet8" in key]
    assert entry["chosen"] == "contiguous float32 1"
    assert entry["images_per_second"]["contiguous float32 1"] == 100.0


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', "{", '{"KEY": {"chosen": "upside down"}}', '{"KEY": {}}'])
def test_a_cache_that_is_not_as_it_was_written_is_measured_anew(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = speeds(monkeypatch)
    with on_threads(1):
        key = compute._key(smoke(), compute.usual(smoke(), CPU), SHAPE)
        paths.cache().mkdir(parents=True)
        (paths.cache() / "formats.json").write_text(text.replace("KEY", key))
        assert chosen() == Format("channels_last", "float32", 1)
    assert len(tried) == 4


def test_a_cache_that_cannot_be_written_is_gone_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBUSTDL_CACHE", str(tmp_path / "file" / "cache"))
    speeds(monkeypatch)
    with on_threads(1):
        assert chosen() == Format("channels_last", "float32", 1)


def test_a_probe_measures_and_leaves_generator_and_threads_as_they_were() -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    forms = [Format(threads=1), Format("contiguous", "bfloat16", 2)]
    found = compute.measure(smoke(), forms, SHAPE, 10)
    assert list(found) == forms
    assert min(found.values()) > 10
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("form", [Format("contiguous"), Format("channels_last"), Format("contiguous", "bfloat16")])
def test_a_format_changes_the_last_digits_alone(form: Format) -> None:
    model = models.resnet(8).eval()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = model(images)
    found = form.logits(form.prepare(model), images)
    assert found.dtype == torch.float32
    tolerance = 1e-4 if form.precision == "float32" else 0.1
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_a_layout_is_that_of_weights_and_images() -> None:
    seen: list[torch.Tensor] = []
    model = Format("contiguous").prepare(models.resnet(8))
    model.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(4, 3, 16, 16).to(memory_format=torch.channels_last)
    Format("contiguous").logits(model, images)
    Format("channels_last").logits(Format("channels_last").prepare(model), images)
    assert [image.is_contiguous() for image in seen] == [True, False]
    assert model.stages[0][0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_run_in_another_format_learns_the_same(digits: Data) -> None:
    cfg = smoke()
    one, other = (train.fit(cfg, digits, form=Format(layout)).history for layout in ("channels_last", "contiguous"))
    assert other["train_loss"].tolist() == pytest.approx(one["train_loss"].tolist(), rel=1e-2)


def test_what_a_run_took_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    speeds(monkeypatch, others=50.0, contiguous_float32_1=100.0)
    sweeps.train_one(smoke(epochs=1), tmp_path)
    (record,) = [json.loads(path.read_text()) for path in tmp_path.glob("*/provenance.json")]
    assert record["format"] == {"layout": "contiguous", "precision": "float32", "threads": 1}
    assert record["threads"] == 1


def test_a_device_that_is_not_there_is_refused() -> None:
    assert compute.resolve_device("cpu") == CPU
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device 'cuda:1' is not there: this machine has cpu") as refusal:
            compute.resolve_device("cuda:1")
        one_sentence(refusal.value)
