"""Labels that bind a sealed value to its row and column.

They are part of the encryption: if a label changes, stored values can't be read anymore. So they
don't follow renamed tables and columns, and a test checks each of them.
"""

INSTALLATION = "installation"
KEY_CHECK = "key_check"
NOTIFY_COMMAND = "notify_command"

CLIENT_SECRET = "client_secret"  # noqa: S105 - no secret
SECRET_VALUE = "value"  # noqa: S105 - no secret

GRANT = "grant"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - no secret

ATTEMPT = "attempt"
OAUTH_STATE = "oauth_state"
CODE_VERIFIER = "code_verifier"

DESTINATION = "destination"
PREVIOUS_CONTENT = "previous_content"

ACCESS_PERMISSION = "access_permission"
KEY_PERMISSION = "key_permission"
SEAL = "seal"

FINGERPRINT = b"fingerprint"
"""Derives the key of fingerprints from the encryption key."""
