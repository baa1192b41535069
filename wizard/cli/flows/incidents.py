"""How a cause is told in the terminal, once, with everything that it stopped."""

from collections.abc import Sequence

from wizard.cli.renderer import Renderer, format_datetime
from wizard.diagnosis.incidents import Incident


def print_incidents(renderer: Renderer, incidents: Sequence[Incident]) -> None:
    """Paint each cause: what happened, what it stopped, whose sign-in mends it."""
    for incident in incidents:
        renderer.print_blank()
        renderer.print_incident(incident.explanation, _incident_facts(incident))
    if sum(bool(each.to_reauthorize) for each in incidents) > 1:
        renderer.print_blank()
        renderer.print_note(
            "All that Zoho refuses, one after the other:", command="zoho-wizard reauthorize --all"
        )


def _incident_facts(incident: Incident) -> list[tuple[str, str]]:
    suspects_label = "Most likely also" if incident.needs_reauthorization else "Next to stop"
    until = incident.access_tokens_expire_at
    return [
        ("Connections", ", ".join(incident.names) if len(incident.names) > 1 else ""),
        (suspects_label, ", ".join(incident.suspected_names)),
        ("Who signs in", incident.email),
        ("Programs it hits", ", ".join(incident.programs)),
        (
            "Last tokens",
            f"end by {format_datetime(until)}, where Zoho has not ended them" if until else "",
        ),
    ]
