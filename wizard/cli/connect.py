"""``connect``: one consent, by the pages or in the terminal."""

from functools import partial
from urllib.parse import urlencode

import click
from click.shell_completion import CompletionItem

from wizard.cli.assisting import assisted
from wizard.cli.clients import CLIENT
from wizard.cli.consenting import consent
from wizard.cli.first import ByHand, consent_in_window, located
from wizard.cli.proving import Outcome, conclude, prove, say_how_to_use
from wizard.cli.serving import breaking, print_link, reaching, stopping, wait
from wizard.cli.terminal import NAME, Exit, Terminal, json_option, pass_terminal
from wizard.cli.window import show
from wizard.cli.wish import Wish, create, register
from wizard.errors import fail
from wizard.model import Client
from wizard.zoho import presets


class TaskName(click.ParamType[str]):
    """A preset's id, completed by the shell."""

    name = "preset"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The presets that begin with `incomplete`, each with its title."""
        return [
            CompletionItem(each.id, help=each.title)
            for each in presets()
            if each.id.startswith(incomplete)
        ]


def _tasks() -> str:
    """The tasks for the end of the help; the marker keeps one on each line."""
    width = max(len(each.id) for each in presets())
    return "\b\nTasks:\n" + "\n".join(f"  {each.id:{width}}  {each.title}" for each in presets())


@click.command(epilog=_tasks())
@click.argument("name", type=NAME, required=False, default="")
@click.option("--task", "tasks", type=TaskName(), multiple=True, help="A task of those below.")
@click.option("--scope", default="", help="Scopes, joined by commas, beside those of the tasks.")
@click.option("--data-centre", default="", help="eu, us, in …, or any Zoho address of yours.")
@click.option(
    "--client",
    "client_id",
    type=CLIENT,
    default="",
    help="The client to use, by id or name; else the only one.",
)
@click.option("--add", is_flag=True, help="NAME exists: widen it, with one consent.")
@click.option("--no-browser", is_flag=True, help="Stay here: paste back where your browser ends.")
@click.option(
    "--assist",
    is_flag=True,
    help="In a window of its own: the console's form is filled in for you. Experimental.",
)
@click.option("--self-client", is_flag=True, help="Use a code made in the console's Self Client.")
@json_option
@pass_terminal
def connect(
    terminal: Terminal,
    name: str,
    tasks: tuple[str, ...],
    scope: str,
    data_centre: str,
    client_id: str,
    add: bool,
    no_browser: bool,
    assist: bool,
    self_client: bool,
) -> None:
    """Make and authorize connection NAME, and prove it.

    Opens the wizard's page and waits until the connection is proved. What is not given as an
    option is asked on the page.
    """
    wish = Wish(tasks, scope, data_centre, client_id, self_client)
    if assist and (add or no_browser or self_client):
        raise click.UsageError(
            "--assist opens a window; --add, --no-browser, --self-client do not."
        )
    if assist:
        _in_window(terminal, name, wish)
    elif add:
        _add(terminal, name, wish, no_browser=no_browser)
    elif no_browser or self_client:
        _prepare(terminal, name, wish)
        _in_terminal(terminal, name, self_client=self_client)
    else:
        _by_the_pages(terminal, name, _page(terminal, name, wish))


# --- by the pages


def _page(terminal: Terminal, name: str, wish: Wish) -> str:
    """The page to begin at: the connection's own where all is known, else the form for it."""
    names = {connection.name for connection in terminal.house.store.connections()}
    if name in names:
        if not wish.empty:
            raise fail("connection-exists", name=name)
        return f"/connections/{name}"
    if wish.empty:
        return "/connections/new" + (f"?{urlencode({'name': name})}" if name else "")
    scopes, location = wish.scopes(), wish.location(terminal)
    client = wish.stored_client(terminal)
    if name and client:
        create(terminal, name, wish, client)
        return f"/connections/{name}"
    query = [("name", name), ("location", location or ""), ("scope", ",".join(scopes))]
    query += [("task", task) for task in wish.tasks]
    return "/connections/new?" + urlencode([pair for pair in query if pair[1]])


def _by_the_pages(terminal: Terminal, name: str, page: str) -> None:
    """Show `page`, and wait until a connection (`name`, or any) has a newly proved grant."""
    before = _generations(terminal)

    def proved() -> list[str]:
        now = _generations(terminal)
        return [
            each
            for each, generation in now.items()
            if generation > before.get(each, 0) and name in ("", each)
        ]

    with stopping() as stopped, reaching(terminal.house) as launch_link:
        show(page, launch_link, terminal.settings, terminal.painter)
        terminal.painter.note("Waiting for the proof.  Enter: a new link.  Ctrl-C: stop waiting.")
        new_link = partial(print_link, terminal, launch_link, page)
        if not wait(stopped, new_link, lambda: bool(proved())):
            terminal.painter.note("Not proved yet. Go on at any time:", command=_again(name))
            raise Exit(1)
        name = proved()[0]
    outcome = Outcome(name, terminal.house.store.grant(name))
    _report(terminal, outcome)


def _generations(terminal: Terminal) -> dict[str, int]:
    return {each.name: each.generation for each in terminal.house.store.connections()}


def _again(name: str) -> str:
    return f"zoho-wizard connect {name}".rstrip()


# --- in the assisted window


def _in_window(terminal: Terminal, name: str, wish: Wish) -> None:
    """The console and the consent in a window of our own; where the console is a surprise, the
    page with its copy buttons, while the window stays."""
    if not _is_stored(terminal, name, wish):
        wish.scopes()
        wish = located(terminal, wish)
    with assisted(terminal, keep=False, go_on=_again(f"{name} --assist")) as window:
        try:
            generation = consent_in_window(terminal, name, wish, window, _may)
        except ByHand as surprise:
            terminal.painter.finding(terminal.explain(surprise.failure))
            _by_the_pages(terminal, name, _page(terminal, name, wish))
        outcome = prove(terminal, name, generation)
    _report(terminal, outcome)


def _may(question: str) -> bool:
    with breaking():
        return click.confirm(question, err=True)


# --- in the terminal


def _add(terminal: Terminal, name: str, wish: Wish, *, no_browser: bool) -> None:
    """Widen connection `name`; raises ``unknown-connection``, ``no-task``."""
    connection = terminal.house.store.connection(name)
    scope = wish.scopes()
    if no_browser:
        _in_terminal(terminal, name, self_client=False, scope=scope)
        return
    query = [("scope", ",".join(scope)), ("client", connection.client_id)]
    _by_the_pages(terminal, name, "/connections/new?" + urlencode(query))


def _prepare(terminal: Terminal, name: str, wish: Wish) -> None:
    """See that connection `name` and its client are stored, asking for what is missing."""
    if _is_stored(terminal, name, wish):
        return
    wish.scopes()
    client: Client | None = wish.stored_client(terminal)
    if client is None:
        location = wish.location(terminal)
        client = register(terminal, location=location, self_client=wish.self_client)
    create(terminal, name, wish, client)


def _is_stored(terminal: Terminal, name: str, wish: Wish) -> bool:
    """Whether the connection is there already; raises ``name-needed``, or ``connection-exists``
    where more than its name was wished for."""
    if not name:
        raise fail("name-needed")
    stored = name in _generations(terminal)
    if stored and not wish.empty:
        raise fail("connection-exists", name=name)
    return stored


def _in_terminal(
    terminal: Terminal, name: str, *, self_client: bool, scope: tuple[str, ...] = ()
) -> None:
    """One consent whose answer is pasted here; then the ladder, before the person's eyes."""
    generation = consent(terminal, name, self_client=self_client, scope=scope)
    _report(terminal, prove(terminal, name, generation))


def _report(terminal: Terminal, outcome: Outcome) -> None:
    if terminal.painter.as_json:
        terminal.painter.document(outcome.to_json())
    else:
        conclude(terminal, outcome)
        if outcome.finding is None:
            say_how_to_use(terminal, outcome.name)
    raise Exit(outcome.exit_code)
