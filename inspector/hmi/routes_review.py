"""Review: parts to look at, what people say of them, and which parts they are shown."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi import Path as PathParameter
from pydantic import Field

from inspector.contract.errors import StateError
from inspector.contract.review import Kept, Label, Said, class_said
from inspector.contract.strict import Name, Strict
from inspector.delivery.review_desk import Item
from inspector.delivery.review_policy import Policy, policy_path, read_policy, write_policy
from inspector.hmi.access import allows
from inspector.hmi.asked import address, visitor
from inspector.hmi.guard import Guard
from inspector.hmi.reviewing import Holder, Next, Queue, Queues

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

Number = Annotated[int, PathParameter(ge=1, lt=2**62)]
Why = Annotated[str, Field(max_length=300)]
UNCLEAR = "unclear"


class Word(Strict):
    """What a person says of a part."""

    seq: Annotated[int, Field(ge=1, lt=2**62)]
    result_id: Name
    label: Label | None
    """null: it cannot be told from the picture; somebody else is asked."""
    opinions: Annotated[int, Field(ge=0, le=1_000)]
    """How many there were when the part was shown."""
    why: Why = ""


class NewClass(Word):
    label: Label
    why: Annotated[str, Field(min_length=1, max_length=300)]


class TakeBack(Strict):
    holder: Holder
    why: Why = ""


class Sampling(Strict):
    was: Policy
    """As the person saw it: what somebody else changed meanwhile is not overwritten."""
    now: Policy
    why: Annotated[str, Field(min_length=1, max_length=300)]


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    queues = Queues({name: each.place for name, each in parts.followers.items()})
    _add_queue(app, parts, queues)
    _add_undo(app, parts, queues)
    _add_sampling(app, parts, queues)


def _queue(queues: Queues, station: str) -> Queue:
    found = queues.of.get(station)
    missing = "no_station" if found is None else found.missing()
    if found is None or missing:
        raise HTTPException(404, str(missing))
    return found


def _add_queue(app: FastAPI, parts: "Parts", queues: Queues) -> None:
    @app.post("/api/review/next")
    def following(request: Request, asked: Next) -> dict[str, Any]:
        if asked.leave:
            queues.leave(asked.holder)
            return {}
        return queues.next(visitor(request).name, asked)

    @app.post("/api/stations/{station}/reviews")
    def said(request: Request, station: Name, word: Word) -> dict[str, Any]:
        queue = _queue(queues, station)
        item = _item(queue, word)
        if word.label is not None and not _is_known(queue, item, word.label):
            raise HTTPException(409, "unknown_class")
        return _keep(parts, queues, request, item, word, "review")

    @app.post("/api/stations/{station}/classes")
    def named(request: Request, station: Name, word: NewClass) -> dict[str, Any]:
        """A class that no bundle has, by the first part that is one."""
        queue = _queue(queues, station)
        item = _item(queue, word)
        known = {class_said(label) for label in queue.desk().classes(item.bundle).all}
        if class_said(word.label) in known:
            raise HTTPException(409, "class_known")
        return _keep(parts, queues, request, item, word, "new class")


def _add_undo(app: FastAPI, parts: "Parts", queues: Queues) -> None:
    @app.post("/api/stations/{station}/reviews/{number}/undo")
    def undo(request: Request, station: Name, number: Number, back: TakeBack) -> dict[str, Any]:
        who, queue = visitor(request), _queue(queues, station)
        desk = queue.desk()
        found = desk.store.get(number)
        if found is None:
            raise HTTPException(404, "no_review")
        if found.review.by != who.name and not allows(who.role, "engineer"):
            raise HTTPException(403, "not_yours")
        try:
            with parts.store.changing():
                desk.undo(number, who.name, back.why)
                parts.audit.add(
                    who=who.name, address=address(request), what=f"undo review {number}",
                    station=station, old=_words(found), why=back.why or None,
                )  # fmt: skip
        except StateError:
            raise HTTPException(409, "undone") from None
        queue.forget()
        item = desk.at(found.review.seq, found.review.result_id)
        if item is not None:
            queues.hold(item.result_id, back.holder)
        return {"item": queues.shown(item, second=item.opinions > 0) if item else None}


def _item(queue: Queue, word: Word) -> Item:
    item = queue.desk().at(word.seq, word.result_id)
    if item is None:
        raise HTTPException(409, "picture_gone")
    return item


def _is_known(queue: Queue, item: Item, label: str) -> bool:
    """A slip is no new class. Looked up anew where it is not: somebody may just have named it."""
    known = label in queue.classes(item.bundle).all
    return known or label in queue.desk().classes(item.bundle).all


def _keep(
    parts: "Parts", queues: Queues, request: Request, item: Item, word: Word, what: str
) -> dict[str, Any]:
    who, queue = visitor(request).name, queues.of[item.station]
    desk = queue.desk()
    said = Said(label=word.label, by=who, why=word.why)
    try:
        with parts.store.changing():  # no review without its row
            kept = desk.put(item, said, opinions=word.opinions)
            parts.audit.add(
                who=who, address=address(request), what=f"{what} {kept.id}",
                station=item.station, new=_words(kept), why=word.why or None,
            )  # fmt: skip
    except StateError:
        mine = any(each.undone is None and each.review.by == who
                   for each in desk.store.of(item.result_id))  # fmt: skip
        queue.forget()
        raise HTTPException(409, "spoken" if mine else "spoken_meanwhile") from None
    queue.said(kept)
    queues.release(item.result_id)
    return {"number": kept.id}


def _words(kept: Kept) -> str:
    part = kept.review.part or kept.review.result_id
    return f"{part} (row {kept.review.seq}): {kept.review.label or UNCLEAR}"


def _add_sampling(app: FastAPI, parts: "Parts", queues: Queues) -> None:
    @app.get("/api/stations/{station}/sampling")
    def sampling(station: Name) -> dict[str, Any]:
        store = _queue(queues, station).desk().store.path
        return {"policy": read_policy(store).model_dump(), "written": policy_path(store).exists()}

    @app.post("/api/stations/{station}/sampling")
    def change(request: Request, station: Name, asked: Sampling) -> dict[str, Any]:
        queue = _queue(queues, station)
        store = queue.desk().store.path
        with parts.store.changing():
            before = read_policy(store)
            if before != asked.was:
                raise HTTPException(409, "changed_meanwhile")
            old, new = _differences(before, asked.now)
            if not new:
                raise HTTPException(409, "no_change")
            parts.audit.add(
                who=visitor(request).name, address=address(request), what="change sampling",
                station=station, old=old, new=new, why=asked.why,
            )  # fmt: skip
            write_policy(store, asked.now)
        queue.forget()
        return {"policy": asked.now.model_dump()}


def _differences(old: Policy, new: Policy) -> tuple[str, str]:
    def flat(policy: Policy) -> dict[str, float]:
        words = policy.model_dump()
        return {**words.pop("rates"), **words}

    before, after = flat(old), flat(new)
    changed = [name for name in before if before[name] != after[name]]
    return (
        ", ".join(f"{name} {before[name]:g}" for name in changed),
        ", ".join(f"{name} {after[name]:g}" for name in changed),
    )
