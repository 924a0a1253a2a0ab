"""Training: rows as described, the same bits twice, nothing global touched, and something is learned."""

import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, smoke
from torch.optim import SGD

from robustdl_lib import data, losses, train
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.methods.objective import build
from robustdl_lib.methods.stateful import Beginning
from robustdl_lib.registry import METHODS
from robustdl_lib.training.train import COLUMNS

FRACTIONS = [
    "progress",
    "test_acc",
    "val_acc",
    "clean_acc",
    "fit_wrong",
    "corrected",
    "entropy_clean",
    "entropy_wrong",
    "p_clean",
    "p_wrong",
    "trust",
]


@pytest.fixture(scope="module")
def trained(digits: data.Data) -> train.Trained:
    torch.set_num_threads(1)
    return train.fit(smoke(method="proselflc"), digits)


def test_epochs_between_two_rows_change_nothing_but_the_number_of_rows(digits: data.Data) -> None:
    cfg = smoke(epochs=3)
    every, second = train.fit(cfg, digits), train.fit(cfg.replace(record_every=2), digits)
    assert second.history["epoch"].tolist() == [2, 3]
    pd.testing.assert_frame_equal(
        second.history.drop(columns="seconds"), every.history.iloc[1:].drop(columns="seconds").reset_index(drop=True)
    )
    assert all(np.array_equal(second.p_y[name], every.p_y[name][1:]) for name in every.p_y)


def test_a_row_an_epoch_with_the_columns_of_the_design(trained: train.Trained) -> None:
    assert list(trained.history.columns) == list(COLUMNS)
    assert len(trained.history) == 2
    expected = [
        "epoch",
        "progress",
        "lr",
        "seconds",
        "train_loss",
        "test_acc",
        "val_acc",
        "clean_acc",
        "fit_wrong",
        "corrected",
    ]
    assert list(COLUMNS) == [*expected, "entropy_clean", "entropy_wrong", "p_clean", "p_wrong", "trust"]
    assert trained.history["epoch"].tolist() == [1, 2]
    assert trained.history["progress"].tolist() == [0.5, 1.0]


def test_fractions_lie_between_zero_and_one_and_the_rest_is_positive(trained: train.Trained) -> None:
    fractions = trained.history[FRACTIONS].to_numpy(dtype=float)
    assert (fractions >= 0).all()
    assert (fractions <= 1).all()
    assert (trained.history[["lr", "seconds", "train_loss"]] > 0).all(axis=None)


def test_a_wrong_label_is_not_fitted_and_corrected_at_once(trained: train.Trained) -> None:
    assert (trained.history["fit_wrong"] + trained.history["corrected"] <= 1 + 1e-9).all()


def test_histograms_count_each_training_example_once(trained: train.Trained, digits: data.Data) -> None:
    wrong = int(digits.train.mislabelled.sum())
    assert {name: counts.shape for name, counts in trained.p_y.items()} == {"clean": (2, 50), "wrong": (2, 50)}
    assert (trained.p_y["wrong"].sum(1) == wrong).all()
    assert (trained.p_y["clean"].sum(1) == 1257 - wrong).all()


def test_the_average_p_y_agrees_with_its_histogram(trained: train.Trained) -> None:
    middles = (np.arange(50) + 0.5) / 50
    for subset in ("clean", "wrong"):
        counts = trained.p_y[subset]
        means = counts @ middles / counts.sum(1)
        np.testing.assert_allclose(trained.history[f"p_{subset}"], means, atol=0.01)


def test_the_row_is_what_the_returned_network_does(trained: train.Trained, digits: data.Data) -> None:
    cfg = smoke(method="proselflc")
    row, _ = train.measure(cfg, trained.model, digits.to(torch.device("cpu")), build(cfg.method, 10), 1.0)
    last = trained.history.iloc[-1]
    assert all(row[name] == pytest.approx(last[name], abs=1e-12) for name in row)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_to_finite_numbers(method: str, digits: data.Data) -> None:
    history = train.train(smoke(method=method, epochs=1), digits)
    assert np.isfinite(history.to_numpy(dtype=float)).all()


def test_the_same_configuration_gives_the_same_bits(trained: train.Trained, digits: data.Data) -> None:
    again = train.fit(smoke(method="proselflc"), digits)
    one, other = (run.history.drop(columns="seconds") for run in (trained, again))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    for name, counts in trained.p_y.items():
        assert (again.p_y[name] == counts).all()
    states = trained.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("changes", [{"seed": 1}, {"augment": False}, {"batch_size": 64}, {"momentum": 0.5}])
def test_another_configuration_gives_other_numbers(
    changes: dict[str, object], trained: train.Trained, digits: data.Data
) -> None:
    history = train.train(smoke(method="proselflc", **changes), digits)
    assert history["train_loss"].iloc[-1] != trained.history["train_loss"].iloc[-1]


def test_the_global_generators_are_left_alone_and_do_not_matter(trained: train.Trained, digits: data.Data) -> None:
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    history = train.train(smoke(method="proselflc"), digits)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]
    assert history["train_loss"].tolist() == trained.history["train_loss"].tolist()


def test_the_data_are_not_changed(digits: data.Data) -> None:
    before = digits.train.images.clone(), digits.train.labels.clone()
    train.train(smoke(epochs=1), digits)
    assert torch.equal(digits.train.images, before[0])
    assert torch.equal(digits.train.labels, before[1])


def test_on_epoch_sees_each_row_as_it_ends(digits: data.Data) -> None:
    seen: list[dict[str, float]] = []
    history = train.fit(smoke(), digits, seen.append).history
    assert [row["epoch"] for row in seen] == [1, 2]
    pd.testing.assert_frame_equal(pd.DataFrame(seen, columns=list(COLUMNS)), history)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run(value: float, digits: data.Data) -> None:
    @METHODS.register("broken", label="broken", source="here", role="loss")
    def broken(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Never a number."""
        return (logits * target).sum(1) * 0 + value

    with pytest.raises(train.TrainingFailed) as caught:
        train.train(smoke(method="broken"), digits)
    one_sentence(caught.value, "the loss is not finite at step 1 of 20, in epoch 1", '"method":"broken"')


def test_a_run_that_diverges_is_refused_too(digits: data.Data) -> None:
    for _ in range(2):
        with pytest.raises(train.TrainingFailed, match=r"not finite at step 2 of 20, in epoch 1 of .*\"lr\":1e\+30"):
            train.train(smoke(lr=1e30, schedule="constant"), digits)


def test_a_run_whose_last_step_breaks_the_network_is_refused(digits: data.Data) -> None:
    cfg = smoke(lr=1e30, schedule="constant", batch_size=2000, epochs=1)
    with pytest.raises(
        train.TrainingFailed, match=r"^the network's logits are not finite after step 1 of 1, in epoch 1 of"
    ):
        train.train(cfg, digits)


def test_clean_labels_are_learned_far_above_chance() -> None:
    cfg = smoke(noise="none", batch_size=32)
    history = train.train(cfg, data.load(cfg))
    assert history["test_acc"].iloc[-1] > 0.8
    assert history["train_loss"].is_monotonic_decreasing
    assert history["fit_wrong"].isna().all()
    assert history["p_wrong"].isna().all()


def rates(total: int, **changes: object) -> list[float]:
    """Return the learning rate of each of ``total`` steps."""
    cfg = smoke(**changes)
    optimiser = SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.lr, momentum=cfg.momentum)
    scheduler = train.make_scheduler(cfg, optimiser, total)
    found = []
    for _ in range(total):
        found.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return found


def test_the_optimiser_is_sgd_with_the_settings_of_the_configuration() -> None:
    cfg = smoke(lr=0.3, momentum=0.7, weight_decay=0.01)
    [group] = train.make_optimiser(cfg, torch.nn.Linear(2, 2), torch.device("cpu")).param_groups
    settings = {"lr": 0.3, "momentum": 0.7, "weight_decay": 0.01, "dampening": 0, "nesterov": False}
    assert {name: group[name] for name in settings} == settings


def test_one_cycle_rises_from_a_25th_to_the_peak_and_falls_to_almost_nothing() -> None:
    found = rates(99)
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[29] == pytest.approx(0.1)
    assert np.argmax(found) == 29
    assert found[-1] < 1e-4
    assert np.all(np.diff(found[:30]) > 0)
    assert np.all(np.diff(found[29:]) < 0)


def test_cosine_is_half_a_wave() -> None:
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(100) / 100))
    np.testing.assert_allclose(rates(100, schedule="cosine"), expected, rtol=1e-9)


def test_steps_divide_by_ten_at_the_milestones() -> None:
    assert rates(100, schedule="step") == pytest.approx([0.1] * 50 + [0.01] * 25 + [0.001] * 25)
    assert rates(10, schedule="step", milestones=(0.3,)) == pytest.approx([0.1] * 3 + [0.01] * 7)


def test_constant_is_constant() -> None:
    assert rates(20, schedule="constant", lr=0.03) == [0.03] * 20


def test_the_row_holds_the_rate_of_the_last_step(digits: data.Data) -> None:
    steps = math.ceil(1257 / 128)
    history = train.train(smoke(schedule="cosine"), digits)
    expected = rates(2 * steps, schedule="cosine")
    assert history["lr"].tolist() == pytest.approx([expected[steps - 1], expected[-1]])


def test_a_batch_holds_each_example_once_in_a_new_order(digits: data.Data) -> None:
    order = torch.Generator().manual_seed(0)
    one, other = (train.batches(smoke(), digits, order) for _ in range(2))
    assert [len(rows) for rows in one] == [128] * 9 + [105]
    for epoch in (one, other):
        assert torch.equal(torch.cat(epoch).sort().values, torch.arange(1257))
    assert not torch.equal(torch.cat(one), torch.cat(other))


def test_a_memory_is_told_of_the_given_labels_and_of_every_row_once_an_epoch(digits: data.Data) -> None:
    told: list[torch.Tensor] = []

    class Listener:
        def __init__(self) -> None:
            pass

        def begin(self, run: Beginning) -> None:
            assert torch.equal(run.labels, digits.train.labels)
            assert run.num_classes == 10

        def recall(self, logits: torch.Tensor, target: torch.Tensor, **known: torch.Tensor) -> torch.Tensor:
            assert torch.equal(target.argmax(1), digits.train.labels[known["rows"]])
            assert torch.equal(known["images"], digits.train.images[known["rows"]])
            assert logits.dtype == torch.float32
            told.append(known["rows"])
            return torch.zeros(())

    @METHODS.register("listening", label="listening", source="here", role="loss", memory=Listener)
    def listening(logits: torch.Tensor, target: torch.Tensor, *, recalled: torch.Tensor | None = None) -> torch.Tensor:
        """Cross entropy."""
        return losses.cce(logits, target)

    runs = [train.fit(smoke(method=method, augment=False), digits) for method in ("listening", "cce")]
    for epoch in (told[:10], told[10:]):
        assert torch.equal(torch.cat(epoch).sort().values, torch.arange(1257))
    one, other = (run.history.drop(columns="seconds") for run in runs)
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_memory_can_train_another_network_with_other_fields_on_the_same_data(digits: data.Data) -> None:
    class Nested:
        def __init__(self) -> None:
            pass

        def begin(self, run: Beginning) -> None:
            self.inner = run.learn(method="mae", epochs=1)

        def recall(self, logits: torch.Tensor, target: torch.Tensor, **known: torch.Tensor) -> torch.Tensor:
            return torch.zeros(())

    @METHODS.register("nested", label="nested", source="here", role="loss", memory=Nested)
    def nested(logits: torch.Tensor, target: torch.Tensor, *, recalled: torch.Tensor | None = None) -> torch.Tensor:
        """Cross entropy."""
        return losses.cce(logits, target)

    inner = train.fit(smoke(method="nested"), digits).objective.memory.inner
    one, other = (
        run.history.drop(columns="seconds") for run in (inner, train.fit(smoke(method="mae", epochs=1), digits))
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_the_seed_draws_the_weights(digits: data.Data) -> None:
    def first(seed: int) -> torch.Tensor:
        return next(iter(train.initial_model(smoke(seed=seed), digits).parameters()))

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_predictions_do_not_depend_on_how_they_are_batched(
    trained: train.Trained, digits: data.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train.logits_of(smoke(), trained.model, digits.test)
    assert torch.equal(train.predict(smoke(), trained.model, digits.test.images), whole)
    monkeypatch.setitem(train.INFERENCE_PIXELS, "cpu", 64 * 64)
    torch.testing.assert_close(train.logits_of(smoke(), trained.model, digits.test), whole, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_close_to_float32(digits: data.Data) -> None:
    runs = [train.train(smoke(precision=precision), digits) for precision in ("float32", "bfloat16")]
    losses = [run["train_loss"].iloc[-1] for run in runs]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_auto_is_what_is_there_and_a_device_that_is_not_is_refused() -> None:
    assert train.resolve_device("cpu") == torch.device("cpu")
    assert train.resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError) as caught:
        train.resolve_device("cuda:99")
    one_sentence(caught.value, "'cuda:99' is not there", "cpu")
    with pytest.raises(ConfigError):
        train.train(RunConfig(device="cuda:99"), None)
