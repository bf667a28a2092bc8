"""The index of open items holds the votes that they want, so that their sum is read without the items."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BEFORE = ("project", "state", "priority", "place")
_AFTER = (*_BEFORE, "wants")


def upgrade() -> None:
    """Replace the index by the one with votes."""
    _replace(_BEFORE, _AFTER)


def downgrade() -> None:
    """Replace it by the one without."""
    _replace(_AFTER, _BEFORE)


def _replace(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    op.drop_index(f"ix_items_{'_'.join(old)}", "items")
    op.create_index(f"ix_items_{'_'.join(new)}", "items", list(new))
