"""The vault: the encryption key, its storage, and the values sealed with it."""

from wizard.vault.keys import KeyStorage
from wizard.vault.vault import Vault

__all__ = ["KeyStorage", "Vault"]
