"""What this installation remembers of its backups, and whether it was moved to another one."""

from datetime import datetime

from sqlalchemy import select, update

from wizard.store import schema
from wizard.store.repository import Repository

_INSTALLATION = schema.installation


class InstallationRepository(Repository):
    """The one row of this installation."""

    def backed_up_at(self) -> datetime | None:
        """When the last backup was written; None: never."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.backed_up_at))

    def record_backup(self, at: datetime) -> None:
        """Write down that a backup was written and read back."""
        self._update_installation(backed_up_at=at)

    def deactivated_at(self) -> datetime | None:
        """When everything was moved to another home; None: it was not."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.deactivated_at))

    def set_deactivated(self, at: datetime | None) -> None:
        """From ``at`` on ask Zoho nothing any more; None: this home works again."""
        self._update_installation(deactivated_at=at)

    def _update_installation(self, **values: datetime | None) -> None:
        with self.database.write() as c:
            c.execute(update(_INSTALLATION).values(**values))
