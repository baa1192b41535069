"""The vault: the one key, where it is kept, and what it seals.

``Vault`` is looked up on first use, because ``wizard.vault.cipher`` stands on the short path of
``zoho-wizard token NAME`` and must not bring the keyring and our error words with it.
"""

TYPE_CHECKING = False  # what `typing` would say, without importing it
if TYPE_CHECKING:
    from wizard.vault.keys import KeyStorage as KeyStorage
    from wizard.vault.vault import Vault as Vault

__all__ = ["KeyStorage", "Vault"]


def __getattr__(name: str) -> object:
    if name == "KeyStorage":
        from wizard.vault.keys import KeyStorage

        return KeyStorage
    if name == "Vault":
        from wizard.vault.vault import Vault

        return Vault
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
