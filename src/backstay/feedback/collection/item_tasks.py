"""Tasks of an item along the dimensions that its project asks now, which may be others than when the item was made."""

from sqlalchemy import insert, select, update

from backstay.feedback.collection.items import Item, as_json, gold_row
from backstay.feedback.collection.project import Project
from backstay.records import Dimension, Task
from backstay.storage.console_tables import gold_items, items
from backstay.storage.decisions import gold_decisions, with_gold
from backstay.storage.unit import Unit


def with_tasks(unit: Unit, project: Project, item: Item) -> Item:
    """The item with a task along every dimension of the project, and with the gold that its data set has along them.

    Tasks along dimensions that are asked no longer stay: judgments of them do as well.
    """
    missing: list[Dimension] = [name for name in project.settings.dimensions if name not in item.task_ids]
    if not missing:
        return item
    made = {name: Task.make(item.prompt_id, item.response_ids, dimension=name) for name in missing}
    stored = unit.batch.stored("tasks", project.dataset, [task.id for task in made.values()])
    unit.batch.add_tasks(project.dataset, [task for task in made.values() if task.id not in stored])
    changed = item._replace(task_ids=item.task_ids | {name: task.id for name, task in made.items()})
    task_ids = {str(name): task_id for name, task_id in changed.task_ids.items()}
    where = (items.c.project == item.project) & (items.c.id == item.id)
    unit.connection.execute(update(items).where(where).values(task_ids=as_json(task_ids)))
    _add_gold(unit, project, item.id, [Task.from_json(record) for record in stored.values()])
    return changed


def _add_gold(unit: Unit, project: Project, item_id: str, stored: list[Task]) -> None:
    known = [
        task
        for task in with_gold(stored, gold_decisions(unit.connection, project.dataset) if stored else {})
        if task.gold is not None
    ]
    where = (gold_items.c.project == project.id) & (gold_items.c.item_id == item_id)
    here = set(unit.connection.execute(select(gold_items.c.dimension).where(where)).scalars()) if known else set()
    rows = [
        gold_row(unit, project, item_id, task.dimension, task.gold)
        for task in known
        if task.gold is not None and task.dimension not in here
    ]
    if rows:
        unit.connection.execute(insert(gold_items), rows)
