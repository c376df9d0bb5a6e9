"""Names and sizes of the files of the CIFAR sets."""

from __future__ import annotations

from dataclasses import dataclass, field

SIDE = 32
ROW = 3 * SIDE * SIDE  # all red values of an image, then green, then blue, row by row
ORIGIN = "origin.txt"  # beside the files of a copy that is not as it was published: what sets it apart


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names and sizes of one CIFAR set. `md5` are the authors' own files, for `verify` to recognise."""

    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    train_rows: int  # in each training file
    test_rows: int
    label_key: str
    names_key: str
    md5: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.meta)

    def rows(self, file: str) -> int:
        return self.test_rows if file == self.test else self.train_rows


CIFAR10 = Layout(
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    train_rows=10_000,
    test_rows=10_000,
    label_key="labels",
    names_key="label_names",
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)

CIFAR100 = Layout(
    folder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    train_rows=50_000,
    test_rows=10_000,
    label_key="fine_labels",
    names_key="fine_label_names",
    md5={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)
