"""Accounts, for administrators."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Request
from pydantic import Field

from inspector.contract.strict import Strict
from inspector.hmi.access import Role
from inspector.hmi.asked import address, visitor
from inspector.hmi.guard import Guard

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

Text = Annotated[str, Field(max_length=64)]
Why = Annotated[str, Field(max_length=300)]


class New(Strict):
    name: Text
    role: Role


class Change(Strict):
    role: Role
    why: Why = ""


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    accounts, audit = parts.accounts, parts.audit

    def by(request: Request, what: str, name: str) -> dict[str, str]:
        who = visitor(request).name
        return {"who": who, "address": address(request), "what": f"{what} {name}"}

    @app.get("/api/accounts")
    def listed() -> dict[str, Any]:
        return {"accounts": accounts.all()}

    @app.post("/api/accounts")
    def added(request: Request, new: New) -> dict[str, Any]:
        """A new account, and the link for its owner, shown this once."""
        with parts.store.changing():
            token = accounts.add(new.name, new.role)
            audit.add(**by(request, "add account", new.name), new=new.role)
        return {"link": f"/welcome#{token}"}

    @app.patch("/api/accounts/{name}")
    def change(request: Request, name: Text, change: Change) -> dict[str, Any]:
        with parts.store.changing():
            old = accounts.change_role(name, change.role)
            row = by(request, "change role of", name)
            audit.add(**row, old=old, new=change.role, why=change.why or None)
        return {}

    @app.delete("/api/accounts/{name}")
    def remove(request: Request, name: Text) -> dict[str, Any]:
        with parts.store.changing():
            old = accounts.remove(name)
            audit.add(**by(request, "remove account", name), old=old)
        return {}

    @app.post("/api/accounts/{name}/link")
    def link(request: Request, name: Text) -> dict[str, Any]:
        """A link for a new password, where the old one was forgotten."""
        with parts.store.changing():
            token = accounts.link(name)
            audit.add(**by(request, "new link for", name))
        return {"link": f"/welcome#{token}"}
