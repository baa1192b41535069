"""``reauthorize``: one connection or many anew, in as few sign-ins as there are accounts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import NoReturn

import click

from wizard.cli.asking import ask_others, take_answers
from wizard.cli.assisting import assisted
from wizard.cli.consenting import Consents, PasteBack, counted
from wizard.cli.proofs import exit_code, paint_proofs, proof_json
from wizard.cli.proving import gravest
from wizard.cli.repairing import repair_here
from wizard.cli.serving import breaking, print_link, reaching, stopping, wait
from wizard.cli.terminal import NAME, Exit, Terminal, json_option, pass_terminal
from wizard.cli.tokens import Span
from wizard.cli.window import show
from wizard.errors import fail
from wizard.reauthorization import LineState, Plan
from wizard.zoho import parse_scope, preset, presets


@click.command()
@click.argument("names", type=NAME, nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All that Zoho refuses.")
@click.option("--account", default="", metavar="EMAIL", help="Of these, those of this account.")
@click.option(
    "--as",
    "accept",
    default="",
    metavar="EMAIL",
    help="Who takes over all connections of the account, or those named.",
)
@click.option(
    "--add", "additions", multiple=True, metavar="TASK|SCOPE", help="Ask for more on the way."
)
@click.option(
    "--revoke-after",
    type=Span(),
    default="24h",
    show_default=True,
    help="How long a replaced token lives where no reload proves that it is out of use.",
)
@click.option("--no-browser", is_flag=True, help="Stay here: paste back where your browser ends.")
@click.option(
    "--assist",
    is_flag=True,
    help="Open a window in which you sign in; Accept is pressed for you. Experimental.",
)
@click.option(
    "--keep-profile", is_flag=True, help="With --assist: stay signed in in it until the next time."
)
@click.option("--ask", is_flag=True, help="Print the message for whose account it is, to forward.")
@click.option("--answer", is_flag=True, help="Take the address that came back for --ask.")
@click.option("--yes", is_flag=True, help="Do not ask before several; needed in a script.")
@json_option
@pass_terminal
def reauthorize(
    terminal: Terminal,
    names: tuple[str, ...],
    everything: bool,
    account: str,
    accept: str,
    additions: tuple[str, ...],
    revoke_after: timedelta,
    no_browser: bool,
    assist: bool,
    keep_profile: bool,
    ask: bool,
    answer: bool,
    yes: bool,
) -> None:
    """Authorize connections anew, with the same scopes.

    Those named, or all that Zoho has refused for good; alone, it goes on with a repair that was
    begun. The grant before stays in use until the new one is proved, nothing is overwritten when
    another person or organization answers, and programs are handed the new credentials.
    """
    _one_way(assist=assist, without=no_browser or ask or answer, keep=keep_profile)
    repairs = terminal.house.repairs
    repairs.retire()
    if answer:
        _report(terminal, take_answers(terminal), alone=False)
    scope = _scope(additions)
    with _way(terminal, assist=assist, keep=keep_profile, no_browser=no_browser) as consents:
        under_way = repairs.current()
        chosen = _chosen(terminal, names, everything, account, accept)
        if chosen or under_way is None or under_way.done:
            plan = repairs.plan(chosen, accept)
            if len(plan.names) > 1:
                _ask(terminal, plan, yes=yes)
            repairs.begin(plan.names, scope, accept, revoke_after)
        repairs.resume()
        if ask:
            ask_others(terminal)
            return
        repair = repairs.current()
        wanted = [line.connection for line in repair.lines] if repair else []
        if consents is None and all(_is_self_client(terminal, name) for name in wanted):
            consents = PasteBack(terminal)
        if consents is not None:
            repair_here(terminal, consents)
        else:
            _by_the_pages(terminal, wanted, plain=not scope and not accept)
    _report(terminal, wanted, alone=len(names) == 1 and len(wanted) == 1)


def _one_way(*, assist: bool, without: bool, keep: bool) -> None:
    """Refuse options that contradict each other, before anything is begun."""
    if assist and without:
        raise click.UsageError("--assist opens a window; --no-browser, --ask and --answer do not.")
    if keep and not assist:
        raise click.UsageError("--keep-profile says what becomes of the window of --assist.")


@contextmanager
def _way(
    terminal: Terminal, *, assist: bool, keep: bool, no_browser: bool
) -> Iterator[Consents | None]:
    """The way in which consents are given; None: on the pages. Raises as `assisted` does, before
    anything is begun."""
    if assist:
        with assisted(terminal, keep=keep) as consents:
            yield consents
    else:
        yield PasteBack(terminal) if no_browser else None


def _chosen(
    terminal: Terminal, names: Sequence[str], everything: bool, account: str, accept: str
) -> tuple[str, ...]:
    """The connections that are meant; none where neither names nor a choice were given.

    Raises ``nothing-to-repair``.
    """
    repairs = terminal.house.repairs
    chosen = tuple(names)
    if account:
        dead = set(repairs.refused())
        chosen = tuple(
            name for name in repairs.of_account(account) if accept or name in dead or name in names
        )
    elif everything:
        chosen = repairs.refused()
    if (account or everything) and not chosen:
        raise fail("nothing-to-repair")
    return chosen


def _scope(additions: Sequence[str]) -> tuple[str, ...]:
    """The scopes of the tasks and those named. Raises ``malformed-scope``."""
    tasks = {each.id for each in presets()}
    wanted = [
        scope
        for addition in additions
        for scope in (preset(addition).scope if addition in tasks else parse_scope(addition))
    ]
    return tuple(dict.fromkeys(wanted))


def _is_self_client(terminal: Terminal, name: str) -> bool:
    store = terminal.house.store
    return not store.client(store.connection(name).client_id).redirect_uri


def _ask(terminal: Terminal, plan: Plan, *, yes: bool) -> None:
    """Show what will happen, and ask once."""
    painter = terminal.painter
    for group in plan.groups:
        who = group.email or "whoever it belongs to"
        minutes = -(-group.wait // timedelta(minutes=1))
        waiting = f" (the last one waits {minutes} minutes for Zoho)" if minutes else ""
        painter.note(
            f"{who} in {group.location.upper()}, client {group.client}: "
            f"{', '.join(group.names)}{waiting}"
        )
    sign_ins = "1 sign-in" if plan.sign_ins == 1 else f"{plan.sign_ins} sign-ins"
    painter.note(f"{counted(len(plan.names))} in all, {sign_ins}.")
    if not yes:
        with breaking():
            terminal.confirm("Begin?", otherwise="--yes")


def _by_the_pages(terminal: Terminal, names: Sequence[str], *, plain: bool) -> None:
    """Show the page of the repair, of one connection its own, and wait until nothing is left that
    asks for the person."""
    alone = len(names) == 1 and plain
    page = f"/connections/{names[0]}" if alone else "/repair"
    with stopping() as stopped, reaching(terminal.house) as launch_link:
        show(page, launch_link, terminal.settings, terminal.painter)
        terminal.painter.note("Waiting for the proofs.  Enter: a new link.  Ctrl-C: stop waiting.")
        new_link = partial(print_link, terminal, launch_link, page)
        if not wait(stopped, new_link, partial(_is_over, terminal)):
            terminal.painter.note("Go on at any time:", command="zoho-wizard reauthorize")
            raise Exit(1)


def _is_over(terminal: Terminal) -> bool:
    """Whether the repair has come to its end; what was decided on a page is handed on here."""
    repairs = terminal.house.repairs
    repair = repairs.current()
    if repair is None or repair.done:
        return True
    for line in repair.lines:
        if line.state is LineState.DELIVERING:
            repairs.settle(line.connection)
    return False


def _report(terminal: Terminal, names: Sequence[str], *, alone: bool) -> NoReturn:
    lines = terminal.house.repairs.report(names)
    if terminal.painter.as_json:
        proofs = [proof_json(terminal, line) for line in lines]
        terminal.painter.document(proofs[0] if alone else proofs)
    else:
        paint_proofs(terminal, lines)
    raise Exit(gravest([exit_code(terminal, line) for line in lines]))
