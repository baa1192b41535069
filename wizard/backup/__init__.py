"""Backups: everything a home keeps, in one file under a passphrase, and back again.

The file needs no key of this machine. What is restored is taken as it was, and believed only when
it was proved again. A backup that *moves* retires the home it was made in: two homes that tend one
grant would spend its limits twice, and each would think itself right.
"""

from wizard.backup.file import Backup
from wizard.backup.recovery import RecoveryResult, recover_secrets, set_database_aside
from wizard.backup.service import BackupService, RestoreResult, open_backup

__all__ = [
    "Backup",
    "BackupService",
    "RecoveryResult",
    "RestoreResult",
    "open_backup",
    "recover_secrets",
    "set_database_aside",
]
