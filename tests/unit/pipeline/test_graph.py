import pytest
from fake_stages import make_stage

from backstay.errors import RecipeError, UsageError
from backstay.pipeline.catalog import loop_graph, partial_report_graph
from backstay.pipeline.graph import resolve_graph
from backstay.pipeline.recipe import Recipe

LOOP = ("sft", "sample", "rate", "aggregate", "screen", "reward", "ppo", "evaluate", "redteam", "report")
IMPORTED = Recipe.model_validate({"rate": {"source": "dataset", "dataset": "hh"}, "demonstrations": "preferred"})


def test_the_demo_runs_every_stage_in_the_documented_order() -> None:
    assert loop_graph(Recipe()).names == LOOP


def test_imported_judgments_need_no_samples_and_teach_sft_from_accepted_pairs() -> None:
    graph = loop_graph(IMPORTED)
    assert graph.names == ("rate", "aggregate", "screen", "sft", "reward", "ppo", "evaluate", "redteam", "report")
    assert graph.needs["sft"] == ("rate", "screen")


def test_the_policy_that_is_evaluated_is_the_one_that_is_trained() -> None:
    graph = loop_graph(Recipe.model_validate({"evaluate": {"policy": "dpo"}}))
    assert graph.names == tuple("dpo" if name == "ppo" else name for name in LOOP)
    assert graph.needs["dpo"] == ("rate", "screen", "sft")
    assert "dpo" in graph.needs["evaluate"] and "dpo" in graph.needs["report"]


def test_a_policy_stage_that_is_named_joins_the_graph_and_others_do_not() -> None:
    assert set(loop_graph(Recipe(), "dpo").names) == {*LOOP, "dpo"}
    assert loop_graph(Recipe(), "dpo").select(only="dpo") == {"dpo"}
    assert loop_graph(IMPORTED, "sample", None).names == loop_graph(IMPORTED).names


def test_every_need_comes_before_its_stage() -> None:
    for recipe in (Recipe(), IMPORTED):
        graph = loop_graph(recipe)
        for position, name in enumerate(graph.names):
            assert set(graph.needs[name]) <= set(graph.names[:position])


def test_a_cycle_is_refused_with_its_stages_and_a_cure() -> None:
    recipe = Recipe.model_validate({"demonstrations": "preferred"})
    with pytest.raises(RecipeError, match="wait for each other.*sample.*") as caught:
        loop_graph(recipe)
    assert "sample.policy" in str(caught.value)


def test_preferred_demonstrations_work_when_the_base_model_answers() -> None:
    recipe = Recipe.model_validate({"demonstrations": "preferred", "sample": {"policy": "base"}})
    assert loop_graph(recipe).names[:5] == ("sample", "rate", "aggregate", "screen", "sft")


@pytest.mark.parametrize(
    ("bounds", "chosen"),
    [
        ({}, set(LOOP)),
        ({"only": "ppo"}, {"ppo"}),
        ({"until": "rate"}, {"sft", "sample", "rate"}),
        ({"start": "evaluate"}, {"evaluate", "report"}),
        ({"start": "screen", "until": "ppo"}, {"screen", "reward", "ppo"}),
    ],
)
def test_bounds_choose_stages(bounds: dict[str, str], chosen: set[str]) -> None:
    assert loop_graph(Recipe()).select(**bounds) == chosen


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"only": "fly"}, "no stage 'fly' in this recipe; its stages are sft, sample"),
        ({"only": "ppo", "until": "report"}, "--only goes alone"),
        ({"start": "evaluate", "until": "redteam"}, "redteam does not follow evaluate"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loop_graph(Recipe()).select(**bounds)


def test_a_stage_that_the_recipe_has_no_use_for_is_unknown() -> None:
    with pytest.raises(UsageError, match="no stage 'sample'"):
        loop_graph(IMPORTED).select(only="sample")


def test_only_what_the_goals_need_is_in_the_graph() -> None:
    stages = (make_stage("a"), make_stage("b", "a"), make_stage("c", "a"), make_stage("d", "b"))
    assert resolve_graph(Recipe(), stages, ("d",)).names == ("a", "b", "d")
    assert resolve_graph(Recipe(), stages).names == ("a", "b", "c", "d")
    assert resolve_graph(Recipe(), stages).ancestors("d") == {"a", "b"}


def test_a_report_under_way_needs_only_what_is_done() -> None:
    graph = partial_report_graph(Recipe(), {"sft", "sample", "rate"})
    assert graph.names == ("sft", "sample", "rate", "report")
