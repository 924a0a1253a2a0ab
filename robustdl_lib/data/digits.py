"""The handwritten digits that scikit-learn ships: real data that need no download."""

import numpy as np

from robustdl_lib.data.noise import DIGIT_FLIPS
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import DATASETS


@DATASETS.register(
    "digits",
    label="digits",
    source="Alpaydin and Kaynak 1998, UCI optical recognition of handwritten digits, as scikit-learn ships it",
    flips=DIGIT_FLIPS,
    pad=1,
    flip=False,
    validation=180,
)
def digits() -> Source:
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn; 360 of them are the test set.

    The test set is always the same, cut stratified by the class.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    rest, test = train_test_split(np.arange(1797), test_size=360, random_state=0, stratify=raw.target)
    images = raw.images[:, None].astype(np.uint8)
    seen = (raw.images[np.sort(rest)] / 16.0).astype(np.float32)
    mean, std = (float(seen.mean()),), (float(seen.std()),)
    return Source(images, raw.target.astype(np.int64), rest, np.sort(test), tuple("0123456789"), 16.0, mean, std)
