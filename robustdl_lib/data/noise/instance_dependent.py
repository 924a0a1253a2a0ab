"""Label noise that depends on the image: some images are mistaken more often, and for what they look like.

Source: Xia et al. 2020, "Part-dependent Label Noise" (arXiv 2006.07836), Algorithm 2.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtr, ndtri

from robustdl_lib.registry import NOISES, SpecError

Rate = Annotated[float, Field(ge=0, lt=1)]
SPREAD = 0.1
"""Standard deviation of the flip rates, before they are cut."""

CHUNK = 1024
"""Images that are looked at together: 25 MB for CIFAR's in float64, whatever the size of the data set."""

PIXEL_STEP, WEIGHT_STEP = 2.0**-10, 2.0**-16
"""Grids of the pixels and of the weights: a sum of their products is exact in float64, in any order of adding."""

LARGEST = 64.0
"""Standardised pixels are cut at this size, so that the sums stay exact up to 2^17 pixels an image."""


@NOISES.register(
    "instance",
    label="instance-dependent",
    source="Xia et al. 2020 (arXiv 2006.07836): a flip rate an image around r, towards classes its content points to",
    draws=True,
)
def instance(
    clean: NDArray[np.int64],
    *,
    rate: Rate,
    rng: np.random.Generator,
    num_classes: int,
    images: NDArray[Any] | None,
) -> NDArray[np.int64]:
    """Draw labels by the content of the images: P(y' = j | x, y) = q softmax_j(x W_y) for j != y, and 1 - q for y.

    clean [N] true labels, images [N, ...], rate r in [0, 1) -> given [N]. q is :func:`flip_rates`; x is the flattened
    image, standardised a channel over all images; W_y [pixels, C] is drawn from N(0, 1) for each class y, and the own
    class is left out of the softmax. Source: Xia et al. 2020 (arXiv 2006.07836), Algorithm 2.

    The same seed gives the same labels on any machine: pixels and weights lie on grids that make x W_y exact in
    float64, so no order of adding matters; what is left is the last bit of the exponential and of the normal
    quantiles, which turns a label with a chance of about 1e-15. Raises SpecError without an image for each label.
    """
    if images is None or len(images) != len(clean):
        found = "none" if images is None else str(len(images))
        raise SpecError(
            f"noise 'instance' looks at the images: expected one for each of {len(clean)} labels, found {found}"
        )
    flip, where = flip_rates(rate, rng.random(len(clean))), rng.random(len(clean))
    given, pixels = clean.copy(), _Pixels(np.asarray(images))
    for label in range(num_classes if num_classes > 1 else 0):
        weights = np.round(rng.standard_normal((pixels.size, num_classes)) / WEIGHT_STEP) * WEIGHT_STEP
        for rows in _chunks(np.flatnonzero((clean == label) & (where < flip))):
            given[rows] = _towards(pixels.standardised(rows) @ weights, label, where[rows] / flip[rows])
    return given


def flip_rates(rate: float, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the images' flip rates q [N]: normal around r with standard deviation 0.1, cut on both sides alike.

    q = r + 0.1 quantile(u'), with u [N] in [0, 1) stretched over the part that is kept: |q - r| <= min(r, 1 - r), so
    q lies in [0, 1] and its mean is r exactly. Xia et al. cut at 0 and 1 instead, where the mean is .129 at r = .1 and
    .206 at r = .2; from r = .4 to .6 the two differ by less than 2e-5 in the mean.
    """
    reach = min(rate, 1.0 - rate)
    low = ndtr(-reach / SPREAD)
    drawn: NDArray[np.float64] = rate + SPREAD * ndtri(low + uniform * (1.0 - 2.0 * low))
    return np.clip(drawn, rate - reach, rate + reach) if rate > 0 else np.zeros_like(uniform)


class _Pixels:
    """Images as standardised rows, some at a time: one mean and deviation a channel, over all images."""

    def __init__(self, images: NDArray[Any]) -> None:
        self.images = images
        self.size = int(np.prod(images.shape[1:]))
        channels = images.shape[1] if images.ndim == 4 else 1
        total, squares = np.zeros(channels), np.zeros(channels)
        for rows in _chunks(np.arange(len(images))):
            part = images[rows].reshape(len(rows), channels, -1).astype(np.float64)
            total += part.sum(axis=(0, 2))
            squares += np.einsum("nci,nci->c", part, part)
        count = max(len(images) * self.size // channels, 1)
        self.mean = total / count
        self.std = np.sqrt(np.maximum(squares / count - self.mean**2, 1e-12))
        if not np.isfinite(self.std).all():
            raise ValueError("noise 'instance' needs images of finite numbers, found some that are not")

    def standardised(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return some images flattened, [n, pixels], on the grid of the pixels."""
        part = self.images[rows].reshape(len(rows), len(self.mean), -1).astype(np.float64)
        part -= self.mean[:, None]
        part /= self.std[:, None] * PIXEL_STEP
        np.clip(np.round(part, out=part), -LARGEST / PIXEL_STEP, LARGEST / PIXEL_STEP, out=part)
        part *= PIXEL_STEP
        return part.reshape(len(rows), -1)


def _towards(scores: NDArray[np.float64], label: int, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw a class for each row of scores [n, C], never ``label``, from their softmax; uniform [n] in [0, 1)."""
    scores[:, label] = -np.inf
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    upper = chances.cumsum(axis=1)
    below = np.minimum(uniform, 1.0 - 2.0**-40) * upper[:, -1]  # rounding must not reach past the last class
    return np.asarray((below[:, None] >= upper).sum(axis=1), dtype=np.int64)


def _chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
