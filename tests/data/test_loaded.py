"""Which part of a file with several validates."""

import numpy as np
import pytest

from tfae.data import sources, tfds

ROWS = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    ("members", "part"),
    [
        (["x_train", "x_test", "x_val"], "x_val"),
        (["x_val", "x_test", "x_train"], "x_val"),
        (["x_train", "x_valid", "x_test"], "x_valid"),
        (["x_train", "x_validation", "x_test"], "x_validation"),
        (["train", "test", "validation"], "validation"),
        (["train", "val", "test"], "val"),
    ],
)
def test_a_validation_part_comes_before_the_test_part(tmp_path, members, part):
    arrays = {name: ROWS + 100 * i for i, name in enumerate(members)}
    np.savez(tmp_path / "t.npz", **arrays)
    source = sources.load(str(tmp_path / "t.npz"))
    assert source.validation_from == "its own validation part"
    np.testing.assert_array_equal(source.validation, arrays[part])
    test = next(name for name in members if "test" in name)
    assert source.notes == (f"{tmp_path / 't.npz'}: left out its members {test}",)


def test_so_it_does_in_a_copy_of_tfds(tmp_path):
    import tensorflow_datasets as real

    class Threefold(real.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = real.core.Version("1.0.0")

        def _info(self):
            features = real.features.FeaturesDict({"x": np.float32, "y": np.float32})
            return real.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _):
            return {
                split: enumerate({"x": value, "y": i / 2} for i in range(4))
                for split, value in (("train", 0), ("test", 1), ("validation", 2))
            }

        def _generate_examples(self, rows):
            raise NotImplementedError

    Threefold.name = "threefold"
    real.disable_progress_bar()
    Threefold(data_dir=tmp_path).download_and_prepare()
    parts = tfds.read(tmp_path / "threefold" / "1.0.0")
    assert list(parts) == ["train", "validation"]
    assert set(parts["validation"][:, 0]) == {2}
