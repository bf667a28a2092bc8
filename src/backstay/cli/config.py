"""`backstay config show`: the recipe as it resolves."""

from pathlib import Path

import click

from backstay.cli.session import Session, recipe_options, shared_options


@click.group()
def config() -> None:
    """Show the resolved recipe."""


@config.command()
@recipe_options
@click.option("--why", is_flag=True, help="Name the place that set each value that is not a default.")
@shared_options
def show(session: Session, config: Path | None, overrides: tuple[str, ...], why: bool) -> None:
    """Print every setting with the value it resolves to."""
    import os

    from backstay.pipeline.recipe_layers import layer_recipe

    recipe = session.recipe(config, overrides)
    origin = layer_recipe(config or session.project.recipe_path, overrides, os.environ).origin if why else {}
    places = {".".join(path): place for path, place in origin.items()}
    if session.as_json:
        session.emit(recipe.model_dump(mode="json") | ({"origin": places} if why else {}))
        return
    session.say(recipe.to_yaml().rstrip())
    for key, place in places.items():
        session.say(f"# {key}: {place}")
