"""What a route knows of who asks."""

from typing import cast

from fastapi import HTTPException, Request

from inspector.contract.strict import Strict
from inspector.hmi.accounts import Visitor


class Word(Strict):
    """A refusal, as the pages' messages know it."""

    error: str
    detail: str | None = None


def visitor(request: Request) -> Visitor:
    """Who is logged in; the guard has let nobody else through."""
    found = cast(Visitor | None, request.state.visitor)
    if found is None:
        raise HTTPException(401, "log_in")
    return found


def address(request: Request) -> str:
    return request.client.host if request.client else "-"


def cookie(request: Request) -> str:
    return cast(str, request.state.cookie)
