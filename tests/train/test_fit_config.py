import pytest

from headscarp.core.errors import RecipeError
from headscarp.nets.net import Schedule
from headscarp.train.config import FitConfig


def test_gaps_are_filled_from_the_schedule_and_nothing_else():
    config = FitConfig(epochs=7, weight_decay=0.0, patience=4).resolved(Schedule("sgd", 0.125, 20, 12, 0.5))
    assert (config.optimiser, config.learning_rate, config.batch_size) == ("sgd", 0.125, 12)
    assert (config.epochs, config.weight_decay) == (7, 0.0)
    assert config.stop_after == 12


def test_an_unknown_key_is_an_error_with_the_nearest_known_one():
    with pytest.raises(RecipeError, match=r"'learning_rat'; did you mean 'learning_rate'\?"):
        FitConfig.from_dict({"learning_rat": 0.1})
    assert FitConfig.from_dict({"learning_rate": 0.1}).learning_rate == 0.1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epochs": -1}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"patience": 0}, "patience"),
        ({"optimiser": "adamw"}, "did you mean 'adam'"),
        ({"precision": "bf16"}, "bf16-mixed"),
        ({"calibration": "temp"}, "temperature"),
        ({"zoom": 0.5}, "zoom is 0.5"),
        ({"light": -0.1, "light_bands": ["red"]}, "light is -0.1"),
        ({"light": 0.2}, "light_bands"),
        ({"light_bands": ["red"]}, "light is 0"),
    ],
)
def test_senseless_values_are_refused(settings, told):
    with pytest.raises(RecipeError, match=told):
        FitConfig(**settings)


def test_reading_threads_do_not_belong_to_what_decides_the_result():
    assert FitConfig(workers=1).to_json() == FitConfig(workers=9).to_json()
