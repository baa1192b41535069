"""Sphinx directives: ``{generated} NAME`` inserts a reference, ``mermaid`` a sequence diagram."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from references import REFERENCES, plain
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Generated(SphinxDirective):
    """Insert a reference."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return its content, with its headings."""
        text = "\n".join(REFERENCES[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Mermaid(SphinxDirective):
    """A sequence diagram, as the list of its messages: a drawing would need a script."""

    has_content = True
    MESSAGE = re.compile(r"(\w+)-?->>(\w+): (.*)")
    PARTICIPANT = re.compile(r"participant (\w+) as (.*)")

    def run(self) -> list[nodes.Node]:
        """Return one numbered line for each message."""
        lines = [each.strip() for each in self.content]
        names = {found[1]: found[2] for each in lines if (found := self.PARTICIPANT.match(each))}
        written = []
        for each in lines:
            if found := self.MESSAGE.match(each):
                sender, receiver = (names[found[number]] for number in (1, 2))
                route = sender if sender == receiver else f"{sender} → {receiver}"
                written.append(f"1. *{plain(route)}*: {plain(found[3])}")
            elif each.startswith("loop "):
                written.append(f"1. {plain(each.removeprefix('loop ').capitalize())}:")
        return self.parse_text_to_nodes("\n".join(written))


def outdated(_app: Sphinx, env: Any, *_changes: object) -> list[str]:
    """The pages with something generated are read at each build."""
    return [
        name
        for name in env.found_docs
        if "{generated}" in Path(env.doc2path(name)).read_text("utf-8")
    ]


def setup(app: Sphinx) -> Mapping[str, bool]:
    """Register the directives with Sphinx."""
    app.add_directive("generated", Generated)
    app.add_directive("mermaid", Mermaid)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
