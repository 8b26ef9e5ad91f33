"""The built-in digits: what is drawn, that it can be learnt, and the file that keeps it."""

import io
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tfae.data import glyphs
from tfae.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


def fingerprint(drawn):
    return [zlib.crc32(array.tobytes()) for array in drawn]


def python(code, *args):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def full():
    return glyphs.generate()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "folder"


@pytest.fixture
def draws(monkeypatch, full):
    """Puts the digits of `full` in the place of drawing them; gives the list of seeds asked for."""
    seeds = []
    monkeypatch.setattr(glyphs, "generate", lambda seed, quiet: seeds.append(seed) or full)
    return seeds


# What is drawn


def test_full_set_has_the_shape_of_mnist(full):
    assert [a.shape for a in full] == [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)]
    assert {a.dtype for a in full} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.bincount(full.train_labels), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(full.test_labels), [1000] * 10)
    changes = (np.diff(full.train_labels.astype(int)) != 0).mean()
    assert changes == pytest.approx(1 - 9 / 99, abs=0.01)  # every 100 are ten of each, shuffled


def test_full_set_has_the_ink_of_mnist(full):
    images = full.test_images
    assert 0.75 < (images == 0).mean() < 0.85  # MNIST: 0.81
    assert len(np.unique(images)) == 256
    assert images.max(axis=(1, 2)).min() > 150  # every digit has a stroke that can be seen
    rim = np.ones((28, 28), bool)
    rim[1:-1, 1:-1] = False
    assert (images[:, rim].max(axis=1) > 100).mean() < 0.002  # next to none is cut off
    rows, columns = images.max(axis=2) > 100, images.max(axis=1) > 100
    assert 16 < rows.sum(axis=1).mean() < 21  # MNIST: a box of 20
    for seen in (rows, columns):
        middle = (seen.argmax(axis=1) + 27 - seen[:, ::-1].argmax(axis=1)) / 2
        assert abs(middle.mean() - 13.5) < 0.5
        assert (abs(middle - 13.5) < 3).mean() > 0.99


def test_no_image_is_drawn_twice(full):
    images = [image.tobytes() for part in (full.train_images, full.test_images) for image in part]
    assert len(set(images)) == 70_000


def test_a_linear_classifier_learns_the_digits(full):
    def rows(images):
        return np.c_[images.reshape(len(images), -1) / 255.0, np.ones(len(images))]

    targets = np.eye(10)[full.train_labels[:2000]]
    weights = np.linalg.solve(  # ridge: some pixels are black in all 2,000 images
        rows(full.train_images[:2000]).T @ rows(full.train_images[:2000]) + 10 * np.eye(785),
        rows(full.train_images[:2000]).T @ targets,
    )
    guesses = (rows(full.test_images[:2000]) @ weights).argmax(axis=1)
    assert (guesses == full.test_labels[:2000]).mean() > 0.85  # chance: 0.1


def test_counts_that_fill_no_chunk_stay_balanced():
    drawn = glyphs.generate(seed=1, train=237, test=5)
    assert set(np.bincount(drawn.train_labels, minlength=10)) == {23, 24}
    assert drawn.test_images.shape == (5, 28, 28)
    assert glyphs.generate(train=0, test=0).train_images.shape == (0, 28, 28)


# Determinism


def test_same_seed_same_bytes_on_any_number_of_threads(monkeypatch, full):
    for cores in (1, 7, None):
        monkeypatch.setattr(glyphs.os, "cpu_count", lambda cores=cores: cores)
        drawn = glyphs.generate(train=700, test=300)
        np.testing.assert_array_equal(drawn.train_images, full.train_images[:700])
        np.testing.assert_array_equal(drawn.train_labels, full.train_labels[:700])
        np.testing.assert_array_equal(drawn.test_images, full.test_images[:300])


def test_other_seeds_and_parts_differ(full):
    other = glyphs.generate(seed=1, train=200, test=200)
    assert not np.array_equal(other.train_images, full.train_images[:200])
    assert not np.array_equal(other.train_labels, full.train_labels[:200])
    assert not np.array_equal(other.train_labels, other.test_labels)


@pytest.mark.parametrize("bad", [{"seed": -1}, {"seed": "x"}, {"train": 1.5}, {"test": -3}])
def test_bad_arguments_are_named(bad):
    with pytest.raises(ConfigError, match=f"{next(iter(bad))}=.*integer that is 0 or more"):
        glyphs.generate(**({"train": 1, "test": 1} | bad))


# The drawing itself


def test_field_of_a_ring_is_its_distance():
    def square(half, turn):
        return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])[::turn] * float(half)

    field = glyphs._field([square(10, 1), square(5, -1)])  # 20 pixels wide is 40 cells
    cell = abs(np.arange(64) - 31.5)
    reach = np.maximum(cell[:, None], cell)  # from the centre, squarely
    inside = reach < 20  # beyond it the corners would round the distance
    np.testing.assert_allclose(field[reach < 10], (reach - 10)[reach < 10], atol=1e-4)
    ring = inside & (np.minimum(cell[:, None], cell) < 10)  # clear of the corners of the hole
    np.testing.assert_allclose(field[ring], np.minimum(20 - reach, reach - 10)[ring], atol=1e-4)
    np.testing.assert_array_equal(field > 0, inside & (reach > 10))


def test_fields_fill_what_matplotlib_fills():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath

    file = findfont(FontProperties(family="DejaVu Sans"))
    for digit in range(10):
        path = TextPath((0, 0), str(digit), size=50, prop=FontProperties(fname=file))
        box = path.get_extents()
        (x, y), reach = (box.min + box.max) / 2, max(box.width, box.height) * 32 / 40
        figure = Figure((0.64, 0.64), dpi=100)
        axes = figure.add_axes(
            (0, 0, 1, 1), xlim=(x - reach, x + reach), ylim=(y - reach, y + reach)
        )
        axes.axis("off")
        axes.add_patch(PathPatch(path, linewidth=0, color="black"))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        filled = np.asarray(canvas.buffer_rgba())[:, :, 0] < 128
        field = glyphs._fields()[digit]  # the first face is DejaVu Sans
        # Agg snaps and rounds what is within half a cell of the outline.
        assert filled.sum() > 200
        np.testing.assert_array_equal((field > 0)[abs(field) > 0.6], filled[abs(field) > 0.6])


def test_bilinear_is_exact_on_planes():
    rng = np.random.default_rng(0)
    slopes = rng.integers(-3, 4, (5, 2))
    y, x = np.mgrid[:64, :64]
    planes = (slopes[:, 0, None, None] * x + slopes[:, 1, None, None] * y).astype(np.float32)
    which = np.array([4, 0, 2])
    at = rng.uniform(0, 62.9, (2, 3, 50)).astype(np.float32)
    want = slopes[which, 0, None] * at[0] + slopes[which, 1, None] * at[1]
    np.testing.assert_allclose(glyphs._bilinear(planes, which, *at), want, atol=1e-3)


def test_missing_fonts_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match="reinstall matplotlib"):
        glyphs._fields.__wrapped__()


def test_importing_the_module_imports_no_matplotlib():
    code = "import sys, tfae.data.glyphs; print('matplotlib' in sys.modules, 'rich' in sys.modules)"
    assert python(code).communicate()[0].split() == ["False", "False"]


# The file


def test_second_load_reads_the_file(folder, draws, full, capsys):
    first = glyphs.load(seed=3, cache_dir=folder)
    assert [p.name for p in (folder).iterdir()] == ["glyphs-v1-seed3.npz"]
    second = glyphs.load(seed=3, cache_dir=folder)
    assert draws == [3]
    assert fingerprint(first) == fingerprint(second) == fingerprint(full)
    glyphs.load(seed=4, cache_dir=folder)
    assert draws == [3, 4]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_damaged_file_is_drawn_again(folder, draws, full, capsys, quiet):
    glyphs.load(cache_dir=folder)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    other = io.BytesIO()
    np.savez(other, **full._replace(test_labels=full.test_labels.astype(np.int64))._asdict())
    array = io.BytesIO()
    np.save(array, full.test_labels)
    damages = [good[: len(good) // 2], flipped, b"", b"no zip", other.getvalue(), array.getvalue()]
    for damage in damages:
        path.write_bytes(damage)
        draws.clear()
        assert glyphs.load(cache_dir=folder, quiet=quiet) is full
        err = capsys.readouterr().err
        assert err == "" if quiet else (err.count("\n") == 1 and "not a usable cache" in err), err
        assert path.read_bytes() == good
    assert list(folder.iterdir()) == [path]


def test_folder_that_cannot_be_made_is_no_obstacle(tmp_path, draws, full, capsys):
    (tmp_path / "file").write_text("in the way")
    assert glyphs.load(cache_dir=tmp_path / "file" / "folder") is full
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "not kept" in err
    assert glyphs.load(cache_dir=tmp_path / "file" / "folder", quiet=True) is full
    assert capsys.readouterr().err == ""


def test_disk_that_fills_up_leaves_nothing(folder, draws, full, capsys, monkeypatch):
    def savez(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    assert glyphs.load(cache_dir=folder) is full
    assert "No space left" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_readers_never_see_half_a_file(folder, full):
    path = folder / "glyphs.npz"
    glyphs._write(path, full)
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(glyphs._write, path, full) for _ in range(6)]
        while not all(writer.done() for writer in writers):
            assert np.array_equal(glyphs._read(path).train_labels, full.train_labels)
    for writer in writers:
        writer.result()


def test_processes_that_start_together_agree(folder, full):
    code = """
import sys, zlib
from tfae.data import glyphs
print([zlib.crc32(a.tobytes()) for a in glyphs.load(cache_dir=sys.argv[1])])
"""
    started = [python(code, folder) for _ in range(2)]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.strip() == str(fingerprint(full))
        assert "not kept" not in err, err
    assert [p.name for p in folder.iterdir()] == ["glyphs-v1-seed0.npz"]
    assert fingerprint(glyphs._read(folder / "glyphs-v1-seed0.npz")) == fingerprint(full)


# What the terminal shows


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_a_line_or_nothing(monkeypatch, capsys):
    glyphs.generate(train=100, test=50)
    assert capsys.readouterr().err == ""
    glyphs.generate(train=100, test=50, quiet=False)
    assert capsys.readouterr().err == "drawing 150 digits, which takes some seconds\n"
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    glyphs.generate(train=100, test=50, quiet=False)
    assert "drawing digits" in sys.stderr.getvalue()
    assert "100%" in sys.stderr.getvalue()
