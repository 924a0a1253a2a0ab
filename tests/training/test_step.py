"""A training step: the same whether it runs as written or is replayed, and without waiting for the device."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.cases import smoke
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import SGD

from robustdl_lib import losses, objective, train
from robustdl_lib.data import Data
from robustdl_lib.registry import METHODS
from robustdl_lib.training import compute
from robustdl_lib.training.compute import Format
from robustdl_lib.training.step import WARM, Capture, EpochLoss, Steps, TrainingFailed, capturable

SPECS = [
    *(name for name in METHODS if name not in ("kd", "joint", "adaptive")),
    "cp:anneal=True",
    "proselflc:T=0.5,anneal=True,confidence=max",
    "proselflc:trust=global",
    "pseudo:start=0.0,end=0.5",
    "dm:beta=12,lam=0.5,norm=integral",
]


def steps(digits: Data, method: str = "cce", capture: Capture | None = None, **changes: Any) -> Steps:
    cfg = smoke(method=method, **changes)
    data = digits.to(torch.device("cpu"))
    model = train.initial_model(cfg, data)
    chosen = objective.build(method, data.num_classes)
    chosen.begin(data.train.labels, lambda **fields: train.fit(cfg.replace(**fields), data))
    return Steps(cfg, data, model, chosen, SGD(model.parameters(), lr=0.1, momentum=0.9), Format(), capture=capture)


def taken(made: Steps, epochs: int = 1, batch: int = 400) -> Steps:
    """Take the steps of some epochs in a fixed order: batches of 400, 400, 400 and 57."""
    crops = torch.Generator().manual_seed(0)
    batches = torch.arange(len(made.mirrored)).split(batch)
    total = epochs * len(batches)
    for epoch in range(epochs):
        made.begin_epoch(crops, epoch * len(batches))
        for number, rows in enumerate(batches, epoch * len(batches)):
            made(rows, number / total)
    return made


class Recorder:
    """A capture that replays by calling the body, as a graph would run it, and counts."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(self, body: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1

        def replay() -> None:
            self.replayed += 1
            body()

        return replay


def weights(made: Steps) -> Tensor:
    return torch.cat([values.flatten().double() for values in made.model.state_dict().values()])


@pytest.mark.parametrize("spec", SPECS)
def test_replayed_steps_are_those_that_are_written(spec: str, digits: Data) -> None:
    recorder = Recorder()
    plain, replayed = taken(steps(digits, spec), 2), taken(steps(digits, spec, recorder), 2)
    assert recorder.captured == 1
    assert recorder.replayed == 2 * 3 - WARM
    torch.testing.assert_close(weights(replayed), weights(plain), rtol=1e-4, atol=1e-5)
    assert replayed.losses.mean("") == pytest.approx(plain.losses.mean(""), rel=1e-5)


def test_each_size_of_a_batch_is_captured_by_itself(digits: Data) -> None:
    recorder = Recorder()
    replayed = taken(steps(digits, "proselflc", recorder), 5)
    assert recorder.captured == 2
    assert recorder.replayed == 5 * 4 - 2 * WARM
    torch.testing.assert_close(weights(replayed), weights(taken(steps(digits, "proselflc"), 5)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ["joint", "adaptive"])
def test_a_method_whose_steps_differ_is_not_captured(spec: str, digits: Data) -> None:
    recorder = Recorder()
    made = taken(steps(digits, spec, recorder), 2)
    assert recorder.captured == 0
    assert torch.equal(weights(made), weights(taken(steps(digits, spec), 2)))


def test_every_method_without_memory_may_be_captured() -> None:
    kept = {name for name in METHODS if not capturable(objective.build(name, 10))}
    assert kept == {"joint", "adaptive"}


def test_a_step_that_cannot_be_captured_is_taken_as_written_and_said_so_once(digits: Data) -> None:
    def refuse(body: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    made = steps(digits, "gce", refuse)
    with pytest.warns(UserWarning, match="not captured as a graph, which costs time alone: operation not") as caught:
        taken(made, 3)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert torch.equal(weights(made), weights(taken(steps(digits, "gce"), 3)))


@pytest.mark.parametrize("spec", SPECS)
def test_no_step_waits_for_the_device(spec: str, digits: Data) -> None:
    """A tensor without values raises where a step would read one on the host."""
    made = steps(digits, spec)
    made(torch.arange(64), 0.0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        made.body(torch.arange(64), torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("spec", SPECS)
def test_no_step_brings_numbers_from_the_host(spec: str, digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are sent to a device make it wait; the first step sends those that are needed."""
    made = steps(digits, spec)
    made(torch.arange(64), 0.0)
    for name in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, None)
    made.body(torch.arange(64), torch.zeros((), dtype=torch.float64))


def test_a_step_that_waits_is_noticed(digits: Data) -> None:
    @METHODS.register("waiting", label="waiting", source="here", role="loss")
    def waiting(logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy, scaled by a number that is read on the host."""
        return losses.cce(logits, target) * float(logits.detach().mean())

    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(Exception, match="_local_scalar_dense"):
        steps(digits, "waiting").body(torch.arange(64), 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_step_that_was_not_finite_is_named(bad: float) -> None:
    found = EpochLoss(torch.device("cpu"))
    found.begin(40)
    for loss in (1.0, bad, 2.0, math.nan):
        found.add(torch.tensor(loss), 128)
    with pytest.raises(TrainingFailed, match=r"^the loss is not finite at step 42 of 100$"):
        found.mean("of 100")


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples() -> None:
    found = EpochLoss(torch.device("cpu"))
    for start, values in ((0, (7.0, 7.0)), (2, (1.0, 5.0))):
        found.begin(start)
        for loss, count in zip(values, (3, 1), strict=True):
            found.add(torch.tensor(loss), count)
    assert found.mean("") == 2.0


def test_losses_too_large_to_be_added_up_end_the_run_as_well() -> None:
    found = EpochLoss(torch.device("cpu"))
    found.begin(6)
    found.add(torch.tensor(3e38), 128)
    with pytest.raises(TrainingFailed, match=r"^the losses, each finite, cannot be added up to step 7 of 9$"):
        found.mean("of 9")


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "step", "constant"])
def test_a_run_of_captured_steps_is_the_run(schedule: str, digits: Data) -> None:
    """The rate and the time are numbers on the device there, read by every replay."""
    cfg, cpu, recorder = smoke(method="proselflc", schedule=schedule), torch.device("cpu"), Recorder()
    plain = train.fit(cfg, digits)
    captured = train._fit(cfg, digits.to(cpu), compute.usual(cfg, cpu), None, None, None, recorder)
    assert recorder.replayed == 2 * 9 - WARM
    for name in ("lr", "train_loss", "p_clean"):
        assert captured.history[name].tolist() == pytest.approx(plain.history[name].tolist(), rel=1e-3), name


def test_the_loss_is_the_mean_over_the_examples(digits: Data) -> None:
    made = steps(digits, augment=False)
    for group in made.optimiser.param_groups:
        group["lr"] = 0.0
    made.model.eval()
    taken(made)
    logits = made.model(digits.train.images).detach()
    expected = losses.cce(logits, torch.nn.functional.one_hot(digits.train.labels, 10).float()).mean()
    assert made.losses.mean("") == pytest.approx(float(expected), rel=1e-5)


def test_crops_are_those_of_the_epoch(digits: Data) -> None:
    first, same, other = (steps(digits) for _ in range(3))
    for made, seed in ((first, 0), (same, 0), (other, 1)):
        made.begin_epoch(torch.Generator().manual_seed(seed), 0)
    assert torch.equal(first.offsets, same.offsets)
    assert not torch.equal(first.offsets, other.offsets)
    plain = steps(digits, augment=False)
    plain.begin_epoch(torch.Generator().manual_seed(0), 0)
    assert not plain.offsets.any()
