"""Packed data sets: from everything that they can be made of, and what becomes of them in a training."""

import gzip
import io
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import zipfile

import pictures
import pytest
import safetensors_file


@pytest.fixture
def pack(program, tmp_path):
    """Runs softdiff-convert dataset; the packed file is tmp_path / name."""

    def run(source, name, *arguments):
        return subprocess.run(
            [program("softdiff-convert"), "dataset", source, tmp_path / name, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


class Packed:
    """What a packed data set has, read independently of the program."""

    def __init__(self, path):
        data = path.read_bytes()
        assert data[:16] == b"softdiff pixels\n" and data[-16:] == b"end of pixels.\n\n"
        self.side, channels = struct.unpack("<II", data[16:24])
        assert channels == 3
        end = data[-104:]
        self.n, self.digest, self.n_labels, document = struct.unpack("<QQII", end[:24])
        size = self.n * self.side * self.side * 3
        self.pixels = data[64 : 64 + size]
        rest = data[64 + size : -104]
        self.labels = struct.unpack(f"<{self.n}H", rest[8 * self.n :][: 2 * self.n]) if self.n_labels else ()
        self.document = rest[-document:].decode()
        assert len(rest) == 8 * self.n + 2 * len(self.labels) + document


def write_cifar(folder, seed, n=4):
    """The binary version, and its pictures as they are seen, by batch."""
    folder.mkdir()
    source = random.Random(seed)
    batches = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        records = b""
        batches[name] = []
        for _ in range(n):
            label, planes = source.randrange(10), source.randbytes(3072)
            records += bytes([label]) + planes
            rgb = bytes(planes[c * 1024 + p] for p in range(1024) for c in range(3))
            batches[name].append((label, rgb))
        (folder / f"{name}.bin").write_bytes(records)
    return batches


def test_cifar10(pack, tmp_path):
    batches = write_cifar(tmp_path / "cifar", 1)
    done = pack(tmp_path / "cifar", "train")
    assert done.returncode == 0, done.stderr
    train = Packed(tmp_path / "train")
    expected = [picture for i in range(1, 6) for picture in batches[f"data_batch_{i}"]]
    assert (train.n, train.side, train.n_labels) == (20, 32, 10)
    assert train.pixels == b"".join(rgb for _, rgb in expected)
    assert train.labels == tuple(label + 1 for label, _ in expected)
    assert '"airplane","automobile","bird"' in train.document
    assert pack(tmp_path / "cifar", "test", "--test").returncode == 0
    assert Packed(tmp_path / "test").pixels == b"".join(rgb for _, rgb in batches["test_batch"])
    assert pack(tmp_path / "cifar" / "data_batch_2.bin", "one").returncode == 0
    assert Packed(tmp_path / "one").pixels == b"".join(rgb for _, rgb in batches["data_batch_2"])

    batch = tmp_path / "cifar" / "data_batch_3.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-1])
    done = pack(tmp_path / "cifar", "bad")
    assert done.returncode == 1 and 'data_batch_3.bin": its 12291 bytes are not records' in done.stderr
    batch.write_bytes(b"\x0b" + whole[1:])
    done = pack(tmp_path / "cifar", "bad")
    assert done.returncode == 1 and "picture 8 of" in done.stderr and "label 11" in done.stderr
    batch.unlink()
    done = pack(tmp_path / "cifar", "bad")
    assert done.returncode == 1 and "data_batch_3.bin" in done.stderr
    assert not (tmp_path / "bad").exists()


def idx(sizes, data):
    return struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + data


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist(pack, tmp_path, zipped):
    folder = tmp_path / "mnist"
    folder.mkdir()
    source = random.Random(2)
    parts = {}
    for part, n in (("train", 7), ("t10k", 3)):
        labels, grey = bytes(source.randrange(10) for _ in range(n)), source.randbytes(784 * n)
        parts[part] = (labels, bytes(value for value in grey for _ in range(3)))
        for name, data in (
            (f"{part}-images-idx3-ubyte", idx([n, 28, 28], grey)),
            (f"{part}-labels-idx1-ubyte", idx([n], labels)),
        ):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)
    suffix = ".gz" if zipped else ""
    for name, source, part in (
        ("train", folder, "train"),
        ("test", folder, "t10k"),
        ("file", folder / f"train-images-idx3-ubyte{suffix}", "train"),
    ):
        done = pack(source, name, *(["--test"] if name == "test" else []))
        assert done.returncode == 0, done.stderr
        packed = Packed(tmp_path / name)
        assert packed.side == 28 and packed.pixels == parts[part][1]
        assert packed.labels == tuple(label + 1 for label in parts[part][0])
    assert pack(folder, "large", "--side", 32).returncode == 0
    assert Packed(tmp_path / "large").side == 32

    images = folder / f"train-images-idx3-ubyte{suffix}"
    images.write_bytes(images.read_bytes()[:-5])
    done = pack(folder, "bad")
    assert done.returncode == 1 and images.name in done.stderr


def write_zip(path, folder, method, prefix=""):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(prefix + "notes.txt", "no picture")
        archive.writestr("__MACOSX/._a.png", "no picture, either")
        for file in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(file, prefix + str(file.relative_to(folder)))


@pytest.mark.sanitizers
def test_folders_and_archives_are_the_same(trainer, pack, tmp_path):
    for i, name in enumerate(("b", "a", "b", "c")):
        (trainer.data / name).mkdir(exist_ok=True)
        (trainer.data / f"{i}.png").rename(trainer.data / name / f"{i}.png")
    for i in range(4, 12):
        (trainer.data / f"{i}.png").rename(trainer.data / "c" / f"{i}.png")
    write_zip(tmp_path / "stored.zip", trainer.data, zipfile.ZIP_STORED)
    write_zip(tmp_path / "deflated.zip", trainer.data, zipfile.ZIP_DEFLATED, "faces/small/")
    packed = []
    for source in (trainer.data, tmp_path / "stored.zip", tmp_path / "deflated.zip"):
        done = pack(source, "packed", "--side", 16, "--force", "--labels")
        assert done.returncode == 0, done.stderr
        assert "event=packed images=12 skipped=0 side=16 crop=0 labels=3" in done.stderr
        packed.append(Packed(tmp_path / "packed"))
    for other in packed[1:]:
        assert (other.pixels, other.labels) == (packed[0].pixels, packed[0].labels)
        assert other.digest == packed[0].digest
    assert packed[0].labels == (1, 2, 2) + (3,) * 9
    assert '"labels":["a","b","c"]' in packed[0].document


def test_an_archive_with_folders_and_pictures_beside_them_has_no_labels(pack, trainer, tmp_path):
    (trainer.data / "a").mkdir()
    (trainer.data / "0.png").rename(trainer.data / "a" / "0.png")
    done = pack(trainer.data, "packed", "--side", 16, "--labels")
    assert done.returncode == 1 and "is in none of them" in done.stderr
    assert not (tmp_path / "packed").exists()


def test_bad_archives(pack, trainer, tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, trainer.data, zipfile.ZIP_DEFLATED)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        done = pack(path, "packed", "--side", 16)
        assert done.returncode == 1 and "a.zip" in done.stderr, (cut, done.stderr)
    at = whole.index(b"IDAT") if b"IDAT" in whole else len(whole) // 4
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    done = pack(path, "packed", "--side", 16)
    assert done.returncode == 1 and ".png" in done.stderr and "damaged" in done.stderr, done.stderr
    done = pack(path, "packed", "--side", 16, "--skip-bad")
    assert done.returncode == 0 and "event=packed images=11 skipped=1" in done.stderr
    assert done.stderr.count("event=skipped") == 1 and '"skipped":1' in Packed(tmp_path / "packed").document
    encrypted = bytearray(whole)
    at = whole.index(b"PK\1\2")
    while at >= 0:
        encrypted[at + 8] |= 1
        at = whole.find(b"PK\1\2", at + 1)
    path.write_bytes(encrypted)
    done = pack(path, "packed", "--side", 16, "--force")
    assert done.returncode == 1 and "encrypted" in done.stderr, done.stderr


def test_large_archives(pack, tmp_path):
    """More members than the old form counts, with sizes in 64 bits."""
    pictures.write(tmp_path / "a.png", 4, 1)
    picture = (tmp_path / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(66000):
            archive.writestr(f"{i:06}.txt", "")
        with archive.open("z.png", "w", force_zip64=True) as member:
            member.write(picture)
    done = pack(tmp_path / "a.zip", "packed", "--side", 4)
    assert done.returncode == 0, done.stderr
    assert Packed(tmp_path / "packed").n == 1


def write_netpbm_as_png(path, width, height, pixel):
    rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(width)) for y in range(height))
    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n")
    import zlib

    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        out.write(pictures.chunk(kind, data))
    path.write_bytes(out.getvalue())


def test_celeba_is_cropped_as_it_should_be(pack, tmp_path):
    """The square of 140 px from row 39 and column 19, seen at its own size."""
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    write_netpbm_as_png(folder / "000001.png", 178, 218, lambda x, y: bytes([x, y, 7]))
    done = pack(folder, "packed", "--celeba", "all", "--side", 140)
    assert done.returncode == 0, done.stderr
    expected = b"".join(bytes([19 + x, 39 + y, 7]) for y in range(140) for x in range(140))
    assert Packed(tmp_path / "packed").pixels == expected
    assert '"crop":140' in Packed(tmp_path / "packed").document
    assert pack(folder, "small", "--celeba", "all").returncode == 0
    assert Packed(tmp_path / "small").side == 64
    done = pack(folder, "part", "--celeba", "train")
    assert done.returncode == 1 and "has 1 pictures, not the 202599" in done.stderr
    write_netpbm_as_png(folder / "000002.png", 178, 217, lambda x, y: bytes([x, y, 7]))
    done = pack(folder, "other", "--celeba", "all")
    assert done.returncode == 1 and '000002.png": it is 178x217, not 178x218' in done.stderr
    assert pack(folder, "x", "--celeba", "some").returncode == 2
    assert pack(folder, "x", "--celeba", "all", "--crop", 3).returncode == 2


def test_training_on_a_packed_set(trainer, pack, tmp_path):
    """The same bytes as on the folder, and one goes on with the other."""
    assert pack(trainer.data, "packed", "--side", 16).returncode == 0
    folder, packed = trainer.data, tmp_path / "packed"
    states = []
    for run, parts in (("folder", [(folder, 6)]), ("mixed", [(packed, 2), (folder, 4), (packed, 6)])):
        for data, steps in parts:
            trainer.data = data
            done = trainer(run, "--steps", steps)
            assert done.returncode == 0, done.stderr
        states.append(safetensors_file.read(trainer.folder / run / "state.safetensors")[0])
    assert states[0] == states[1]

    trainer.recipe["data"] = {"crop": 12}
    done = trainer("crop")
    assert done.returncode == 1 and "was packed with 16 px and crop 0, not 16 px and crop 12" in done.stderr


def test_a_packed_set_that_changes_is_an_error(trainer, pack, tmp_path):
    """Whatever becomes of the file while it is used: no signal kills the training, and no other
    pictures are trained on."""
    assert pack(trainer.data, "packed", "--side", 16).returncode == 0
    whole = (tmp_path / "packed").read_bytes()
    trainer.data = tmp_path / "packed"
    for change in ("cut", "written"):
        trainer.data.write_bytes(whole)
        run = subprocess.Popen(
            trainer.command(change, "--steps", 1000000), stderr=subprocess.PIPE, text=True
        )
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not (trainer.folder / change / "log.jsonl").exists():
                time.sleep(0.05)
            if change == "cut":
                os.truncate(trainer.data, 100)
            else:
                with open(trainer.data, "r+b") as file:
                    file.seek(64)
                    file.write(bytes(12 * 16 * 16 * 3))
            _, errors = run.communicate(timeout=60)
        finally:
            run.kill()
        assert run.returncode == 1, (run.returncode, signal.Signals(-run.returncode) if run.returncode < 0 else "")
        assert "has changed since it was opened" in errors
        trainer.data.write_bytes(whole)


def test_other_programs_read_packed_sets(trainer, pack, program, tmp_path):
    """What measures pictures takes them, too; what is damaged is refused."""
    assert pack(trainer.data, "packed", "--side", 16, "--crop", 16).returncode == 0
    damaged = bytearray((tmp_path / "packed").read_bytes())
    damaged[-30] ^= 1
    (tmp_path / "packed").write_bytes(damaged)
    trainer.data = tmp_path / "packed"
    done = trainer("run")
    assert done.returncode == 1 and "its SHA-256 is not what it says" in done.stderr
    shutil.copy(trainer.folder / "recipe.json", tmp_path / "other")
    trainer.data = tmp_path / "other"
    done = trainer("run")
    assert done.returncode == 1 and "is no folder, ZIP archive, packed data set" in done.stderr
