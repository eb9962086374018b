"""A station, its broker, its pages and who looks at them: all real, for a module of tests."""

import http.client
import json
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from inspector.contract.bundle import Bundle
from tests.brokers import Mosquitto
from tests.support import free_port, make_bundle, start_station, toml, until, write_station

SIZES = {"panel": {"width": 1024, "height": 768}, "desk": {"width": 1920, "height": 1080}}
ROLES = ("viewer", "operator", "engineer", "admin")
PASSWORD = "four words are good"  # noqa: S105 - of the tests' accounts
expect.set_options(timeout=20_000)  # a busy machine
START_S = 120.0
"""Seconds until the pages or a station are there, on a busy machine."""
ACTIONS = [
    *("select", "start", "single", "stop", "reset", "halt"),
    *("image", "reload", "rollback", "recipe"),
]


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A browser's manners without a browser: keeps its cookie, brings token and origin."""

    def __init__(
        self, port: int, *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
    ) -> None:
        """tls: by HTTPS, of "localhost"; address: from where it comes."""
        self.port = port
        self.origin = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        self._tls = tls
        self._address = address
        self.cookie = ""
        self.csrf = ""

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None,
        whole: bool = True,
    ) -> Answer:  # fmt: skip
        """whole: read the body; a stream has no end."""
        connection = self.connect()
        sent = {"Cookie": self.cookie, "Origin": self.origin, "X-CSRF-Token": self.csrf}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {k: v for k, v in sent.items() if v})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            if "set-cookie" in found:
                self.cookie = found["set-cookie"].split(";")[0]
            return Answer(answer.status, found, answer.read() if whole else b"")
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        words: Any = {"timeout": 90.0, "source_address": (self._address, 0)}
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, **words)
        return http.client.HTTPSConnection("localhost", self.port, context=self._tls, **words)

    def look(self) -> Any:
        """Who am I; also fetches the token."""
        found = self.ask("GET", "/api/session").json()
        self.csrf = found["csrf"]
        return found

    def accept(self, token: str, name: str | None = None) -> Answer:
        self.look()
        words = {"token": token, "name": name, "password": PASSWORD}
        answer = self.ask("POST", "/api/invitation/accept", words)
        self.look()
        return answer

    def log_in(self, name: str, password: str = PASSWORD) -> Answer:
        self.look()
        answer = self.ask("POST", "/api/session", {"name": name, "password": password})
        self.look()
        return answer


class Pages:
    """`inspector hmi` as a user starts it."""

    def __init__(self, folder: Path, *stations: dict[str, Any], **more: Any) -> None:
        self.folder = folder
        listen = {"port": free_port(), **more.pop("listen", {})}
        self.port = listen["port"]
        self.settings = folder / "hmi.toml"
        words = {"state_folder": "hmi", **more, "listen": listen}
        text = toml(words)
        for each in stations:
            text += f"\n[[stations]]\n{toml(each, 'stations.')}"
        self.settings.write_text(text, encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **popen: Any) -> Self:
        """popen: as whom."""
        command = [sys.executable, "-m", "inspector.cli", "hmi", str(self.settings)]
        with (
            (self.folder / "hmi.out").open("wb") as out,
            (self.folder / "hmi.log").open("ab") as log,
        ):
            process = subprocess.Popen(command, stdout=out, stderr=log, process_group=0, **popen)
        self.process = process
        until(lambda: self._answers() or process.poll() is not None, START_S)
        if not self._answers():
            self.kill()
            raise AssertionError(self.log())
        return self

    def _answers(self) -> bool:
        # the log of an earlier start says as much
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        return (self.folder / "hmi.out").read_text(encoding="utf-8")

    def log(self) -> str:
        return (self.folder / "hmi.log").read_text(encoding="utf-8")

    def first_token(self) -> str:
        found = re.search(r"/welcome#(\S+)", self.said())
        assert found, self.said()
        return found[1]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass(slots=True)
class Plant:
    folder: Path
    broker: Mosquitto
    station: subprocess.Popen[bytes]
    pages: Pages
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.pages.port}"

    def restart_station(self) -> None:
        self.station.kill()
        self.station.wait()
        self.station = start_station(self.folder / "station.toml")

    def stop(self) -> None:
        self.pages.kill()
        self.station.kill()
        self.station.wait()


def make_plant(
    folder: Path,
    broker: Mosquitto,
    *others: dict[str, Any],
    bundle: Bundle | None = None,
    **station: Any,
) -> Plant:
    """With an account of each role, each set up by its own one-time link.

    others: stations that the pages know beside; bundle: what serves; station: further keys of
    station.toml.
    """
    key = folder / "hmi.hmac"
    key.write_text(f"{secrets.token_hex(32)}\n", encoding="utf-8")
    key.chmod(0o600)
    settings = write_station(
        folder,
        bundle or make_bundle(folder / "bundles"),
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": 300},
        mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
        archive={"keep": "all"},
        **station,
    )
    door = {"name": "hmi", "file": "hmi.hmac", "actions": ACTIONS}
    text = settings.read_text(encoding="utf-8")
    settings.write_text(f"{text}\n[[commands.keys]]\n{toml(door)}", encoding="utf-8")
    commands = {"sender": "hmi", "key_file": "hmi.hmac"}
    pages = Pages(folder, {"settings": "station.toml"}, *others, commands=commands).start()
    plant = Plant(folder, broker, start_station(settings), pages)
    try:
        admin = Client(pages.port)
        assert admin.accept(pages.first_token(), "admin").status == 200
        plant.clients["admin"] = admin
        for role in ROLES[:-1]:
            link = admin.ask("POST", "/api/accounts", {"name": role, "role": role}).json()["link"]
            plant.clients[role] = Client(pages.port)
            assert plant.clients[role].accept(link.partition("#")[2]).status == 200
        assert until(lambda: shown_state(admin) == "CONTINUOUS_EXECUTION", START_S), pages.log()
    except BaseException:
        plant.stop()
        raise
    return plant


def shown_state(client: Client) -> str | None:
    (station, *_) = client.ask("GET", "/api/system").json()["stations"]
    return station["state"] and station["state"]["state"]  # type: ignore[no-any-return]


class Seen(Protocol):
    """What a browser looks at."""

    clients: dict[str, Client]

    @property
    def url(self) -> str: ...


class Watched:
    """A browser that notes what a person never sees: errors, and requests that leave."""

    def __init__(self, browser: Browser, plant: Seen, role: str | None, **context: Any) -> None:
        self._plant = plant
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.context: BrowserContext = browser.new_context(**context)
        self.context.set_default_timeout(20_000)
        if role is not None:
            name, _, value = plant.clients[role].cookie.partition("=")
            self.context.add_cookies([{"name": name, "value": value, "url": plant.url}])
        self.context.on("request", self._request)
        self.context.on("console", lambda said: self._console(said.type, said.text))
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.goto(self._plant.url + path)
        page.wait_for_selector("body[data-ready]")
        return page

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self._plant.url, "data:", "blob:")):
            self.outside.append(request.url)

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.errors.append(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def chromium(*more: str) -> Any:
    """Playwright with the browser of the system, with more flags; it downloads none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs the Debian package chromium")
    flags = [*more, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=program, args=flags)
    return playwright, browser
