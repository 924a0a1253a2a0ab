"""The CIFAR ResNet: its depth, its parameters, its shortcuts without parameters, any input."""

import pytest
import torch
from helpers.cases import one_sentence
from torch import nn

from robustdl_lib import models
from robustdl_lib.registry import MODELS, SpecError


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_parameters_are_those_of_the_option_a_network(depth: int, count: int) -> None:
    assert parameters(models.resnet(depth)) == count


@pytest.mark.parametrize("depth", models.DEPTHS)
def test_the_depth_counts_convolutions_and_the_classifier(depth: int) -> None:
    layers = [module for module in models.resnet(depth).modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize("depth", [57, 55, 2, 0, -4, 9])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="depth") as caught:
        models.resnet(depth)
    one_sentence(caught.value, "6n + 2", f"depth {depth}")


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (33, 17), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_input_size_and_channel_count(size: tuple[int, int], channels: int) -> None:
    model = models.resnet(8, num_classes=7, in_channels=channels).eval()
    assert model(torch.randn(3, channels, *size)).shape == (3, 7)


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_model_maps_images_to_logits_and_learns(name: str) -> None:
    model = models.build(name, num_classes=5, in_channels=2)
    model(torch.randn(4, 2, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_shortcut_subsamples_and_pads_channels_with_zeros() -> None:
    block = models.BasicBlock(4, 8, 2)
    x = torch.randn(2, 4, 6, 6)
    shortcut = block.shortcut(x)
    assert shortcut.shape == (2, 8, 3, 3)
    assert torch.equal(shortcut[:, 2:6], x[:, :, ::2, ::2])
    assert not shortcut[:, :2].any()
    assert not shortcut[:, 6:].any()
    assert models.BasicBlock(4, 4, 1).shortcut(x) is x


def test_a_block_whose_branch_is_silent_is_the_identity_on_what_is_positive() -> None:
    block = models.BasicBlock(4, 4, 1).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x.relu())


def test_in_inference_an_example_does_not_know_its_batch() -> None:
    model, x = models.resnet(8).eval(), torch.randn(6, 3, 8, 8)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-4, atol=1e-5)


def test_channels_last_gives_the_same_logits() -> None:
    model, x = models.resnet(8).eval(), torch.randn(4, 3, 8, 8)
    plain = model(x)
    moved = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, plain, rtol=1e-4, atol=1e-5)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(SpecError, match="unknown model"):
        models.build("vgg16", num_classes=10, in_channels=3)
