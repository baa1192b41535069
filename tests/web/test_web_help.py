"""The help pages: subjects, search, and the demo in a terminal."""

from support.web_visitor import Visitor

from wizard.errors import message_table
from wizard.model.failure import exit_code_of
from wizard.web.help_pages import search, subjects


def test_each_subject_and_each_page_that_an_answer_offers_can_be_opened(visitor: Visitor) -> None:
    index = visitor.get("/help").text
    for subject in subjects():
        assert f'href="{subject.path}"' in index
        page = visitor.get(subject.path).text
        for answer in subject.answers:
            assert f'id="{answer.id}"' in page
            assert not answer.path or visitor.get(answer.path).status_code != 404, answer.path


def test_each_exit_code_has_its_meaning() -> None:
    explained = next(each for each in subjects() if each.id == "exit-codes").answers
    codes = {exit_code_of(code) for code in message_table()}
    assert {each.id for each in explained} >= {f"exit-{code}" for code in codes}


def test_a_search_finds_answers_by_their_words_and_codes_by_their_name(visitor: Visitor) -> None:
    found = [(subject.id, answer.id) for subject, answer in search("password changed")]
    assert ("reauthorize", "why") in found
    assert len(found) < 5
    assert search("zzz") == search("") == []
    page = visitor.get("/help?q=refresh_token_rejected").text
    assert "/help/codes/refresh-token-rejected" in page
    assert 'href="/diagnose"' in visitor.get("/help?q=<script>").text


def test_the_demo_page_has_the_variables_that_a_shell_needs(visitor: Visitor) -> None:
    page = visitor.get("/help/demo").text
    for name, value in visitor.services.settings.service_environment.items():
        assert f"export {name}={value}" in page
    assert f"export ZOHO_WIZARD_SIMULATOR_URL={visitor.services.settings.simulator_url}" in page
