"""The table of data sets. A new one is a row here, and a reader where its format is new."""

from __future__ import annotations

from core.datasets.cifar import CIFAR10, CifarReader
from core.datasets.digits import DigitsReader
from core.datasets.spec import DatasetSpec, Remote
from core.registry import Registry

DATASETS: Registry[DatasetSpec] = Registry("data set")

DATASETS.add(
    "digits",
    DatasetSpec(
        name="digits",
        title="Digits",
        classes=tuple(str(digit) for digit in range(10)),
        image_shape=(3, 16, 16),
        n_train=1437,
        n_test=360,
        mean=(0.3058, 0.3058, 0.3058),  # of the 1,437 training images, to four places
        std=(0.3190, 0.3190, 0.3190),
        citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
        licence="CC BY 4.0",
        home="https://archive.ics.uci.edu/dataset/80",
        reader=DigitsReader(),
    ),
)
DATASETS.add(
    "cifar10",
    DatasetSpec(
        name="cifar10",
        title="CIFAR-10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        image_shape=(3, 32, 32),
        n_train=50_000,
        n_test=10_000,
        mean=(0.4914, 0.4822, 0.4465),  # of the 50,000 training images, to four places
        std=(0.2470, 0.2435, 0.2616),
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="no licence stated; the authors ask to be cited",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        remote=Remote(
            url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
            bytes=170_498_071,
        ),
        reader=CifarReader(CIFAR10),
    ),
)
DATASETS.add(
    "cifar100",
    DatasetSpec(
        name="cifar100",
        title="CIFAR-100",
        class_count=100,
        image_shape=(3, 32, 32),
        n_train=50_000,
        n_test=10_000,
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="no licence stated; the authors ask to be cited",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
)
DATASETS.add(
    "tiny_imagenet",
    DatasetSpec(
        name="tiny_imagenet",
        title="Tiny ImageNet",
        class_count=200,
        image_shape=(3, 64, 64),
        n_train=100_000,
        n_test=10_000,  # the validation set: the official test images have no labels
        citation="Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015",
        licence="non-commercial research only",
        home="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    ),
)
DATASETS.add(
    "imagenet",
    DatasetSpec(
        name="imagenet",
        title="ImageNet (ILSVRC 2012)",
        class_count=1000,
        image_shape=(3, 224, 224),
        n_train=1_281_167,
        n_test=50_000,  # the validation set
        citation="O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 115, 2015",
        licence="non-commercial research only, on request",
        home="https://www.image-net.org",
    ),
)
