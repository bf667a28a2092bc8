"""`backstay init`: a project folder."""

from pathlib import Path

import click

from backstay.cli.session import Session, shared_options


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--recipe",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Copy this recipe instead of writing one with the defaults.",
)
@shared_options
def init(session: Session, folder: Path, source: Path | None) -> None:
    """Make a project folder with a recipe.

    The recipe lists every setting with its default, commented out: a line that stays a comment follows the defaults of
    the installed version.
    """
    from backstay.pipeline.project import Project
    from backstay.pipeline.recipe import resolve_recipe
    from backstay.pipeline.recipe_layers import layer_recipe
    from backstay.pipeline.recipe_template import recipe_template
    from backstay.storage import Store

    if source is not None:
        resolve_recipe(layer_recipe(source))
    text = source.read_text(encoding="utf-8") if source else recipe_template(folder.resolve().name)
    project = Project.create(folder, text)
    with Store(project.root, create=True):
        pass
    if session.as_json:
        session.emit({"project": str(project.root), "recipe": str(project.recipe_path)})
    else:
        session.say(f"{project.recipe_path} written; next: cd {folder} && backstay run")
