"""Consent: what a client asks for, in words, and what the person decides."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from flask import abort, jsonify, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from wizard.sandbox import authorize as protocol
from wizard.sandbox.authorize import (
    AlreadyAllowed,
    AskConsent,
    AuthorizationRequest,
    ChooseOrganization,
    ErrorPage,
    NoAccount,
)
from wizard.sandbox.catalogue import products
from wizard.sandbox.pages import visit, words

NOT_FOUND = ErrorPage("400 not found", "This address answers GET only.", 400)

pages = visit.located("consent", "accounts")


@pages.route("/oauth/v2/auth", methods=["GET", "POST"])
def authorize() -> Any:
    """Answer an authorization request with a page or a redirect."""
    if request.method != "GET":
        return _error(NOT_FOUND)
    asked = AuthorizationRequest.read(visit.location(), request.args)
    decision = protocol.judge(visit.world(), asked, visit.user())
    match decision:
        case protocol.SignIn():
            return redirect(visit.sign_in_page())
        case ErrorPage():
            return _error(decision)
        case AlreadyAllowed():
            return _silently(asked, dict(decision.organizations))
        case _:
            return _ask(decision)


@pages.post("/oauth/v2/auth/decision")
def decide() -> Response:
    """Do what a button of the consent page means; answer the address to go to.

    The request is judged again from the page's own query, so that nothing but what was shown
    can be accepted.
    """
    user, sent = visit.present_user(), request.get_json()
    asked = AuthorizationRequest.read(visit.location(), MultiDict(parse_qsl(sent.get("query", ""))))
    chosen = sent.get("organizations") or {}
    # The page was shown: an earlier consent, perhaps of another tab, answers nothing for it.
    shown = protocol.judge(visit.world(), replace(asked, prompt="consent"), user, chosen)
    match shown, sent.get("decision"):
        case AskConsent(), "accept":
            url = protocol.accept(visit.world(), asked, user, _ids(shown))
            return jsonify(url=url or url_for(".request_limit"))
        case AskConsent() | ChooseOrganization(), "reject":
            return jsonify(url=protocol.reject(visit.world(), asked))
        case NoAccount(), "no_org":
            return jsonify(url=protocol.no_account(visit.world(), asked))
    return abort(403, "This page has grown old. Load it again.")


@pages.get("/oauth/v2/auth/limit")
def request_limit() -> Any:
    """Stand where a code would have been one too many."""
    return _error(protocol.request_limit_page(visit.world()))


def _silently(asked: AuthorizationRequest, organizations: dict[str, str]) -> Any:
    user = visit.present_user()
    url = protocol.accept(visit.world(), asked, user, organizations, consent_shown=False)
    return redirect(url) if url else _error(protocol.request_limit_page(visit.world()))


def _ask(decision: AskConsent | ChooseOrganization | NoAccount) -> str:
    choices = decision.choices if isinstance(decision, ChooseOrganization) else {}
    return render_template(
        "sandbox/consent.html",
        client=decision.client,
        blocks=words.blocks(decision.request.scopes),
        choices=[(products()[key], owned) for key, owned in choices.items()],
        stranded=decision.product if isinstance(decision, NoAccount) else None,
        sign_out=url_for("pages.signin.sign_out", serviceurl=request.url),
    )


def _ids(shown: AskConsent) -> dict[str, str]:
    return {key: each.organization_id for key, each in shown.organizations.items()}


def _error(page: ErrorPage) -> tuple[str, int]:
    return (
        render_template("sandbox/error.html", title=page.title, description=page.description),
        page.status,
    )
