"""Verifying a grant step by step, and printing what it came to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.cli.results.connections import (
    ConnectionVerification,
    EvidenceResult,
    StepResult,
    status_fields,
)
from wizard.cli.terminal import Terminal
from wizard.connection_details import describe_access, describe_evidence, headline
from wizard.errors import WizardError, message
from wizard.model import Explanation, Failure, Grant, GrantState, StepState, VerificationStep
from wizard.model.states import ConnectionStatus
from wizard.serialization import error_report

if TYPE_CHECKING:
    from wizard.cli.results.checks import IncidentReport
    from wizard.diagnosis.incidents import Incident
    from wizard.oauth import TokenResponse

EXIT_CODES_BY_SEVERITY = (0, 4, 2, 1, 3, 5, 6)
"""Exit codes from the least to the most severe: of several connections the most severe counts."""


@dataclass(frozen=True)
class VerificationOutcome:
    """How the verification of one grant ended, with its failure explained."""

    name: str
    grant: Grant | None
    steps: tuple[VerificationStep, ...] = ()
    explanation: Explanation | None = None

    @property
    def exit_code(self) -> int:
        """0 if the grant is verified, else that of the explanation."""
        return self.explanation.exit_code if self.explanation else 0

    def result(self, status: ConnectionStatus) -> ConnectionVerification:
        """The outcome as scripts read it, with the connection's `status`; no secret in it."""
        grant = self.grant
        is_verified = grant is not None and grant.state is GrantState.VERIFIED
        return ConnectionVerification(
            name=self.name,
            is_verified=is_verified and self.explanation is None,
            generation=grant.generation if grant else None,
            **status_fields(status),
            headline=headline(grant, self.steps) if grant else None,
            account=grant.account if grant else None,
            organizations=grant.organizations if grant else (),
            steps=tuple(step_result(each) for each in self.steps),
            error=error_report(self.explanation) if self.explanation else None,
        )


def step_result(step: VerificationStep) -> StepResult:
    """A step as scripts read it."""
    failure = step.failure.code if step.failure else None
    evidence = tuple(
        EvidenceResult(each.code, each.values, **vars(describe_evidence(each)))
        for each in step.evidence
    )
    return StepResult(step.name, step.state, evidence, step.at, failure)


def verify(
    terminal: Terminal,
    name: str,
    generation: int,
    *,
    known_token: "TokenResponse | None" = None,
    shows_steps: bool = True,
) -> VerificationOutcome:
    """Verify grant `generation` of connection `name`, and print each step. `known_token`: see
    `VerificationService.verify`.

    Failures are in the outcome, which the caller prints; none is raised.
    """
    services, steps = terminal.services, list[VerificationStep]()
    failure: Failure | None = None
    with terminal.renderer.progress() as show_progress:
        show_progress(message("notes", "verifying", name=name))
        try:
            for step in services.verification.verify(name, generation, known_token=known_token):
                steps.append(step)
                if shows_steps and not terminal.renderer.as_json:
                    terminal.renderer.print_step(step)
        except WizardError as error:
            failure = error.failure
    grant = services.store.grants.get(name, generation)
    if grant is not None and grant.state in (GrantState.NEEDS_REAUTHORIZATION, GrantState.MISMATCH):
        failure = grant.failure or failure
    failed = next((each for each in steps if each.state is StepState.FAILED), None)
    if failure is None and failed is not None:
        failure = failed.failure or Failure("unknown")
    explanation = terminal.explain(failure, name) if failure else None
    return VerificationOutcome(name, grant, tuple(steps), explanation)


def outcome_result(terminal: Terminal, outcome: VerificationOutcome) -> ConnectionVerification:
    """The outcome as scripts read it, with what is stored of its connection."""
    overview = terminal.services.store.overviews.get(outcome.name)
    return outcome.result(overview.status(terminal.clock()))


def print_outcome(terminal: Terminal, outcome: VerificationOutcome) -> None:
    """Print what `outcome` means."""
    renderer = terminal.renderer
    if outcome.explanation is not None:
        renderer.print_explanation(outcome.explanation)
    elif outcome.grant is not None:
        access = describe_access(outcome.grant)
        renderer.print_success(message("notes", "verified", name=outcome.name, access=access))


def print_usage(terminal: Terminal, name: str) -> None:
    """Print the two ways in which a program can use a verified connection."""
    renderer = terminal.renderer
    renderer.print_note(message("notes", "usage-token"))
    renderer.print_command(f"zoho-wizard token {name}")
    renderer.print_note(message("notes", "usage-reveal"))
    renderer.print_command(f"zoho-wizard show {name} --reveal")


def most_severe(codes: list[int]) -> int:
    """The exit code of several outcomes together."""
    return max(codes, key=EXIT_CODES_BY_SEVERITY.index, default=0)


def incident_report(incident: "Incident") -> "IncidentReport":
    """An incident as scripts read it."""
    from wizard.cli.results.checks import IncidentReport  # `list` and `show` need none

    return IncidentReport(
        key=incident.key,
        level=incident.level.value,
        connections=incident.names,
        suspected_connections=incident.suspected_names,
        sign_in_as=incident.email or None,
        programs=incident.programs,
        access_tokens_expire_at=incident.access_tokens_expire_at,
        error=error_report(incident.explanation),
    )
