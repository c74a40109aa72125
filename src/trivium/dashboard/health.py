"""How the house does, and questions that a form asks: made from the rows of `documents.py`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from trivium.dashboard.documents import PANELS, QUESTIONS, Question
from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import Field, Unfit, arguments, fields, filled
from trivium.dashboard.page import SPACE, page, said_of, see_other, sent, space, visitor, whose_of

_QUESTIONS = {one.path: one for one in QUESTIONS}


async def health(request: web.Request, problem: str = "") -> web.Response:
    asking, here = visitor(request), space(request)
    panels = []
    for panel in PANELS:
        told = await asking.ask_if(panel.operation, here)
        if told is None:
            continue
        rows = told if isinstance(told, list) else None
        names = panel.columns or (tuple(rows[0]) if rows else ())
        panels.append({"panel": panel, "rows": rows, "columns": names, "facts": None if rows is not None else told})
    if not panels:
        raise web.HTTPNotFound
    done = "done" in request.query and not problem
    status = 400 if problem else 200
    return page(request, "health.html", status=status, space=here, panels=panels, problem=problem, done=done)


async def act(request: web.Request) -> web.Response:
    """What is done about a part of it."""
    asking, here, wanted = visitor(request), space(request), request.match_info["action"]
    action = next((action for one in PANELS for action in one.actions if action.path == wanted), None)
    if action is None:
        raise web.HTTPNotFound
    whose = whose_of(asking, here, action.operation)
    try:
        await asking.ask(action.operation, **action.fixed, **whose)
    except Refusal as refusal:
        return await health(request, said_of(refusal))
    return see_other(f"{here.path}/health?done=1")


async def ask(request: web.Request) -> web.Response:
    question = _question(request)
    return _asked(request, question, _fields(request, question))


async def answer(request: web.Request) -> web.Response:
    asking, question, told = visitor(request), _question(request), await sent(request)
    made = _fields(request, question)
    try:
        found = await asking.ask(question.operation, **arguments(made, told))
    except (Refusal, Unfit) as error:
        return _asked(request, question, filled(made, told), problem=said_of(error))
    return _asked(request, question, filled(made, told), told=found)


async def then(request: web.Request) -> web.Response:
    """What is done with an answer."""
    asking, question, told = visitor(request), _question(request), await sent(request)
    done, here = question.then, space(request)
    if done is None or done.path != request.match_info["action"] or not asking.may(done.operation, here):
        raise web.HTTPNotFound
    made = _fields(request, question)
    try:
        await asking.ask(done.operation, **arguments(made, told))
    except (Refusal, Unfit) as error:
        return _asked(request, question, filled(made, told), problem=said_of(error))
    return see_other(f"{here.path}/{question.leads}?saved=1")


def _question(request: web.Request) -> Question:
    """Raises HTTPNotFound where it is not for the visitor to ask."""
    question, here = _QUESTIONS[request.match_info["question"]], space(request)
    if here.kind not in question.spaces or not visitor(request).may(question.operation, here):
        raise web.HTTPNotFound
    return question


def _fields(request: web.Request, question: Question) -> list[Field]:
    schema = visitor(request).operations[question.operation].arguments
    return fields(schema, only=question.asks, help=question.help)


def _asked(
    request: web.Request, question: Question, made: list[Field], *, told: Any = None, problem: str = ""
) -> web.Response:
    values = {"question": question, "fields": made, "told": told, "problem": problem}
    return page(request, "question.html", status=400 if problem else 200, space=space(request), **values)


_QUESTION = SPACE + "/{question:" + "|".join(_QUESTIONS) + "}"
ROUTES = [
    web.get(SPACE + "/health", health),
    web.post(SPACE + "/health/{action}", act),
    web.get(_QUESTION, ask),
    web.post(_QUESTION, answer),
    web.post(_QUESTION + "/{action}", then),
]
