"""Back up an installation to one file, encrypted with a passphrase, and restore it.

The file doesn't depend on a key of this computer. Restored grants must be verified again. A backup
may deactivate the installation it was made in: two installations that refresh one grant would use
up its budget twice.
"""

from wizard.backup.recovery import RecoveryResult, recover_secrets, set_database_aside
from wizard.backup.service import Backup, BackupService, RestoreResult, open_backup

__all__ = [
    "Backup",
    "BackupService",
    "RecoveryResult",
    "RestoreResult",
    "open_backup",
    "recover_secrets",
    "set_database_aside",
]
