"""The CIFAR residual networks of He et al. 2016, for any input size and channel count."""

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from robustdl_lib.registry import MODELS

DEPTHS = (8, 14, 20, 32, 44, 56, 110)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside an identity shortcut, subsampled and zero-padded in channels (option A)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra = channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and self.extra == 0:
            return x
        before = self.extra // 2
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))


class ResNet(nn.Module):
    """Stem, three stages of n blocks with 16, 32 and 64 channels, global average pooling, linear classifier."""

    def __init__(self, blocks: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.stages = nn.Sequential(*(_stage(blocks, *width) for width in widths))
        self.classifier = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, channels, H, W] -> logits [N, C]."""
        return self.classifier(nn.functional.adaptive_avg_pool2d(self.stages(self.stem(x)), 1).flatten(1))


def resnet(depth: int = 56, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return a CIFAR ResNet of 6n + 2 layers; depth 56 has 853,018 parameters for 10 classes and 3 channels.

    Takes images [N, in_channels, H, W] of any size. Source: He et al. 2016 (arXiv 1512.03385), section 4.2.
    Raises ValueError when depth is not 8, 14, 20, ... (6n + 2).
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"a CIFAR ResNet has 6n + 2 layers (8, 14, 20, ...), found depth {depth}")
    return ResNet(blocks, num_classes, in_channels)


def build(spec: str, *, num_classes: int, in_channels: int) -> nn.Module:
    """Return the registered network ``spec``, such as ``"resnet20"``; raises SpecError for an unknown one."""
    parsed = MODELS.parse(spec)
    return parsed.entry.function(**parsed.knobs, num_classes=num_classes, in_channels=in_channels)


def _stage(blocks: int, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    rest = [BasicBlock(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(in_channels, channels, stride), *rest)


def _register(depth: int) -> None:
    @MODELS.register(f"resnet{depth}", label=f"ResNet-{depth}", source="He et al. 2016, section 4.2")
    def build_resnet(*, num_classes: int, in_channels: int) -> nn.Module:
        return resnet(depth, num_classes, in_channels)


for _depth in DEPTHS:
    _register(_depth)
