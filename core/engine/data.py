"""Images to batches: order, augmentation and normalisation, on the device of the network.

Images stay uint8 [N, H, W, 3]; a batch is gathered, augmented and only then made float. Seen as
[N, C, H, W] it is channels_last in memory already. Order and augmentation follow from
(seed, epoch, step) alone, so a resumed run sees the very batches that an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.datasets.catalog import DatasetSpec
from core.datasets.identity import data_digest
from core.datasets.load import Dataset
from core.datasets.splits import limited, train_validation
from core.errors import BadValue
from core.schemas.base import digest
from core.schemas.run import RunConfig, TrainingConfig

if TYPE_CHECKING:  # it imports this file
    from core.engine.network import Network

LIMIT_SEED = 0  # which images train_limit keeps is the same for every run


def stream(*key: int | str) -> torch.Generator:
    """A CPU random generator for one purpose, from a key such as (seed, "order", epoch)."""
    return torch.Generator().manual_seed(int(digest(list(key))[:15], 16))


@dataclass(frozen=True, kw_only=True)
class Images:
    """One split. images: [N, H, W, 3] uint8; labels, index: [N] int64, index in the data set's own split."""

    images: Tensor
    labels: Tensor
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What one run trains, validates and tests on."""

    train: Images
    validation: Images
    test: Images
    n_train_available: int  # training images before train_limit
    spec: DatasetSpec
    complete: bool
    data: str  # core.datasets.identity.data_digest


def split(dataset: Dataset, training: TrainingConfig, device: torch.device) -> Splits:
    """The data set cut by split_seed, the same for every run seed; train_limit shortens the training part only.

    A set whose authors say which images are for validation is cut as they say. Raises BadValue where too few images are
    left for one training batch, or where the set cannot be augmented so.
    """
    dataset.spec.require_augment(training.augment)
    if dataset.validation is not None and len(dataset.validation):
        validation_index = np.array(dataset.validation)
        train_index = np.setdiff1d(np.arange(len(dataset.train_labels)), validation_index)
    else:
        train_index, validation_index = train_validation(
            dataset.train_labels, training.validation_share, training.split_seed
        )
    available = len(train_index)
    if training.train_limit is not None and training.train_limit < available:
        train_index = limited(train_index, dataset.train_labels, training.train_limit, LIMIT_SEED)
    if training.batch_size > len(train_index):
        raise BadValue(
            field="training.batch_size",
            value=training.batch_size,
            expected=f"at most the number of training images, {len(train_index)}",
        )

    def part(images: np.ndarray, labels: np.ndarray, index: np.ndarray) -> Images:
        return Images(
            images=torch.from_numpy(np.ascontiguousarray(images[index])).to(device),
            labels=torch.from_numpy(labels[index].astype(np.int64)).to(device),
            index=index.astype(np.int64),
        )

    return Splits(
        train=part(dataset.train_images, dataset.train_labels, np.sort(train_index)),
        validation=part(dataset.train_images, dataset.train_labels, np.sort(validation_index)),
        test=part(dataset.test_images, dataset.test_labels, np.arange(len(dataset.test_labels))),
        n_train_available=available,
        spec=dataset.spec,
        complete=dataset.complete,
        data=data_digest(dataset),
    )


class Normaliser:
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W], as the input coding wants it.

    direct: (pixel / 255 - mean) / std per channel, or with `input` = intensity pixel / 255, in [0, 1]. Every other
    coding makes spikes of intensities, whatever `input` is.
    """

    def __init__(
        self, spec: DatasetSpec, device: torch.device, encoding: str = "direct", input: str = "normalised"
    ) -> None:
        normal = encoding == "direct" and input == "normalised"
        std = torch.tensor(spec.std if normal else (1.0, 1.0, 1.0), dtype=torch.float64)
        mean = torch.tensor(spec.mean if normal else (0.0, 0.0, 0.0), dtype=torch.float64)
        self._scale = (1 / (255 * std)).float().to(device)
        self._shift = (-mean / std).float().to(device)
        self.is_sound = spec.sound is not None
        #: [3] uint8, the mean colour of the training images.
        self.mean_pixel = (255 * torch.tensor(spec.mean, dtype=torch.float64)).round().to(device, torch.uint8)

    @classmethod
    def of(cls, network: Network, spec: DatasetSpec, device: torch.device) -> Normaliser:
        """The one that `network` was or will be trained with."""
        return cls(spec, device, network.encoding, network.config.input)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.addcmul(self._shift, images.float(), self._scale).permute(0, 3, 1, 2)


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Cuts of one epoch. A last batch of a single image joins the one before: batch statistics need two."""
    bounds = [(low, min(low + batch_size, n)) for low in range(0, n, batch_size)]
    if len(bounds) > 1 and batch_size > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], n)]
    return bounds


@dataclass(frozen=True, kw_only=True)
class Batch:
    """images: [N, H, W, 3] uint8, augmented; labels: [N] int64; chosen: [N] int64, their places in the training split;
    mirrored: [N] bool, which of them are mirror images."""

    images: Tensor
    labels: Tensor
    chosen: Tensor
    mirrored: Tensor


class TrainBatches:
    """The training batches of every epoch, addressed by (epoch, step).

    What is random of a batch is drawn on the CPU, so that every device sees the same, and goes to the device of the images
    as one small tensor (`draw`); there the images are gathered, shifted, mirrored and covered (`made_of`).
    """

    def __init__(self, part: Images, config: RunConfig, normalise: Normaliser) -> None:
        self._part = part
        self._config = config
        self._normalise = normalise
        self._bounds = batch_bounds(len(part), config.training.batch_size)
        self._grey = normalise.mean_pixel
        self._is_sound = normalise.is_sound
        self._order: tuple[int, Tensor] | None = None
        self._half: Tensor | None = None
        first, *kinds = config.training.augment.split("-")
        self._crops, self._cuts = first == "crop", "cutout" in kinds
        self._flips, self._alternates = "flip" in kinds, "altflip" in kinds

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return len(self._bounds)

    def size(self, step: int) -> int:
        """Images of the batch at `step` (from 0)."""
        low, high = self._bounds[step]
        return high - low

    def get(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """x: [N, 3, H, W] float32 and labels: [N] int64; epoch from 1, step from 0."""
        images, labels = self.pixels(epoch, step)
        return self._normalise(images), labels

    def pixels(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """The same batch, augmented but not normalised: [N, H, W, 3] uint8 and labels."""
        batch = self.batch(epoch, step)
        return batch.images, batch.labels

    def batch(self, epoch: int, step: int) -> Batch:
        """The same batch with what became of each image."""
        return self.made_of(self.draw(epoch, step).to(self._part.labels.device))

    @property
    def crops(self) -> bool:
        """Whether images are shifted, and perhaps mirrored."""
        return self._crops

    @property
    def cuts(self) -> bool:
        """Whether a square of each is covered."""
        return self._cuts

    def draw(self, epoch: int, step: int) -> Tensor:
        """What is random of a batch: [DRAWN, N] int64 on the CPU, its rows as `DRAWN` says."""
        if self._order is None or self._order[0] != epoch:
            generator = stream(self._config.seed, "order", epoch)
            self._order = (epoch, torch.randperm(len(self._part), generator=generator))
        chosen = self._order[1][slice(*self._bounds[step])]
        out = torch.zeros(DRAWN, len(chosen), dtype=torch.int64)
        out[0], out[4:] = chosen, AWAY
        if not self._crops:
            return out
        height, width = self._part.images.shape[1:3]
        generator = stream(self._config.seed, "augment", epoch, step)
        if self._is_sound:
            out[2] = _delays(len(chosen), width, generator)
        else:
            flip = self._alternating(epoch)[chosen] if self._alternates else self._flips
            out[1:4] = torch.stack(_shifts(len(chosen), height, width, generator, flip))
        if self._cuts:
            out[4:] = torch.stack(_corners(len(chosen), height, width, generator))
        return out

    def made_of(self, drawn: Tensor, *, crops: bool | None = None, cuts: bool | None = None) -> Batch:
        """The batch that follows from what was drawn, [DRAWN, N] int64 on the device of the images.

        `crops`, `cuts`: whether to do what these rows ask for; None where this run's own augmentation says. What asks for
        nothing leaves an image as it is.
        """
        chosen, down, right, mirror, top, left = drawn.unbind(0)
        mirrored = mirror.bool()
        images = self._part.images
        if not (self._crops if crops is None else crops):
            images = images[chosen]
        elif self._is_sound:
            images = _delayed(images, chosen, right)
        else:
            images = _shifted(images, chosen, down, right, mirrored)
        if self._cuts if cuts is None else cuts:
            images = _covered(images, top, left, self._grey)
        return Batch(images=images, labels=self._part.labels[chosen], chosen=chosen, mirrored=mirrored)

    def _alternating(self, epoch: int) -> Tensor:
        """Which images are mirrored in an epoch: a random half, drawn once, and the other half in the next epoch.

        So every image is seen both ways in any two epochs (Jordan 2024, arXiv:2404.00498, section 3.6). [M] bool.
        """
        if self._half is None:
            self._half = torch.randint(0, 2, (len(self._part),), generator=stream(self._config.seed, "altflip")).bool()
        return self._half ^ (epoch % 2 == 0)


#: Rows of what is drawn for a batch: the images' places, shifts down and right, whether mirrored, the covered square's corner.
DRAWN = 6
AWAY = -(1 << 20)  # a square there covers nothing


def crop_flip(
    images: Tensor, chosen: Tensor, generator: torch.Generator, flip: bool | Tensor = True
) -> tuple[Tensor, Tensor]:
    """The `chosen` images, each shifted by up to an eighth of its side (edges mirrored) and mirrored half the time.

    images: [M, H, W, 3]; chosen: [N] int64; returns [N, H, W, 3] and which are mirrored, [N] bool. Shifting and
    mirroring are one gather. With `flip` off they are shifted only; a `flip` of [N] bool says which are mirrored.
    """
    drawn = _shifts(len(chosen), *images.shape[1:3], generator, flip)
    down, right, mirror = (each.to(images.device) for each in drawn)
    return _shifted(images, chosen, down, right, mirror.bool()), mirror.bool()


def _shifts(
    n: int, height: int, width: int, generator: torch.Generator, flip: bool | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Down, right and whether mirrored, [N] int64 each, on the CPU."""
    down, right = (torch.randint(-(side // 8), side // 8 + 1, (n,), generator=generator) for side in (height, width))
    if isinstance(flip, Tensor):
        return down, right, flip.long()
    return down, right, torch.randint(0, 2, (n,), generator=generator) if flip else torch.zeros_like(down)


def _shifted(images: Tensor, chosen: Tensor, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    device, n = images.device, len(chosen)
    height, width = images.shape[1:3]
    rows = _reflect(torch.arange(height, device=device) + down.unsqueeze(1), height)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = torch.where(mirrored.unsqueeze(1), width - 1 - columns, columns) + right.unsqueeze(1)
    columns = _reflect(columns, width)
    return images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]


def shift_in_time(images: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """The `chosen` pictures of sounds, each up to an eighth of its length earlier or later; silence comes in.

    images: [M, H, W, 3] uint8, a moment a column; chosen: [N] int64; returns [N, H, W, 3]. An eighth of a second is about
    the 100 ms of TensorFlow's example for Speech Commands. Pitch stays: a shifted band is another sound.
    """
    return _delayed(images, chosen, _delays(len(chosen), images.shape[2], generator).to(images.device))


def _delays(n: int, width: int, generator: torch.Generator) -> Tensor:
    """[N] int64 columns, on the CPU."""
    return torch.randint(-(width // 8), width // 8 + 1, (n,), generator=generator)


def _delayed(images: Tensor, chosen: Tensor, right: Tensor) -> Tensor:
    width = images.shape[2]
    columns = torch.arange(width, device=images.device) - right.unsqueeze(1)  # [N, W]: where each column comes from
    inside = (columns >= 0) & (columns < width)
    rows = torch.arange(images.shape[1], device=images.device)
    moved = images[chosen[:, None, None], rows[None, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return torch.where(inside[:, None, :, None], moved, torch.zeros_like(moved))


def cutout(images: Tensor, generator: torch.Generator, fill: Tensor) -> Tensor:
    """A square of each image covered with `fill`: a quarter of the side, 8 pixels of 32 (DeVries & Taylor 2017).

    The centre is any pixel, so that squares may stick out (arXiv:1708.04552, section 3.2). images: [N, H, W, 3] uint8;
    fill: [3] uint8, the mean colour, which normalises to 0.
    """
    corners = _corners(len(images), *images.shape[1:3], generator)
    return _covered(images, *(each.to(images.device) for each in corners), fill)


def _corners(n: int, height: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Top and left of each square, [N] int64 each, on the CPU."""
    return tuple(torch.randint(0, side, (n,), generator=generator) - side // 8 for side in (height, width))


def _covered(images: Tensor, top: Tensor, left: Tensor, fill: Tensor) -> Tensor:
    n, height, width, _ = images.shape
    inside = torch.ones(n, 1, 1, dtype=torch.bool, device=images.device)
    for size, corner, view in ((height, top, (1, height, 1)), (width, left, (1, 1, width))):
        start = corner.view(n, 1, 1)
        place = torch.arange(size, device=images.device).view(view)
        inside = inside & (place >= start) & (place < start + size // 4)
    return torch.where(inside.unsqueeze(3), fill, images)


def _reflect(position: Tensor, size: int) -> Tensor:
    """Positions beyond an edge mirrored back inside, the edge itself not repeated."""
    position = position.abs()
    return torch.where(position >= size, 2 * (size - 1) - position, position)


def evaluation_batches(part: Images, normalise: Normaliser, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The split in its own order: x [N, 3, H, W] float32 and labels [N] int64."""
    for low in range(0, len(part), batch_size):
        yield normalise(part.images[low : low + batch_size]), part.labels[low : low + batch_size]
