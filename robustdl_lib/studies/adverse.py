"""Studies of adverse cases: real label errors to look at, human noise in numbers, and scores that detect each kind.

A network is trained under noise of every kind. Its output for an example gives scores; each score is judged by how
well it separates a kind from clean examples. Source: the talk, slides 5, 7 and 8 ("know the unknown"; "detect, then
ignore or correct").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustdl_lib import data
from robustdl_lib.config import RunConfig, profile_config
from robustdl_lib.data.noise import KINDS, cifar_n, corrupted_images
from robustdl_lib.parallel import on_threads
from robustdl_lib.registry import DATASETS, NOISES, STUDIES
from robustdl_lib.studies import gallery
from robustdl_lib.training import cross_validation, metrics
from robustdl_lib.training.train import Trained, fit, logits_of

NOISE = "adverse:wrong=0.2,ood=0.1,ambiguous=0.1"
METHOD_SPECS = ("cce", "dm:beta=12,lam=0.5")
NOISE_SPECS = ("symmetric:0.4", "asymmetric:0.4", "human:aggregate", "human:worst")
CODED = ("clean", *KINDS[1:])
"""The kinds by their code; an ordinary example is clean if its label is the true one."""
SCORES = ("1 - p_y", "entropy", "1 - max p", "contradicted")
HELD_OUT = 2_000
"""Test images, at most, from which unseen examples of a kind are made."""
DPI = 100
"""Resolution of the gallery: photographs need much space, and 32 pixels a side show no more at a larger size."""
SURE = 0.95
"""The largest probability from which a predicted label counts as sure."""
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Unseen:
    """Examples made from the test set: their kind by name, images [N, channels, H, W], given and true labels [N]."""

    kind: str
    images: NDArray[np.uint8]
    given: Rows
    true: Rows


@STUDIES.register(
    "adverse_gallery",
    label="Adverse examples in red boxes: labels that people got wrong, images of no class, images of two.",
    source="Talk, slides 5, 7 and 8; labels of CIFAR-10N, Wei et al. 2022 (arXiv 2110.12088), CC BY-NC 4.0",
)
def adverse_gallery() -> pd.DataFrame:
    """Return the examples of the gallery from CIFAR-10, with its picture, because the rows do not hold the images.

    A row for each example: ``group``, ``kind``, ``index`` in the training set, names of the ``given`` and the ``true``
    class; for label errors how many of three people gave that label (``agree``) and which label sets have it
    (``sets``). The first error of a pair of classes is shown; none is selected by eye. Raises as
    :func:`robustdl_lib.data.load_source` and :func:`robustdl_lib.data.noise.cifar_n.labels` if files are missing.
    """
    from robustdl_lib.plots.adverse import gallery as gallery_figure
    from robustdl_lib.plots.style import render

    source = data.load_source("cifar10")
    people = cifar_n.Rows("cifar10", source.pool, source.labels[source.pool])
    errors = gallery.label_errors(source, dict(people))
    images, rows = gallery.made(source, data.load_source("cifar100"), "CIFAR-100")
    table = pd.concat([errors, rows], ignore_index=True)
    shown = np.concatenate([source.images[errors["index"]], images])
    table.attrs["picture"] = render(gallery_figure(shown, table, source.scale), "png", DPI)
    return table


@STUDIES.register(
    "transitions_cifar10n",
    label="What people do to CIFAR-10's labels, beside synthetic noise: few pairs of classes have most of the errors.",
    source="Wei et al. 2022 (arXiv 2110.12088), CIFAR-10N; Talk, slide 8",
)
def transitions_cifar10n() -> pd.DataFrame:
    """Return realised transition matrices of CIFAR-10's 50,000 training labels: columns spec, true, given, realised.

    Symmetric and asymmetric noise of rate 0.4 (seed 0), and the aggregated and the worst human labels. A row for each
    pair of classes, by name; ``realised`` is the share of the true class with that label. Raises as
    :func:`robustdl_lib.data.load_source` and :func:`robustdl_lib.data.noise.cifar_n.labels` if files are missing.
    """
    from robustdl_lib.plots.adverse import NOISE_COLUMNS
    from robustdl_lib.plots.rows import transition_rows

    source = data.load_source("cifar10")
    rows = transition_rows(NOISE_SPECS, "cifar10", source=source)
    named = {column: np.array(source.classes)[rows[column]] for column in ("true", "given")}
    return rows.assign(**named)[list(NOISE_COLUMNS)]


@STUDIES.register(
    "know_the_unknown",
    label="What 1 - p_y, entropy and 1 - max p say of wrong, foreign and ambiguous digits after training.",
    source="Talk, slides 7 and 8: know the unknown; detect, then ignore or correct",
)
def know_the_unknown() -> pd.DataFrame:
    """Return how well a network's output separates each kind from clean examples; digits, quick profile, seeds 0 to 2.

    Rows of :func:`measure`; CCE and DM, last epoch.
    """
    configs = [profile_config("quick", noise=NOISE, seed=seed, noise_seed=seed) for seed in range(3)]
    return _measured([cfg.replace(method=method) for cfg in configs for method in METHOD_SPECS])


@STUDIES.register(
    "know_the_unknown_cifar10",
    label="What 1 - p_y, entropy and 1 - max p say of wrong, foreign and ambiguous photographs after training.",
    source="Talk, slides 7 and 8: know the unknown; detect, then ignore or correct",
)
def know_the_unknown_cifar10() -> pd.DataFrame:
    """Return the same for CIFAR-10: 5,000 training images, 10 epochs of ResNet-8, seed 0; some minutes of a core.

    Foreign objects are images of CIFAR-100. Raises as :func:`robustdl_lib.data.load_source` if files are missing.
    """
    cfg = profile_config("small", noise=NOISE, model="resnet8", examples=5_000, epochs=10)
    return _measured([cfg.replace(method=method) for method in METHOD_SPECS])


@STUDIES.register(
    "missing_labels",
    label="Four labels in five are missing: what the labelled fifth teaches alone, and what predicted labels add.",
    source="Talk, slide 8: missing annotations; Lee 2013, Pseudo-Label",
)
def missing_labels() -> pd.DataFrame:
    """Return the predictions for examples without a label; digits, quick profile, noise missing:0.8, seeds 0, 1, 2.

    A row for each method (CCE leaves such examples out, ``pseudo`` learns from its predicted labels) and seed: test
    accuracy after the last epoch, number of ``labelled`` and ``unlabelled`` examples, the share of the unlabelled whose
    predicted label is ``right``, the share that is ``sure`` (largest probability at least 0.95), and the share of the
    sure ones that is right.
    """
    configs = [profile_config("quick", noise="missing:0.8", seed=seed, noise_seed=seed) for seed in range(3)]
    return pd.DataFrame([_predicted(cfg.replace(method=method)) for cfg in configs for method in ("cce", "pseudo")])


def measure(cfg: RunConfig) -> pd.DataFrame:
    """Train a run and return how well the last epoch's scores detect each kind of example.

    A row for each (``seen``, ``kind``, ``score``): ``auroc`` of separating the kind from clean examples by a high score
    (NaN if either is missing), ``mean`` of the score, the kind's ``count``, and the share whose largest probability is
    the true class (``right``, NaN if no class is). ``seen`` is ``training`` or ``held out``, see :func:`unseen`.
    Out-of-distribution examples are scored by sort and all together. Scores as in :func:`judge`.
    """
    drawn = data.load(cfg)
    drawn = replace(drawn, test=cross_validation.take(drawn.test, np.arange(min(HELD_OUT, len(drawn.test.rows)))))
    trained, logits = _trained(cfg, drawn)
    split = drawn.train
    judged = judge(logits, split.labels, split.clean_labels).assign(kind=kinds(split))
    held_out = pd.concat([_judge(cfg, trained.model, drawn, made) for made in unseen(cfg, drawn)], ignore_index=True)
    foreign = held_out[held_out["kind"].str.startswith(CODED[1])].assign(kind=CODED[1])
    rows = [detect(judged).assign(seen="training"), detect(pd.concat([held_out, foreign])).assign(seen="held out")]
    run = {"dataset": cfg.dataset, "noise": cfg.noise, "method": cfg.method, "seed": cfg.seed}
    return pd.concat(rows, ignore_index=True).assign(**run)


def kinds(split: data.Split) -> NDArray[np.str_]:
    """Return the name of each example's kind [N]: clean, mislabelled, missing, out of distribution or ambiguous."""
    codes = split.kind.cpu().numpy()
    missing, wrong = (split.labels < 0).cpu().numpy(), split.mislabelled.cpu().numpy()
    ordinary = codes == 0
    return np.select([ordinary & missing, ordinary & wrong], ["missing", "mislabelled"], np.array(CODED)[codes])


def judge(logits: Tensor, given: Tensor, true: Tensor) -> pd.DataFrame:
    """Return the scores of each example: logits [N, C], given and true labels [N] -> a row for each example.

    Columns: ``1 - p_y`` (NaN without a label), ``entropy`` H(p) / log C, ``1 - max p``, all in [0, 1];
    ``contradicted``: 1 if the given label does not have the largest probability; ``right``: 1 if the true class has it
    (NaN if no class is right). In float64, so that almost certain predictions keep their order.
    """
    logits, given, true = logits.double(), given.cpu(), true.cpu()
    log_p = torch.log_softmax(logits, dim=1)
    log_p_y = log_p.gather(1, given.clamp_min(0).unsqueeze(1)).squeeze(1)
    predicted = log_p.argmax(dim=1)
    columns = {
        "1 - p_y": torch.where(given >= 0, -torch.expm1(log_p_y), torch.nan),
        "entropy": metrics.normalised_entropy(logits),
        "1 - max p": -torch.expm1(log_p.amax(dim=1)),
        "contradicted": torch.where(given >= 0, (predicted != given).double(), torch.nan),
        "right": torch.where(true >= 0, (predicted == true).double(), torch.nan),
    }
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})


def detect(examples: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each kind and score: AUROC against clean examples, and means; examples: :func:`judge` and kind.

    An AUROC of 0.5 is chance, 1 a perfect order; equal scores count half. NaN for the clean examples themselves, if
    there are none of a kind, and if a score is unknown.
    """
    clean = examples[examples["kind"] == "clean"]
    rows = []
    for kind, members in examples.groupby("kind", sort=False):
        for score in SCORES:
            auroc = np.nan if kind == "clean" else separation(members[score], clean[score])
            row = {"kind": kind, "score": score, "auroc": auroc, "mean": members[score].mean()}
            rows.append({**row, "count": len(members), "right": members["right"].mean()})
    return pd.DataFrame(rows)


def separation(members: pd.Series, others: pd.Series) -> float:
    """Return the AUROC: the probability that a member scores higher than another, ties count half; NaN if unknown."""
    from sklearn.metrics import roc_auc_score

    scores = np.concatenate([members, others])
    if not len(members) or not len(others) or np.isnan(scores).any():
        return float("nan")
    return float(roc_auc_score(np.repeat([1, 0], [len(members), len(others)]), scores))


def unseen(cfg: RunConfig, drawn: data.Data) -> Iterator[Unseen]:
    """Yield examples of each kind that the network has not seen, made from the test images as the noise makes them.

    First the test images themselves, clean; then the same images with wrong labels (one of the C - 1 others: a score
    without the label cannot separate them); ambiguous ones; out of distribution, as many of each sort: backgrounds,
    noise images, objects of the partner data set's test set.
    """
    split = drawn.test
    images, true = split.pixels[split.rows].numpy(), split.clean_labels.numpy()
    rng = np.random.default_rng(np.random.SeedSequence(cfg.noise_seed).spawn(2)[1])  # not the stream of the pool
    wrong = (true + rng.integers(1, drawn.num_classes, len(true))) % drawn.num_classes
    context = {"rng": rng, "num_classes": drawn.num_classes, "others": _strangers(cfg.dataset)}
    yield Unseen("clean", images, true, true)
    yield Unseen("mislabelled", images, wrong, true)
    double = NOISES["ambiguous"](images, true, rate=1.0, **context)
    yield Unseen("ambiguous", double.images, double.labels, double.clean)
    sorts = ("background", "noise") if context["others"] is None else ("background", "noise", "other")
    for sort in sorts:
        mixed = NOISES["ood"](images, true, rate=1.0, kind=sort, **context)
        yield Unseen(f"out of distribution: {sort}", mixed.images, mixed.labels, mixed.clean)


def _judge(cfg: RunConfig, model: torch.nn.Module, drawn: data.Data, made: Unseen) -> pd.DataFrame:
    """Return the scores of unseen examples, as :func:`judge`, with their kind."""
    device = next(model.parameters()).device
    given, true = torch.from_numpy(made.given), torch.from_numpy(made.true)
    pixels, rows = torch.from_numpy(made.images).to(device), torch.arange(len(given), device=device)
    split = data.Split(pixels, rows, given, true, torch.zeros(len(given), dtype=torch.uint8), drawn.test.normal)
    return judge(logits_of(cfg, model, split).cpu(), given, true).assign(kind=made.kind)


def _strangers(dataset: str) -> NDArray[np.uint8] | None:
    """Return the partner's test images that are of no class near ours, None without a partner."""
    partner = DATASETS.parse(dataset).entry.facts.partner
    if partner is None:
        return None
    source = data.load_source(partner)
    return source.images[corrupted_images.far_rows(partner, source, source.test)]


def _trained(cfg: RunConfig, drawn: data.Data) -> tuple[Trained, Tensor]:
    """Train, and return the run and the last epoch's logits [N, C] of its own training examples."""
    last: dict[str, Tensor] = {}
    trained = fit(cfg, drawn, on_logits=lambda _, logits: last.update(train=logits))
    return trained, last["train"].cpu()


def _measured(configs: Sequence[RunConfig]) -> pd.DataFrame:
    """Return the rows of all trainings, one after another on one thread."""
    with on_threads(1):
        rows = pd.concat([measure(cfg) for cfg in configs], ignore_index=True)
    first = ["dataset", "noise", "method", "seed", "seen", "kind", "score"]
    return rows[[*first, *rows.columns.difference(first, sort=False)]]


def _predicted(cfg: RunConfig) -> dict[str, Any]:
    """Train with missing labels, and return how good the predictions for the unlabelled examples are."""
    drawn = data.load(cfg)
    with on_threads(1):
        trained, logits = _trained(cfg, drawn)
    unlabelled = drawn.train.labels < 0
    largest, predicted = torch.softmax(logits[unlabelled].double(), dim=1).max(dim=1)
    right, sure = predicted == drawn.train.clean_labels[unlabelled], largest >= SURE
    shares = {"right": metrics.share(right), "sure": metrics.share(sure), "sure_right": metrics.share(right, sure)}
    counts = {"labelled": int((~unlabelled).sum()), "unlabelled": int(unlabelled.sum())}
    test = float(trained.history["test_acc"].iloc[-1])
    return {"noise": cfg.noise, "method": cfg.method, "seed": cfg.seed, "test_acc": test, **counts, **shares}
