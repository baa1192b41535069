"""Results of `diagnose`."""

from dataclasses import dataclass

from wizard.serialization import ErrorReport


@dataclass(frozen=True)
class UriDifference:
    """Two redirect URIs, and the parts in which they differ."""

    sent: str
    registered: str
    common_prefix: str
    common_suffix: str


@dataclass(frozen=True)
class DiagnosisReport:
    """The result of `diagnose`."""

    is_explained: bool
    """False: the wizard doesn't know it; the exit code is 1."""
    connection: str
    """The stored connection it is about; empty if there is none for certain."""
    explanation: ErrorReport
    understood: tuple[str, ...]
    """Sentences about what was read."""
    has_secrets: bool
    """The text contained secrets."""
    comparison: UriDifference | None
    excerpt: str
    """The end of the text, masked; empty for a connection."""


@dataclass(frozen=True)
class CodeExplanation:
    """The result of `diagnose --code CODE`."""

    explanation: ErrorReport


@dataclass(frozen=True)
class CodeTitle:
    """A code and its title."""

    code: str
    title: str


@dataclass(frozen=True)
class CodeList:
    """The result of `diagnose --code all`."""

    codes: tuple[CodeTitle, ...]
