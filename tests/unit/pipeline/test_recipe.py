from pathlib import Path

import pytest

from backstay.errors import RecipeError, UsageError
from backstay.pipeline.recipe import Recipe, resolve_recipe
from backstay.pipeline.recipe_layers import layer_recipe


def resolve(tmp_path: Path, text: str = "", *overrides: str, **environ: str) -> Recipe:
    path = tmp_path / "backstay.yaml"
    path.write_text(text)
    return resolve_recipe(layer_recipe(path, overrides, environ))


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert resolve(tmp_path) == Recipe()


def test_arguments_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    text = "ppo:\n  updates: 2\n  seed: 2\n  gamma: 0.5\n"
    recipe = resolve(
        tmp_path, text, "ppo.updates=4", BACKSTAY_PPO__UPDATES="3", BACKSTAY_PPO__SEED="3", BACKSTAY_DATA="x"
    )
    assert (recipe.ppo.updates, recipe.ppo.seed, recipe.ppo.gamma) == (4, 3, 0.5)


def test_values_are_yaml(tmp_path: Path) -> None:
    recipe = resolve(
        tmp_path, "", "ppo.learning_rate=1e-5", "redteam.flip_shares=[0, 0.25]", "model.system=", "name=no"
    )
    assert recipe.ppo.learning_rate == 1e-5
    assert recipe.redteam.flip_shares == (0.0, 0.25)
    assert recipe.model.system == ""
    assert recipe.name == "no"


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        (
            "name: x\n\nppo:\n  updates: 3\n  lerning_rate: 1\n",
            "name=y",
            "unknown key ppo.lerning_rate in backstay.yaml line 5; nearest known key: ppo.learning_rate",
        ),
        ("", "ppos.updates=3", "unknown key ppos in argument ppos.updates=3; nearest known key: ppo"),
        ("", "sft.updates=3", "unknown key sft.updates in argument sft.updates=3; nearest known key: ppo.updates"),
        ("", "rate.pool.carefull=3", "nearest known key: rate.pool.careful"),
        ("", "model.zzzz=3", "known keys here: model.source, model.branch_layer"),
        (
            "ppo:\n  updates: 0\n",
            "name=y",
            "ppo.updates in backstay.yaml line 2: 0 is not accepted; input should be greater",
        ),
        ("ppo:\n  updates: three\n", "name=y", "'three' is not accepted; input should be a valid integer"),
        ("ppo:\n  updates: '3'\n", "name=y", "'3' is not accepted; input should be a valid integer"),
        ("model:\n  device: gpu\n", "name=y", "'gpu' is not accepted; input should be 'auto', 'cpu' or 'cuda'"),
        ("ppo:\n  gamma: .nan\n", "name=y", "'.nan' is not accepted"),
        ("ppo: 3\n", "name=y", "ppo in backstay.yaml line 1: 3 is not accepted"),
        ("ppo: 3\n", "ppo.updates=2", "ppo is no section, it is 3"),
        ("- a\n", "name=y", "must hold key: value pairs, seen list"),
        (
            "",
            "ppo.minibatches=5",
            "ppo in argument ppo.minibatches=5: episodes (48) must be a multiple of minibatches (5)",
        ),
        ("", "ppo.cost_threshold=0", "ppo.cost_threshold needs a cost model: set reward.cost_members to 1 or more"),
        ("reward:\n  members: 2\n", "ppo.held_out_members=2", "leaves none of reward.members (2) to train on"),
        ("ppo:\n  critic: reward\n", "ppo.reward=https://r.example", "need the ensemble, and reward is 'https://r.ex"),
        ("ppo:\n  shaping: par\n", "ppo.critic=reward", "use critic=trunk"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_place(tmp_path: Path, text: str, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(tmp_path, text, override)
    assert message in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(tmp_path, "ppo:\n  updates: 0\nsft:\n  epochs: 0\n")
    assert len(str(caught.value).splitlines()) == 2


def test_an_environment_variable_is_named_as_the_place(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key ppo.lr in BACKSTAY_PPO__LR"):
        resolve(tmp_path, "", BACKSTAY_PPO__LR="1")


@pytest.mark.parametrize("override", ["ppo.updates", "=3", "ppo..updates=3", ".a=1"])
def test_an_argument_that_is_no_setting_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(UsageError, match="is no setting"):
        resolve(tmp_path, "", override)


def test_a_missing_recipe_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backstay init"):
        layer_recipe(tmp_path / "none.yaml")


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backstay.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        layer_recipe(path)


def test_the_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = resolve(tmp_path, "", "ppo.learning_rate=1e-5", "model.system='a: b'")
    assert resolve(tmp_path, recipe.to_yaml()) == recipe
