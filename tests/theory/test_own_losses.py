"""A loss of one's own under every lens: in whatever form Python has it, and refused in one sentence if it is none."""

import functools
import math

import numpy as np
import pytest
import torch
from helpers.cases import one_sentence, random_batch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from robustdl_lib import gradients, losses


class Own(torch.nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return losses.cce(logits, target)


def own(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * log_softmax(logits, 1)).sum(1)


def tempered(logits: Tensor, target: Tensor, *, by: float, weight: Tensor | None = None) -> Tensor:
    return losses.cce(logits * by, target) * (1.0 if weight is None else weight.mean())


CALLABLES = {
    "function": own,
    "lambda": lambda z, t: own(z, t),
    "partial": functools.partial(tempered, by=1.0),
    "partial with a tensor": functools.partial(tempered, by=1.0, weight=torch.ones(3)),
    "torch": functools.partial(cross_entropy, reduction="none"),
    "torch with weights": functools.partial(cross_entropy, weight=torch.ones(10).double(), reduction="none"),
    "module": Own(),
    "torch's module": torch.nn.CrossEntropyLoss(reduction="none"),
    "registered": losses.cce,
}
LENS = [
    *(gradients.weight_curve, gradients.emphasis_density, gradients.emphasis_mode, gradients.emphasis_variance),
    *(gradients.family, gradients.influence, gradients.robustness),
]


@pytest.mark.parametrize("name", CALLABLES)
def test_every_lens_takes_a_loss_of_ones_own(name: str) -> None:
    """Each of these is cross entropy, and is seen to be."""
    for lens in LENS:
        found, expected = lens(CALLABLES[name]), lens("cce")
        if isinstance(expected, tuple):
            assert found == pytest.approx(expected, abs=1e-12)
        else:
            np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-9, atol=1e-13)
    logits, labels = random_batch(7)
    one, other = (gradients.logit_gradient(method, logits, labels) for method in (CALLABLES[name], "cce"))
    torch.testing.assert_close(one, other)


REFUSED = {
    "a mean": lambda z, t: own(z, t).mean(),
    "a column": lambda z, t: own(z, t).unsqueeze(1),
    "a number for each class": lambda z, t: -t * log_softmax(z, 1),
    "a module that takes the mean": torch.nn.CrossEntropyLoss(),
    "no tensor": lambda z, t: 1.0,
    "an array": lambda z, t: np.zeros(len(z)),
    "nothing": lambda z, t: None,
}
DEAF = {"the target alone": lambda z, t: t.sum(1), "detached": lambda z, t: own(z.detach(), t)}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_is_not_one_number_an_example_is_refused_in_one_sentence(name: str) -> None:
    for lens in LENS:
        with pytest.raises(ValueError, match="one number an example") as caught:
            lens(REFUSED[name])
        one_sentence(caught.value, "must return")


@pytest.mark.parametrize("name", DEAF)
def test_a_loss_that_does_not_look_at_the_logits_is_refused_in_one_sentence(name: str) -> None:
    for lens in LENS:
        with pytest.raises(ValueError, match="must depend on the logits") as caught:
            lens(DEAF[name])
        one_sentence(caught.value, "gradient")


def test_a_loss_that_teaches_nothing_has_no_mode_and_is_in_the_family() -> None:
    def idle(logits: Tensor, target: Tensor) -> Tensor:
        return 0 * (logits * target).sum(1)

    assert gradients.family(idle) == (True, 0.0)
    assert math.isnan(gradients.emphasis_mode(idle))


@pytest.mark.parametrize("scale", [lambda losses: losses.detach().mean(), lambda losses: losses.detach().max()])
def test_a_loss_that_looks_at_its_batch_is_refused(scale) -> None:
    def own(logits, target):
        losses = -(target * logits.log_softmax(1)).sum(1)
        return losses / scale(losses)

    with pytest.raises(ValueError, match=r"^loss 'own' looks at its batch: register it with knows_batch=True$"):
        gradients.weight_curve(own)
