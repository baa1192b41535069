"""Help: answers by subject, a search, how to use a demo, and an explanation of every code.

The answers are in `help.toml`; nothing is looked up elsewhere, so they are there offline.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, render_template, request

from wizard.errors import explain, fail, message_table, state_label
from wizard.model import Failure
from wizard.model.states import ConnectionState
from wizard.settings import Settings
from wizard.tables import read_table
from wizard.web.context import get_services
from wizard.web.view_models import StatusBadge

pages = Blueprint("help", __name__)

HELP_PATH = "/help"
CODES_PATH = f"{HELP_PATH}/codes"
MAX_RESULTS = 8


@dataclass(frozen=True)
class Answer:
    """One question and its answer."""

    id: str
    question: str
    answer: str
    """Paragraphs, separated by empty lines, with code in backticks."""
    commands: tuple[str, ...] = ()
    path: str = ""
    """The page that does it; empty if there is none."""
    label: str = ""
    """The words of the link to `path`."""
    badge: StatusBadge | None = None
    """For a state: what the pages show."""

    @property
    def paragraphs(self) -> list[str]:
        return self.answer.strip().split("\n\n")

    def matches(self, words: Iterable[str]) -> tuple[int, int]:
        """How many of the words the answer has, and how many of them are in its question."""
        question = self.question.lower()
        text = " ".join((question, self.answer.lower(), *self.commands))
        return sum(word in text for word in words), sum(word in question for word in words)


@dataclass(frozen=True)
class Subject:
    """The answers of one page."""

    id: str
    title: str
    summary: str
    answers: tuple[Answer, ...]

    @property
    def path(self) -> str:
        return f"{HELP_PATH}/{self.id}"


@cache
def subjects() -> tuple[Subject, ...]:
    """The subjects in the order of the file."""
    table = read_table("web/help.toml")
    generated = {
        "states": tuple(
            Answer(
                str(each),
                state_label(each),
                table["states"][each],
                badge=StatusBadge(state_label(each), each.tone),
            )
            for each in ConnectionState
        ),
        "exit-codes": tuple(
            Answer(f"exit-{code}", f"Exit code {code}", meaning)
            for code, meaning in table["exit_codes"].items()
        ),
    }
    return tuple(
        Subject(
            row["id"],
            row["title"],
            row["summary"],
            generated.get(row["id"]) or tuple(map(_answer, row["answers"])),
        )
        for row in table["subjects"]
    )


def _answer(row: dict[str, Any]) -> Answer:
    return Answer(**{**row, "commands": tuple(row.get("commands", ()))})


def search(query: str) -> list[tuple[Subject, Answer]]:
    """The answers with the most words of a query, those with the words in the question first."""
    # Without the ending, "changed" finds "change".
    words = {re.sub(r"(ed|ing|s|e)$", "", word) for word in re.findall(r"\w{3,}", query.lower())}
    counted = [
        (answer.matches(words), subject, answer)
        for subject in subjects()
        for answer in subject.answers
    ]
    most = max(count for (count, _), _, _ in counted)
    best = [each for each in counted if each[0][0] == most > 0]
    best.sort(key=lambda each: -each[0][1])
    return [(subject, answer) for _, subject, answer in best[:MAX_RESULTS]]


@pages.get(HELP_PATH)
def index() -> str:
    """The subjects; with a query, the answers and codes that fit."""
    query = request.args.get("q", "").strip()
    return render_template(
        "help.html",
        subjects=subjects(),
        query=query,
        results=search(query) if query else [],
        codes=list(_matching_codes(query).items())[:MAX_RESULTS] if query else [],
    )


@pages.get(f"{HELP_PATH}/<subject_id>")
def show_subject(subject_id: str) -> str:
    """The answers of one subject."""
    found = next((each for each in subjects() if each.id == subject_id), None)
    if found is None:
        raise fail("page-not-found")
    return render_template("help_subject.html", subject=found)


@pages.get(f"{HELP_PATH}/demo")
def show_demo() -> str:
    """How to use the demo in a terminal, and how to leave it."""
    settings = get_services().settings
    if settings.simulator_url is None:
        raise fail("page-not-found")
    return render_template("demo.html", exports=_exports(settings))


def _exports(settings: Settings) -> list[str]:
    """The lines that let a shell use this installation."""
    environment = {
        **settings.service_environment,
        "ZOHO_WIZARD_SIMULATOR_URL": settings.simulator_url or "",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    program = Path(sys.argv[0]).resolve().with_name("zoho-wizard")
    if shutil.which("zoho-wizard") is None and program.exists():
        lines.insert(0, f'export PATH={shlex.quote(str(program.parent))}:"$PATH"')
    return lines


@pages.get(CODES_PATH)
def list_codes() -> str:
    """List the codes, with titles."""
    query = request.args.get("q", "").strip()
    return render_template("code_list.html", rows=_matching_codes(query), query=query)


def _matching_codes(query: str) -> dict[str, str]:
    """The codes that have the query in them or in their title, with titles."""
    codes = sorted(code for code, row in message_table().items() if "title" in row)
    titles = {code: explain(Failure(code)).title for code in codes}
    needle = query.lower()
    code_needle = needle.replace("_", "-")
    return {c: title for c, title in titles.items() if code_needle in c or needle in title.lower()}


@pages.get(f"{CODES_PATH}/<code>")
def show_code(code: str) -> str:
    """Explain one code."""
    if "title" not in message_table().get(code, {}):
        raise fail("page-not-found")
    explanation = explain(Failure(code))
    return render_template(
        "error.html", explanation=explanation, nav_section="Help", back_url=CODES_PATH
    )
