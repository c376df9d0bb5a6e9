"""The table of data sets. A new one is a row here, and a reader where its format is new.

Beside the rows stand the data sets that users add from folders of their own (core.datasets.own.reader). They live in the
data folder, so the table looks there whenever a name is none of its rows: one that is added while a program runs is
known to it at the next look, and every `DATASETS[name]` of the program finds it without being told.

Which folder? That of the settings (SPIKEFRONT_DATA), read at each look. A caller that was given another one says
`find(name, folder)` or `all_specs(folder)`, or, around code that asks the table itself, `with DATASETS.looking_in(folder)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

from core.datasets.cifar import CifarReader
from core.datasets.cifar_layout import CIFAR10, CIFAR100
from core.datasets.digits import DigitsReader
from core.datasets.idx import FASHION_MNIST, IdxReader
from core.datasets.log_mel import LogMel
from core.datasets.own.reader import user_spec, user_specs
from core.datasets.spec import DatasetSpec, Remote
from core.datasets.speech_commands import SpeechReader
from core.datasets.speech_layout import WORDS, WORDS_V1, SpeechLayout
from core.datasets.tiny_imagenet import TinyImagenetReader
from core.errors import DatasetCorrupt, UnknownName
from core.registry import Registry
from core.settings import settings_now


class Catalogue(Registry[DatasetSpec]):
    """The rows, then the user's data sets of one data folder by name. A row's name is never looked for elsewhere."""

    def __init__(self) -> None:
        super().__init__("data set")
        self._folder: ContextVar[Path | None] = ContextVar("data folder", default=None)
        self._elsewhere: dict[Path, Mapping[str, DatasetSpec]] = {}  # by the data folder of whoever was told

    @property
    def built_in(self) -> Mapping[str, DatasetSpec]:
        """The rows alone."""
        return MappingProxyType(self._entries)

    @property
    def folder(self) -> Path:
        """Where the user's data sets are looked for now."""
        return self._folder.get() or settings_now().data

    @contextmanager
    def looking_in(self, folder: Path) -> Iterator[None]:
        """Look in `folder` meanwhile, in this thread, instead of in that of the settings."""
        token = self._folder.set(Path(folder))
        try:
            yield
        finally:
            self._folder.reset(token)

    def tell(self, folder: Path, specs: Mapping[str, DatasetSpec]) -> None:
        """What other machines have, for those that look in `folder`: known from now on, unless it is there itself."""
        self._elsewhere[folder] = specs

    def __getitem__(self, name: str) -> DatasetSpec:
        """Raises UnknownName, or DatasetCorrupt where a user's data set has an unreadable table."""
        if (spec := self._entries.get(name)) is not None:
            return spec
        if isinstance(name, str) and (spec := user_spec(name, self.folder)) is not None:
            return spec
        if (spec := self._told().get(name)) is not None:
            return spec
        raise UnknownName(kind=self.kind, name=name, known=self)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._users()

    def __iter__(self) -> Iterator[str]:
        return iter((*self._entries, *self._users()))

    def __len__(self) -> int:
        return len(self._entries) + len(self._users())

    def _users(self) -> list[str]:
        own = user_specs(self.folder)
        names = (*own, *(name for name in self._told() if name not in own))
        return [name for name in names if name not in self._entries]

    def _told(self) -> Mapping[str, DatasetSpec]:
        return self._elsewhere.get(self.folder, {})


DATASETS = Catalogue()

CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip


def title_of(name: str) -> str:
    """What a data set is called in sentences and in the lists of pages; one that is not here by its name."""
    try:
        spec = DATASETS.built_in.get(name) or user_spec(name, DATASETS.folder)
    except DatasetCorrupt:  # of a table that cannot be read nothing is known but where it lies
        spec = None
    return name if spec is None else spec.title


def reading(name: str) -> str | None:
    """How to read the images of a data set that are pictures of sounds, as a sentence; None for any other."""
    spec = DATASETS.built_in.get(name)
    if spec is None or spec.sound is None:
        return None
    return "Each is a sound: time runs to the right, low pitch is at the bottom, and loud is light."


def find(name: str, data_dir: Path) -> DatasetSpec:
    """The row of that name, or the user's data set in `data_dir`, or else the one that DATASETS knows.

    Raises UnknownName or DatasetCorrupt.
    """
    spec = DATASETS.built_in.get(name) or user_spec(name, data_dir)
    return spec or DATASETS[name]


def all_specs(data_dir: Path) -> dict[str, DatasetSpec]:
    """Every row, then the user's data sets of `data_dir` and of other machines that were told of, by name."""
    with DATASETS.looking_in(data_dir):
        return dict(DATASETS)


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
        mirrors=False,
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
        remotes=(
            Remote(
                url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a",
                bytes=170_498_071,
            ),
        ),
        reader=CifarReader(CIFAR10),
    ),
)
DATASETS.add(
    "cifar100",
    DatasetSpec(
        name="cifar100",
        title="CIFAR-100",
        classes=CIFAR100_CLASSES,
        image_shape=(3, 32, 32),
        n_train=50_000,
        n_test=10_000,
        mean=(0.5071, 0.4865, 0.4409),  # of the 50,000 training images, as commonly published
        std=(0.2673, 0.2564, 0.2762),
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="no licence stated; the authors ask to be cited",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        remotes=(
            Remote(
                url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                md5="eb9058c3a382ffc7106e4002c42a8d85",
                bytes=169_001_437,
            ),
        ),
        reader=CifarReader(CIFAR100),
    ),
)
DATASETS.add(
    "tiny_imagenet",
    DatasetSpec(
        name="tiny_imagenet",
        title="Tiny ImageNet",
        class_count=200,  # their names are in its words.txt
        image_shape=(3, 64, 64),
        n_train=100_000,
        n_test=10_000,  # the validation set: the official test images have no labels
        mean=(0.4802, 0.4481, 0.3975),  # of the 100,000 training images, as commonly published
        std=(0.2770, 0.2691, 0.2821),
        citation="Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015",
        licence="non-commercial research only",
        home="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        remotes=(
            Remote(
                url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                md5="90528d7ca1a48142e341f4ef8d21d0de",
                bytes=248_100_043,
            ),
        ),
        reader=TinyImagenetReader(),
    ),
)
DATASETS.add(
    "fashion_mnist",
    DatasetSpec(
        name="fashion_mnist",
        title="Fashion-MNIST",
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        image_shape=(3, 28, 28),  # grey in the files, three equal channels here
        n_train=60_000,
        n_test=10_000,
        mean=(0.2860, 0.2860, 0.2860),  # of the 60,000 training images, as commonly published
        std=(0.3530, 0.3530, 0.3530),
        citation="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017",
        licence="MIT",
        home="https://github.com/zalandoresearch/fashion-mnist",
        remotes=tuple(
            Remote(url=f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}.gz", md5=md5, bytes=size)
            for (name, md5), size in zip(
                FASHION_MNIST.md5.items(), (26_421_880, 29_515, 4_422_102, 5_148), strict=True
            )
        ),
        reader=IdxReader(FASHION_MNIST),
    ),
)  # fmt: skip


def _speech(name: str, title: str, parts: SpeechLayout, remote: Remote) -> DatasetSpec:
    """A version of Speech Commands; a picture's pixels are those of core.datasets.log_mel."""
    sound = LogMel()
    return DatasetSpec(
        name=name,
        title=title,
        classes=parts.words,
        image_shape=(3, sound.bands, sound.frames),
        n_train=parts.n_train + parts.n_validation,
        n_test=parts.n_test,
        n_validation=parts.n_validation,
        # of the 238 training clips of bed, cat and happy in v0.01, to four places: they only scale the input
        mean=(0.4004, 0.4004, 0.4004),
        std=(0.2325, 0.2325, 0.2325),
        citation="P. Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, arXiv:1804.03209, 2018",
        licence="CC BY 4.0",
        home="https://arxiv.org/abs/1804.03209",
        mirrors=False,
        sound=sound,
        most_bytes=4 << 30,  # 105,835 files of 32 kB and their headers
        remotes=(remote,),
        reader=SpeechReader(parts),
    )


DATASETS.add(
    "speech_commands",
    _speech(
        "speech_commands",
        "Speech Commands v0.02",
        SpeechLayout(words=WORDS, n_train=84_843, n_validation=9_981, n_test=11_005),
        Remote(
            url="https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            md5="6b74f3901214cb2c2934e98196829835",
        ),
    ),
)
DATASETS.add(
    "speech_commands_v1",
    _speech(
        "speech_commands_v1",
        "Speech Commands v0.01",
        SpeechLayout(words=WORDS_V1, n_train=51_088, n_validation=6_798, n_test=6_835),
        Remote(
            url="https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.01.tar.gz",
            md5="3cd23799cb2bbdec517f1cc028f8d43c",
        ),
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
