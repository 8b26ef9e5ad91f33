"""README.md and docs/ say what is so: figures, links, paths, commands and examples."""

import importlib.util
import json
import re
import shlex
import shutil

import pytest

from benchmarks import report
from tfae.config import TrainConfig, make_parser, parse_args

README, *DOCS = PAGES = report.pages()
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page):
    """Of the page's headings, as GitHub makes them."""
    headings = HEADING.findall(CODE.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_blocks(page, language):
    """The code of the page in that language; "" for commands."""
    return [code for kind, code in CODE.findall(page.read_text()) if kind == language]


def test_the_pages_are_those_of_the_plan():
    names = [str(page.relative_to(report.ROOT)) for page in PAGES]
    docs = ["docs/command-line.md", "docs/how-it-works.md", "docs/results.md"]
    assert names == ["README.md", *docs]


def test_the_first_page_is_short_and_leads_to_the_others():
    text = README.read_text()
    assert len(text.splitlines()) <= 160
    for page in DOCS:
        assert f"]({page.relative_to(report.ROOT)})" in text


def test_what_is_made_is_up_to_date(capsys):
    report.main(["--check"])
    assert "every page" in capsys.readouterr().out


@of_each_page
def test_links_and_images_lead_somewhere(page):
    found = LINK.findall(CODE.sub("", page.read_text()))
    assert found
    for path, anchor in found:
        if path.startswith("http"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


@of_each_page
def test_paths_and_modules_in_the_text_are_there(page):
    text = page.read_text()
    for path in re.findall(r"`((?:tfae|benchmarks|tests|docs)/[^` ]*)`", text):
        assert (report.ROOT / path).exists(), path
    for module in re.findall(r"python -m ((?:tfae|benchmarks)[.\w]*\w)", text):
        assert importlib.util.find_spec(module), module


def test_the_map_names_what_the_files_have():
    page = next(page for page in DOCS if page.name == "how-it-works.md")
    rows = re.findall(r"\| `(\S+)` \| `(\w+)` \|$", page.read_text(), re.MULTILINE)
    assert len(rows) > 15
    for path, name in rows:
        defined = rf"^\s*(def|class|struct|double) {name}\b|^{name} = "
        assert re.search(defined, (report.ROOT / path).read_text(), re.MULTILINE), (path, name)


@of_each_page
def test_commands_can_be_typed(page):
    """Those that train: every flag is one, with a value that it takes."""
    text = "\n".join(code_blocks(page, "")).replace("\\\n", " ")
    for line in re.findall(r"python -m tfae\.train\b(.*)", text):
        TrainConfig(**parse_args(shlex.split(line, comments=True), "tfae").given)


@pytest.mark.parametrize("name", ["README.md", "command-line.md"])
def test_flags_in_the_text_are_flags(name):
    page = next(page for page in PAGES if page.name == name)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", page.read_text()))
    known = set(make_parser("tfae")._option_string_actions)
    assert flags <= known | {"--version"}  # tfae's own
    if name == "command-line.md":
        assert known - {"-h"} <= flags


def test_the_examples_run_as_they_are_written(native, digits, monkeypatch, tmp_path):
    """Of fewer rows; what is said to be fast takes the fast way."""
    import keras

    from tfae.autoencoder import Autoencoder
    from tfae.nn.spec import Stack
    from tfae.runs import artifact

    images = digits[0][:256].reshape(-1, 28, 28)
    monkeypatch.setattr(
        keras.datasets.mnist, "load_data", lambda: ((images, None), (images[:32], None))
    )
    training, *using = code_blocks(README, "python")
    scope = {}
    exec(training, scope)
    assert scope["model"].history.params["engine"] != "keras"
    assert len(scope["model"].history.history["val_loss"]) == 50

    run = tmp_path / "run"
    run.mkdir()
    artifact.save(Autoencoder(Stack.mirrored(784, (32,))), run / "model.keras")
    for example in using:
        exec(example.replace("runs/...", str(run)), scope)
        assert scope["rebuilt"].shape == (5, 784)
    assert scope["codes"].shape == scope["encoder"].predict(scope["rows"], verbose=0).shape


def test_another_number_in_a_page_is_found(tmp_path, monkeypatch):
    copied = shutil.copytree(report.ROOT / "docs", tmp_path / "docs")
    shutil.copy(README, tmp_path)
    monkeypatch.setattr(report, "ROOT", tmp_path)
    page = copied / "results.md"
    text = page.read_text()
    page.write_text(text.replace("| 1.0 |", "| 2.0 |", 1))
    with pytest.raises(SystemExit, match=r"docs/results\.md not up to date: run python -m"):
        report.main(["--check"])
    page.write_text(text.replace("<!-- end of parity -->", ""))
    with pytest.raises(SystemExit, match="no page has the lines '<!-- parity: "):
        report.main(["--check"])


def test_a_part_that_nothing_makes_is_named():
    with pytest.raises(SystemExit, match="'nothing' is no part that is made; there are fit, flags"):
        report.render("<!-- nothing: python -m benchmarks.report -->\n<!-- end of nothing -->\n")


def test_a_table_of_a_gpus_stands_there_once_it_is_measured(tmp_path, monkeypatch):
    document = report.read("throughput")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    made = report.PARTS["throughput_gpu"]
    assert made().startswith(
        "On a GPU nothing of this has been measured yet: `python -m benchmarks"
    )
    assert "\n" not in made()
    document["environment"]["device"] = "NVIDIA H200"
    (tmp_path / "throughput_gpu.json").write_text(json.dumps(document))
    assert made().startswith("| | seconds an epoch | rows/s |")
    assert "\n- NVIDIA H200, beside 2 cores of an AMD EPYC" in made()


def test_json_of_an_older_form_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    (tmp_path / "parity.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"results/parity\.json has no 'work': measure it again"):
        report.PARTS["parity"]()
