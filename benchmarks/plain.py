"""The plain PyTorch loop, as a hundred repositories have it: PIL images, transforms, a loader, a sum a step.

It has the library's network, data, noisy labels, learning rate and budget, and nothing else of it: images are decoded,
cropped, flipped and normalised one at a time, memory is contiguous, and loss and accuracy are read at every step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from robustdl_lib import models
from robustdl_lib.config import RunConfig
from robustdl_lib.data import Data, Split
from robustdl_lib.training.train import make_scheduler, resolve_device


class Images(Dataset):
    """A split as a torch data set: a PIL image and its label as given, the image transformed each time it is read."""

    def __init__(self, split: Split, labels: Tensor, transform: Callable[[Image.Image], Tensor]) -> None:
        pixels = split.pixels[split.rows].permute(0, 2, 3, 1).numpy()
        self.pixels = pixels[..., 0] if pixels.shape[3] == 1 else pixels
        self.labels = labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


@dataclass(frozen=True)
class Trained:
    """A finished plain run: each epoch's mean loss and accuracy on the labels as given; the network."""

    losses: list[float]
    accuracies: list[float]
    model: nn.Module


def train(cfg: RunConfig, data: Data, *, workers: int = 0) -> Trained:
    """Train as ``cfg`` says, by cross entropy, in float32; ``workers`` processes prepare the images.

    Raises ValueError for another method than cross entropy, ConfigError for a device that is not there.
    """
    if cfg.method != "cce":
        raise ValueError(f"the plain loop trains by cross entropy: method = 'cce' was expected, found {cfg.method!r}")
    device = resolve_device(cfg.device)
    torch.manual_seed(cfg.seed)
    loader = training_loader(cfg, data, workers)
    model = models.build(cfg.model, num_classes=data.num_classes, in_channels=data.train.pixels.shape[1]).to(device)
    criterion = nn.CrossEntropyLoss()
    optimiser = SGD(model.parameters(), lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    scheduler = make_scheduler(cfg, optimiser, cfg.epochs * len(loader))
    losses, accuracies = [], []
    for _ in range(cfg.epochs):
        model.train()
        loss_sum, hits = 0.0, 0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimiser.zero_grad()
            logits = model(images)
            loss = criterion(logits, labels)
            loss.backward()
            optimiser.step()
            scheduler.step()
            loss_sum += loss.item() * len(labels)
            hits += (logits.argmax(dim=1) == labels).sum().item()
        losses.append(loss_sum / len(loader.dataset))
        accuracies.append(hits / len(loader.dataset))
    return Trained(losses, accuracies, model)


@torch.no_grad()
def test_accuracy(cfg: RunConfig, data: Data, model: nn.Module) -> float:
    """Return the share of the test set that ``model`` gets right, in [0, 1]."""
    device = resolve_device(cfg.device)
    model.eval()
    loader = DataLoader(Images(data.test, data.test.clean_labels, to_tensor(data)), batch_size=cfg.batch_size)
    hits = sum((model(x.to(device)).argmax(dim=1) == y.to(device)).sum().item() for x, y in loader)
    return hits / len(data.test.rows)


def training_loader(cfg: RunConfig, data: Data, workers: int) -> DataLoader:
    """Return the loader of the training split, shuffled, with the usual crops and, where the data allow, flips."""
    size = data.train.pixels.shape[2:]
    augment = [transforms.RandomCrop(size, padding=data.pad)] if cfg.augment else []
    augment += [transforms.RandomHorizontalFlip()] if cfg.augment and data.flip else []
    images = Images(data.train, data.train.labels, transforms.Compose([*augment, to_tensor(data)]))
    return DataLoader(images, batch_size=cfg.batch_size, shuffle=True, num_workers=workers)


def to_tensor(data: Data) -> Callable[[Image.Image], Tensor]:
    """Return what turns a PIL image into the numbers that the library gives it, [channels, H, W] float32.

    ``ToTensor`` divides by 255 whatever white is, so mean and deviation are moved to that scale.
    """
    normal = data.train.normal
    mean, std = ([value * normal.scale / 255 for value in values] for values in (normal.mean, normal.std))
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
