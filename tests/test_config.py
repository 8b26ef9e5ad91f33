"""The configuration: its flags, its JSON and what it refuses."""

import dataclasses

import pytest

from tfae.config import PRECISIONS, RECIPES, TrainConfig, parse_args, recipe
from tfae.errors import ConfigError
from tfae.nn import losses, precision
from tfae.nn.spec import LOSSES


def test_the_defaults_are_the_keras_tutorial():
    config = TrainConfig()
    assert (config.layers, config.activation, config.output_activation) == (
        (32,),
        "relu",
        "sigmoid",
    )
    assert (config.loss, config.optimizer, config.learning_rate) == (
        "binary_crossentropy",
        "adadelta",
        1.0,
    )
    assert (config.epochs, config.batch_size, config.precision) == (50, 256, "float32")


def test_every_choice_has_its_implementation():
    assert set(LOSSES) == set(losses.LOSSES)
    assert set(PRECISIONS) == set(precision.PRECISIONS)


def test_json_round_trip():
    config = TrainConfig(layers=(128, 64), optimizer="sgd", momentum=0.9, dataset="x.npy")
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"layer": 3}', "unknown fields layer"),
    ],
)
def test_broken_json_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_json(text)


def test_every_field_is_a_flag():
    values = {
        "layers": "128,64",
        "learning_rate": "0.5",
        "validation_fraction": "0.2",
        "momentum": "0.5",
    }
    for field in dataclasses.fields(TrainConfig):
        default = getattr(TrainConfig(), field.name)
        flag = "--" + field.name.replace("_", "-")
        arguments = (
            [flag] if default is False else [flag, values.get(field.name, str(default or 3))]
        )
        given = parse_args(arguments, "x").given
        assert list(given) == [field.name]
        needs = {
            "momentum": {"optimizer": "sgd"},
            "nesterov": {"optimizer": "sgd", "momentum": 0.9},
            "beta_2": {"optimizer": "adam"},
        }
        TrainConfig(**{**needs.get(field.name, {}), **given})


def test_a_recipe_stands_for_its_flags_and_a_flag_given_beside_it_wins():
    assert parse_args(["--recipe", "tutorial"], "x").given == {}
    given = parse_args(["--recipe", "fast", "--epochs", "7"], "x").given
    assert given == {**RECIPES["fast"], "epochs": 7}
    assert TrainConfig(**given) == recipe("fast", epochs=7)
    with pytest.raises(ConfigError, match="--recipe fast is one of --optimizer adam, not sgd"):
        parse_args(["--recipe", "fast", "--optimizer", "sgd"], "x")
    with pytest.raises(ConfigError, match=r"invalid choice: 'slow'"):
        parse_args(["--recipe", "slow"], "x")


def test_flags_that_are_not_given_leave_no_value():
    assert parse_args([], "x").given == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch-size is 0; it must be at least 1"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"learning_rate": -1.0}, "--learning-rate is -1.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan; it must be a finite"),
        ({"validation_fraction": 1.0}, "--validation-fraction is 1.0; it must lie between 0 and 1"),
        ({"layers": (0,)}, "--layers is 0; each width must be from 1 to"),
        ({"layers": ()}, "--layers"),
        ({"layers": (2.5,)}, "--layers is .* not of the type"),
        ({"batch_size": "8"}, "--batch-size is '8', which is not of the type"),
        ({"epochs": True}, "--epochs is True, which is not of the type"),
        ({"epochs": 10**20}, "--epochs is 10+; it must be at most"),
        ({"optimizer": "sgd", "momentum": 5.0}, "--momentum is 5.0; it must be at most 1"),
        ({"workdir": ""}, "--workdir is empty"),
        ({"optimizer": "adamw"}, "--optimizer is 'adamw'; choose one of adadelta, adam, sgd"),
        ({"output_activation": "linear"}, "needs --output-activation sigmoid, not linear"),
        ({"momentum": 0.9}, "--momentum and --nesterov are for --optimizer sgd"),
        ({"beta_2": 0.9}, "--beta-2 is for --optimizer adam, not adadelta"),
        ({"optimizer": "sgd", "nesterov": True}, "--nesterov needs a --momentum"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(options, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**options)


def test_a_mistyped_flag_is_told_the_nearest():
    for wrong, near in (
        ("--epoch", "--epochs"),
        ("--batch", "--batch-size"),
        ("--qiet", "--quiet"),
    ):
        with pytest.raises(ConfigError, match=f"{wrong}; did you mean {near}"):
            parse_args([wrong], "x")
    with pytest.raises(ConfigError, match=r"--lr 1 \(see --help\)"):  # near to --layers alone
        parse_args(["--lr", "1"], "x")
