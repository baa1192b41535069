"""The vault: the encryption key, where it is kept, and what is sealed with it."""

from wizard.vault.keys import KeyStorage
from wizard.vault.vault import Vault

__all__ = ["KeyStorage", "Vault"]
