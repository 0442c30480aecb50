from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from orchestrator.errors import BadInput
from workers.sources.cifar10 import MEAN, STD, Cifar10
from workers.sources.cifar_batches import TEST_FILES, TRAIN_FILES, read_batches
from workers.sources.digits import Digits
from workers.sources.fake import FakeImages
from workers.sources.image_listing import class_folders, list_images
from workers.sources.imagefolder import ImageFolder


def test_digits_train_on_1280_in_every_class() -> None:
    data = Digits.load({}, context=64)
    assert (len(data.train), len(data.val), len(data.test)) == (1_280, 259, 258)
    x, y = data.train.batch(np.arange(1_280))
    assert np.bincount(y, minlength=10).min() > 100
    assert x.mean() == pytest.approx(0, abs=0.02)
    assert x.std() == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    data = Digits.load({}, context=64)
    seen = sorted(
        (int(y), image.tobytes())
        for split in (data.train, data.val, data.test)
        for image, y in zip(split.images[:, 0], split.labels, strict=True)
    )
    assert seen == sorted(
        (int(y), image.tobytes()) for image, y in zip(theirs.images.astype(np.uint8), theirs.target, strict=True)
    )


def test_cifar_batches_read_as_torchvision_reads_them(cifar_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cifar_root / "cifar-10-batches-py"

    def sums(names: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(name, hashlib.md5((folder / name).read_bytes()).hexdigest()) for name in names]

    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums(TRAIN_FILES))
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums(TEST_FILES))
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums(("batches.meta",))[0][1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    for train, files in ((True, TRAIN_FILES), (False, TEST_FILES)):
        theirs = datasets.CIFAR10(str(cifar_root), train=train, download=False)
        images, labels = read_batches(str(cifar_root), files)
        np.testing.assert_array_equal(images.transpose(0, 2, 3, 1), theirs.data)
        assert labels.tolist() == theirs.targets


def test_cifar_holds_a_tenth_back_and_normalises(cifar_root: Path) -> None:
    data = Cifar10.load({"root": str(cifar_root)}, context=64)
    assert (len(data.train), len(data.val), len(data.test)) == (90, 10, 20)
    raw, labels = read_batches(str(cifar_root), TEST_FILES)
    x, y = data.test.batch(np.arange(20))
    expected = (raw - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(y, labels)


def test_absent_cifar_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="download=True"):
        Cifar10.manifest({"root": str(tmp_path)}, context=64)


class Intruder:
    """Pickles to a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["cut", "junk", "labels", "call"])
def test_a_damaged_cifar_batch_is_named_and_runs_nothing(tmp_path: Path, cifar_root: Path, damage: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (cifar_root / "cifar-10-batches-py").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    victim, trace = folder / "data_batch_3", tmp_path / "trace"
    victim.write_bytes(
        {
            "cut": victim.read_bytes()[:-50],
            "junk": b"no pickle at all",
            "labels": pickle.dumps({"data": np.zeros((2, 3_072), np.uint8), "labels": [1]}),
            "call": pickle.dumps({"data": Intruder(trace), "labels": []}),
        }[damage]
    )
    with pytest.raises(BadInput, match="data_batch_3 is no CIFAR-10 batch"):
        Cifar10.manifest({"root": str(tmp_path)}, context=64)
    assert not trace.exists()


def test_image_folders_are_listed_in_torchvisions_order(image_root: Path) -> None:
    theirs = datasets.ImageFolder(str(image_root / "train"))
    classes = class_folders(image_root / "train")
    assert classes == theirs.classes
    assert [(str(i.path), i.label) for i in list_images(image_root / "train", classes)] == theirs.samples


def test_validation_is_halved_only_where_there_is_no_test_folder(image_root: Path) -> None:
    options = {"root": str(image_root), "image_size": 16}
    halved = ImageFolder.manifest(options, context=64)
    assert (halved.train_examples, halved.val_examples, halved.test_examples, halved.classes) == (12, 5, 5, 2)
    (image_root / "val").rename(image_root / "test")
    (image_root / "train").rename(image_root / "val")
    (image_root / "train").symlink_to(image_root / "val")
    own = ImageFolder.manifest(options, context=64)
    assert (own.train_examples, own.val_examples, own.test_examples) == (12, 12, 10)


def test_any_changed_image_changes_the_digest(image_root: Path) -> None:
    options = {"root": str(image_root), "image_size": 16}
    before = ImageFolder.manifest(options, context=64).digest
    image = image_root / "val" / "dog" / "0.JPEG"
    image.write_bytes(image.read_bytes() + b"\0")
    after = ImageFolder.manifest(options, context=64).digest
    assert len({before, after, ImageFolder.manifest({**options, "image_size": 17}, context=64).digest}) == 3


def test_a_damaged_image_is_named_when_it_is_decoded(image_root: Path) -> None:
    image = image_root / "train" / "cat" / "0.JPEG"
    image.write_bytes(image.read_bytes()[:200])
    data = ImageFolder.load({"root": str(image_root), "image_size": 16}, context=64)
    with pytest.raises(BadInput, match=r"cat/0\.JPEG is no readable image"):
        data.train.batch(np.arange(len(data.train)))


def test_image_folders_without_order_are_refused(image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(BadInput, match="doesn't exist"):
        ImageFolder.manifest({"root": str(empty / "nowhere")}, context=64)
    with pytest.raises(BadInput, match="train doesn't exist"):
        ImageFolder.manifest({"root": str(empty)}, context=64)
    (empty / "train").mkdir()
    with pytest.raises(BadInput, match="no class folders"):
        ImageFolder.manifest({"root": str(empty)}, context=64)
    (image_root / "train" / "bird").mkdir()
    with pytest.raises(BadInput, match="bird holds no image"):
        ImageFolder.manifest({"root": str(image_root)}, context=64)
    (image_root / "train" / "bird").rmdir()
    (image_root / "val" / "bird").mkdir()
    with pytest.raises(BadInput, match="class 'bird' stands in one split only"):
        ImageFolder.manifest({"root": str(image_root)}, context=64)


def test_fake_images_are_torchvisions_and_leave_the_generator_alone() -> None:
    options = {"examples": 20, "classes": 4, "image_size": 8, "channels": 1}
    data = FakeImages.load(options, context=64)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    _, y = data.val.batch(np.arange(2))
    assert torch.equal(before, torch.get_rng_state())
    theirs = datasets.FakeData(24, (1, 8, 8), 4)
    assert y.tolist() == [theirs[20][1], theirs[21][1]]
