"""Beyond this machine: by TLS of the pages' own, or behind a real nginx as the example has it."""

import base64
import hashlib
import http.client
import re
import select
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import Browser, expect

from inspector.contract.errors import ConfigError
from inspector.hmi.commanding import SLOW_S
from inspector.hmi.connections import PEER_MAX
from inspector.hmi.serve import serve
from tests.certificates import make_authority
from tests.hmi.plant import PASSWORD, Client, Pages, Watched, chromium
from tests.support import free_port, until

CONF = Path(__file__).parents[2] / "deploy" / "nginx" / "inspector.conf"
STATION = {"station": "far", "topic_root": "plant/line", "mqtt": {"host": "127.0.0.1", "port": 9}}
BROWSER, STRANGER, FORGED = "127.0.0.3", "127.0.0.5", "203.0.113.9"
SILENT = "127.0.0.9"


@dataclass(slots=True)
class Site:
    """The pages as a browser reaches them."""

    pages: Pages
    port: int
    tls: ssl.SSLContext
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def come_in(self) -> None:
        client = self.clients["admin"] = Client(self.port, tls=self.tls, address=BROWSER)
        assert client.accept(self.pages.first_token(), "admin").status == 200


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("ca"), "localhost", "nobody")


@pytest.fixture(scope="module")
def tls(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority / "ca.pem")


@pytest.fixture(scope="module")
def browser(authority: Path) -> Iterator[Browser]:
    """Takes this one certificate; that its chain is whole the other client has proved."""
    certificate = x509.load_pem_x509_certificate((authority / "broker.pem").read_bytes())
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    playwright, found = chromium(f"--ignore-certificate-errors-spki-list={pin}")
    try:
        yield found
    finally:
        found.close()
        playwright.stop()


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory, authority: Path, tls: ssl.SSLContext
) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("own"), free_port()
    listen = {
        "port": port,
        "origins": [f"https://localhost:{port}"],
        "cert_file": authority / "broker.pem",
        "key_file": authority / "broker.key",
    }
    pages = Pages(folder, STATION, listen=listen)
    site = Site(pages.start(), port, tls)
    try:
        site.come_in()
        yield site
    finally:
        pages.kill()


@pytest.fixture(scope="module")
def proxied(
    tmp_path_factory: pytest.TempPathFactory, authority: Path, tls: ssl.SSLContext
) -> Iterator[Site]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("needs the Debian package nginx-light")
    folder, port = tmp_path_factory.mktemp("proxied"), free_port()
    listen = {"behind_proxy": True, "origins": [f"https://localhost:{port}"]}
    pages = Pages(folder, STATION, listen=listen)
    nginx = subprocess.Popen([program, "-c", write_nginx(folder, authority, pages.port, port)])
    site = Site(pages, port, tls)
    try:
        pages.start()
        assert until(lambda: answers(port)), (folder / "error.log").read_text(encoding="utf-8")
        site.come_in()
        yield site
    finally:
        pages.kill()
        nginx.terminate()
        nginx.wait()


def write_nginx(folder: Path, authority: Path, pages: int, port: int) -> Path:
    """The example with this test's names and ports, within a whole configuration."""
    text = CONF.read_text(encoding="utf-8")
    for said, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("/etc/inspector-hmi/panel.", f"{authority}/broker."),
        ("panel.plant", "localhost"),
        ("127.0.0.1:8080", f"127.0.0.1:{pages}"),
    ):
        assert said in text, said
        text = text.replace(said, here)
    temps = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [f"{each}_temp_path {folder}/{each};" for each in temps]
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\npid {folder}/pid;\nuser root;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{chr(10).join(lines)}\n{text}}}\n",
        encoding="utf-8",
    )
    return path


def test_nginx_waits_longer_than_the_pages_wait_for_a_station() -> None:
    (everywhere,) = re.findall(r"^    proxy_read_timeout (\d+)s;", CONF.read_text("utf-8"), re.M)
    assert int(everywhere) > SLOW_S, "its own 60 s would call a bundle that loads a failure"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["own", "proxied"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


def test_a_person_comes_in_by_https_and_the_page_lives(site: Site, browser: Browser) -> None:
    with Watched(browser, site, None) as watched:
        page = watched.open("/login")
        page.fill("#name", "admin")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/")
        page.wait_for_selector("body[data-ready]")
        # it hears its server; the station is not there, and the page says so
        expect(page.locator(".state")).to_have_text("SILENT")
        expect(page.locator(".line")).to_contain_text("Broker not reached")
        expect(page.locator(".banner")).to_be_hidden()
        assert page.evaluate("isSecureContext")
        (cookie,) = watched.context.cookies()
        assert cookie["name"].startswith("__Host-")
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        assert page.evaluate("document.cookie") == ""
        assert (watched.errors, watched.outside) == ([], [])


def test_answers_tell_browsers_to_stay_with_https(site: Site) -> None:
    headers = site.clients["admin"].ask("GET", "/api/session").headers
    assert headers["strict-transport-security"] == f"max-age={365 * 86_400}"


def test_events_come_one_by_one_and_wait_in_no_buffer(site: Site) -> None:
    client = site.clients["admin"]
    with closing(client.connect()) as connection:
        connection.request("GET", "/api/stream", headers={"Cookie": client.cookie})
        answer = connection.getresponse()
        assert answer.status == 200
        began, got = time.monotonic(), 0
        while got < 4:
            got += answer.readline().startswith(b"data:")
    # a proxy that gathers four kilobytes first would take half a minute for them
    assert time.monotonic() - began < 15.0


def test_tls_older_than_1_2_is_refused(site: Site) -> None:
    ask = ["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-cipher"]
    for version, taken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        words = [*ask, "DEFAULT@SECLEVEL=0", version]
        done = subprocess.run(words, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        assert (done.returncode == 0) is taken, version


def test_who_asks_without_tls_gets_no_page(own: Site, proxied: Site) -> None:
    for site, said in ((own, None), (proxied, "sent to HTTPS port")):
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10.0)
        with closing(connection):
            connection.request("GET", "/login")
            if said is None:
                with pytest.raises((http.client.HTTPException, ConnectionError)):
                    connection.getresponse()
            else:
                assert said in connection.getresponse().read().decode()


def test_who_connects_and_never_speaks_tls_keeps_nobody_out(own: Site) -> None:
    whence = (SILENT, 0)
    silent = [socket.create_connection(("127.0.0.1", own.port), 90.0, whence) for _ in range(150)]
    try:
        gone = [select.poll() for _ in silent]
        for poll, one in zip(gone, silent, strict=True):
            poll.register(one, select.POLLRDHUP | select.POLLHUP)

        def gone_count() -> int:
            return sum(bool(each.poll(0)) for each in gone)

        assert until(lambda: gone_count() >= len(silent) - PEER_MAX)
        assert own.clients["admin"].ask("GET", "/api/session").json()["name"] == "admin"
        assert Client(own.port, tls=own.tls, address=SILENT).ask("GET", "/login").status == 200
    finally:
        for one in silent:
            one.close()
    assert "Traceback" not in own.pages.log()


def test_the_address_is_the_browsers_and_not_what_it_claims(proxied: Site) -> None:
    client = Client(proxied.port, tls=proxied.tls, address=BROWSER)
    client.look()
    forged = {"X-Forwarded-For": FORGED, "Forwarded": f"for={FORGED}", "X-Real-IP": FORGED}
    words = {"name": "forger", "password": "wrong wrong wrong"}
    assert client.ask("POST", "/api/session", words, headers=forged).status == 403
    rows = proxied.clients["admin"].ask("GET", "/api/audit").json()["rows"]
    assert next(row["address"] for row in rows if row["who"] == "forger") == BROWSER


@pytest.mark.parametrize("address", ["127.0.0.1", STRANGER])
def test_who_goes_round_the_proxy_is_refused_in_words(proxied: Site, address: str) -> None:
    client = Client(proxied.pages.port, address=address)
    headers = {"Host": f"localhost:{proxied.port}"}
    if address == STRANGER:  # claims what only the named proxy may say
        headers |= {"X-Forwarded-Proto": "https", "X-Forwarded-For": FORGED}
    for path in ("/login", "/api/session"):
        answer = client.ask("GET", path, headers=headers)
        assert (answer.status, answer.json()["error"]) == (403, "plaintext")
        assert "listen.proxies" in answer.json()["detail"]
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ca: (ca / "broker.key").chmod(0o644), "others may read it: chmod 600"),
        (lambda ca: shutil.copy(ca / "nobody.key", ca / "broker.key"), "is not the key"),
        (lambda ca: (ca / "broker.pem").write_text("-"), "is not in PEM"),
        (lambda ca: (ca / "broker.pem").unlink(), "No such file"),
    ],
    ids=["open key", "other key", "no certificate", "nothing"],
)
def test_certificate_files_that_cannot_work_are_said_at_the_start(
    tmp_path: Path, authority: Path, spoil: Any, said: str
) -> None:
    folder = Path(shutil.copytree(authority, tmp_path / "ca"))
    spoil(folder)
    origins = ["https://localhost:8443"]
    listen = {"cert_file": "ca/broker.pem", "key_file": "ca/broker.key", "origins": origins}
    pages = Pages(tmp_path, STATION, listen=listen)
    with pytest.raises(ConfigError, match=rf"listen\.(cert|key)_file.*{said}"):
        serve(pages.settings)
