"""How a cause is told in the terminal, once, with everything that it stopped."""

from collections.abc import Sequence

from wizard.cli.painter import Painter, moment
from wizard.diagnosis.troubles import Trouble


def tell_all(painter: Painter, troubles: Sequence[Trouble]) -> None:
    """Paint each cause: what happened, what it stopped, whose sign-in mends it."""
    for trouble in troubles:
        painter.blank()
        painter.trouble(trouble.finding, _facts(trouble))
    if sum(bool(each.to_repair) for each in troubles) > 1:
        painter.blank()
        painter.note(
            "All that Zoho refuses, one after the other:", command="zoho-wizard reauthorize --all"
        )


def _facts(trouble: Trouble) -> list[tuple[str, str]]:
    also = "Most likely also" if trouble.dead else "Next to stop"
    until = trouble.tokens_until
    return [
        ("Connections", ", ".join(trouble.names) if len(trouble.names) > 1 else ""),
        (also, ", ".join(trouble.suspects)),
        ("Who signs in", trouble.email),
        ("Programs it hits", ", ".join(trouble.programs)),
        ("Last tokens", f"end by {moment(until)}, where Zoho has not ended them" if until else ""),
    ]
