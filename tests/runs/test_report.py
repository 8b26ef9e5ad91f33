"""The plots and the page: whole, self-contained, and made again from the saved files alone."""

import json
import re
import struct
from html.parser import HTMLParser
from importlib.metadata import version

import numpy as np
import pytest

from tfae.__main__ import main as tfae_main
from tfae.train import main


def png_size(data):
    """(width, height) of a PNG, by its header."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A run on colour images whose file name wants escaping."""
    directory = tmp_path_factory.mktemp("report")
    rows = np.random.default_rng(0).integers(0, 256, (80, 5, 4, 3)).astype(np.uint8)
    np.save(directory / "<b>&.npy", rows)
    options = ("--layers", "3", "--epochs", "2", "--optimizer", "adam", "--quiet")
    work = directory / "run"
    assert main(["--dataset", str(directory / "<b>&.npy"), "--workdir", str(work), *options]) == 0
    return work


class Page(HTMLParser):
    """Collects a page's tags, sources and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep the tag, and what it loads."""
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        """Keep the text."""
        self.text += data


def test_the_page_is_self_contained_and_complete(finished_run):
    page = Page((finished_run / "report.html").read_text())
    assert len(page.sources) == page.tags.count("img") == 3
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "b&"} & set(page.tags)
    facts = json.loads((finished_run / "run.json").read_text())
    final = facts["final"]
    for words in (
        "<b>&.npy",  # escaped on the page, plain in its text
        f"{final['val_loss']:.4f}",
        f"{final['mse']:.3g}",
        f"{final['pca_mse']:.3g}",
        "squared error of PCA",
        "Worst-rebuilt rows",
        facts["dataset"]["sha256"],
        facts["environment"]["tensorflow"],
        "--batch-size256",
        "--layers3",
    ):
        assert words in page.text, words


def test_the_pictures_are_whole(finished_run):
    for name in ("loss.png", "reconstructions.png"):
        width, height = png_size((finished_run / name).read_bytes())
        assert width > 600
        assert height > 200


def test_the_report_can_be_made_again_from_the_saved_files(finished_run, capsys):
    before = (finished_run / "report.html").read_text()
    for name in ("loss.png", "reconstructions.png", "report.html"):
        (finished_run / name).unlink()
    assert tfae_main(["report", str(finished_run)]) == 0
    assert capsys.readouterr().out.strip() == str(finished_run / "report.html")
    after = (finished_run / "report.html").read_text()
    assert re.sub('base64,[^"]*', "", after) == re.sub('base64,[^"]*', "", before)


def test_a_report_of_no_run_is_one_line(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "nowhere"):
        assert tfae_main(["report", str(path)]) == 1
        assert capsys.readouterr().err.startswith(f"tfae: {path} is no run's work directory: ")
    (tmp_path / "config.json").write_text("{}")
    assert tfae_main(["report", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"--resume --workdir {tmp_path} finishes" in error
    assert error.count("\n") == 1


def test_the_verbs(capsys):
    assert tfae_main(["--help"]) == 0
    assert "train" in capsys.readouterr().out
    assert tfae_main(["--version"]) == 0
    assert capsys.readouterr().out == f"tfae {version('tfae')}\n"
    for wrong, message in (("dance", "'dance' is no verb"), ("report", "usage: tfae report DIR")):
        assert tfae_main([wrong]) == 2
        assert message in capsys.readouterr().err
