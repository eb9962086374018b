"""What a route knows of who asks, and of which station."""

from collections.abc import Callable, Mapping
from typing import cast

from fastapi import HTTPException, Request

from inspector.contract.strict import Name, Strict
from inspector.hmi.accounts import Visitor
from inspector.hmi.follow import Follower


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


def one_of(followers: Mapping[str, Follower]) -> Callable[[Name], Follower]:
    """For routes with {station} in their path: the station they ask for."""

    def station(station: Name) -> Follower:
        found = followers.get(station)
        if found is None:
            raise HTTPException(404, "no_station")
        return found

    return station
