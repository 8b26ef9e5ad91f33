"""Where the cache is: the environment says."""

from pathlib import Path

from tfae.host.cache import cache_dir


def test_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TFAE_CACHE_DIR", raising=False)
    assert cache_dir() == tmp_path / "home" / ".cache" / "tfae"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "tfae"
    monkeypatch.setenv("TFAE_CACHE_DIR", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert cache_dir("given") == Path("given")
