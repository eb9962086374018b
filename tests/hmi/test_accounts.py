"""Coming in: links, passwords, sessions, and how long who guesses waits."""

import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from inspector.contract.errors import ConfigError
from inspector.hmi import throttle as throttles
from inspector.hmi.accounts import NAME_MAX, AccountError, Accounts, Visitor
from inspector.hmi.audit import Audit
from inspector.hmi.settings import ListenSettings, SessionSettings, read_hmi_settings
from inspector.hmi.store import Store
from inspector.hmi.throttle import Throttle
from tests.hmi.plant import PASSWORD, Client, Plant
from tests.support import run_inspector

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(Store(tmp_path / "state"), SessionSettings())


@pytest.mark.parametrize("gone", [False, True])
def test_who_logs_in_while_the_password_is_replaced_or_the_account_removed_is_not_in(
    tmp_path: Path, accounts: Accounts, *, gone: bool
) -> None:
    accounts.accept(accounts.first_link() or "", "boss", PASSWORD)
    accounts.accept(accounts.add("eve", "operator"), "eve", PASSWORD)
    with closing(Store(tmp_path / "state")) as beside, ThreadPoolExecutor(1) as other:
        under_way = other.submit(accounts.log_in, "eve", PASSWORD)
        time.sleep(0.03)  # scrypt takes longer
        with beside.changing() as db:
            change = "DELETE FROM account" if gone else "UPDATE account SET password = 'another'"
            db.execute(f"{change} WHERE name = 'eve'")
            db.execute("DELETE FROM session WHERE name = 'eve'")
        assert under_way.result() is None
        with beside.reading() as db:
            assert db.execute("SELECT count(*) FROM session").fetchone() == (0,)


def test_the_first_link_makes_one_administrator_once(tmp_path: Path, accounts: Accounts) -> None:
    token = accounts.first_link()
    assert token is not None
    newer = accounts.first_link()
    assert newer is not None
    with pytest.raises(AccountError, match="link"):
        accounts.accept(token, "boss", PASSWORD)
    assert accounts.accept(newer, "boss", PASSWORD) == Visitor("boss", "admin")
    with pytest.raises(AccountError, match="link"):
        accounts.accept(newer, "other", PASSWORD)
    assert accounts.first_link() is None
    mode = stat.S_IMODE((tmp_path / "state" / "hmi.db").stat().st_mode)
    assert mode == 0o600
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert newer.encode() not in kept
    assert PASSWORD.encode() not in kept


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("short", "password_length"),
        ("x" * 201, "password_length"),
        ("aaaaaaaaaaaa", "password_simple"),
        ("Boss-the-first", "password_simple"),
    ],
)
def test_a_bad_password_is_refused_and_the_link_still_works(
    accounts: Accounts, password: str, word: str
) -> None:
    token = accounts.first_link() or ""
    with pytest.raises(AccountError, match=word):
        accounts.accept(token, "boss", password)
    assert accounts.invited(token) == {"name": None, "role": "admin"}


def test_an_expired_link_is_none(tmp_path: Path, accounts: Accounts) -> None:
    token = accounts.first_link() or ""
    with sqlite3.connect(tmp_path / "state" / "hmi.db") as db:
        db.execute("UPDATE invitation SET expires_at = ?", (time.time() - 1.0,))
    assert accounts.invited(token) is None


@pytest.mark.parametrize(
    ("role", "column", "hours", "goes_on"),
    [
        ("operator", "used_at", 0.49, True),
        ("operator", "used_at", 0.51, False),
        ("operator", "begun_at", 11.9, True),
        ("operator", "begun_at", 12.1, False),
        ("viewer", "used_at", 600.0, True),
        ("viewer", "begun_at", 721.0, False),
        ("operator", "begun_at", -1.0, False),
    ],
)
def test_a_session_ends_by_idleness_and_by_age_and_a_wall_panel_goes_on(
    tmp_path: Path, accounts: Accounts, role: str, column: str, hours: float, *, goes_on: bool
) -> None:
    with sqlite3.connect(tmp_path / "state" / "hmi.db") as db:
        db.execute("INSERT INTO account VALUES ('ada', ?, 'x', 0, NULL)", (role,))
    token = accounts.begin(Visitor("ada", "viewer"))
    assert accounts.visitor(token, used=False) is not None
    with sqlite3.connect(tmp_path / "state" / "hmi.db") as db:
        db.execute(f"UPDATE session SET {column} = ?", (time.time() - 3_600.0 * hours,))  # noqa: S608
    assert (accounts.visitor(token, used=False) is not None) is goes_on


def test_what_a_page_looks_at_by_itself_does_not_keep_a_session(plant: Plant) -> None:
    client = Client(plant.pages.port)
    assert client.log_in("operator").status == 200
    for method, path, told in (
        ("GET", "/api/stations/test/pictures/x", False),
        ("GET", "/api/system", False),
        ("GET", "/api/alarms", False),
        ("POST", "/api/session/used", True),
        ("GET", "/history", True),
    ):
        with closing(sqlite3.connect(plant.folder / "hmi" / "hmi.db", timeout=10.0)) as db:
            begun = time.time() - 1_000.0
            db.execute("UPDATE session SET used_at = ? WHERE name = 'operator'", (begun,))
            db.commit()
            assert client.ask(method, path).status in (200, 404)
            query = "SELECT max(used_at) FROM session WHERE name = 'operator'"
            (used_at,) = db.execute(query).fetchone()
        assert (used_at > begun) is told, path


def test_the_last_administrator_stays(accounts: Accounts) -> None:
    accounts.accept(accounts.first_link() or "", "boss", PASSWORD)
    with pytest.raises(AccountError, match="last_admin"):
        accounts.remove("boss")
    with pytest.raises(AccountError, match="last_admin"):
        accounts.change_role("boss", "viewer")


def test_who_guesses_waits_longer_each_time_by_account_and_by_address() -> None:
    throttle = Throttle()
    for _ in range(throttles.FREE_TRIES_ACCOUNT):
        assert throttle.wait_s("ada", "1.2.3.4") == 0.0
        throttle.failed("ada", "1.2.3.4")
    waits = []
    for _ in range(12):
        waits.append(round(throttle.wait_s("ada", "9.9.9.9"), 1))
        throttle.failed("ada", "9.9.9.9")
    assert waits == sorted(waits)
    assert 0.0 < waits[0] <= 2.0
    assert waits[-1] > 600.0
    assert throttle.wait_s("bob", "9.9.9.9") > 0.0, "an address that tries names one by one"
    assert throttle.wait_s("bob", "1.2.3.4") == 0.0


def test_a_whole_network_of_ipv6_has_the_tries_of_one_address() -> None:
    throttle, tried = Throttle(), 0
    for i in range(1_000):
        address = f"2001:db8::{i:x}"
        if throttle.wait_s(f"user{i}", address) == 0.0:
            tried += 1
        throttle.failed(f"user{i}", address)
    assert tried == throttles.FREE_TRIES_ADDRESS
    assert throttle.wait_s("ada", "2001:db8:0:1::1") == 0.0
    assert throttle.wait_s("ada", "a proxy's word") == 0.0


def test_a_name_with_letters_more_is_no_account_and_so_has_no_tries_at_one(
    accounts: Accounts,
) -> None:
    longest = "a" * NAME_MAX
    accounts.accept(accounts.add(longest, "viewer"), None, PASSWORD)
    assert accounts.log_in(longest + "b", PASSWORD) is None
    came = accounts.log_in(longest.upper(), PASSWORD)
    assert came is not None
    assert came[0] == Visitor(longest, "viewer")


def test_a_right_password_is_not_looked_at_while_the_account_waits(plant: Plant) -> None:
    admin, client = plant.clients["admin"], Client(plant.pages.port)
    assert admin.ask("POST", "/api/accounts", {"name": "victim", "role": "viewer"}).status == 200
    longest = 0
    for _ in range(200):  # a slow machine takes longer for a try than the first waits are
        answer = client.log_in("victim", "wrong wrong wrong")
        if answer.status == 429:
            longest = answer.json()["wait_s"]
            if longest >= 4:
                break
            time.sleep(0.25)
    assert longest >= 4
    answer = client.log_in("victim", PASSWORD)
    assert (answer.status, answer.json()["error"]) == (429, "wait")
    assert int(answer.headers["retry-after"]) >= 1


def test_the_cookie_is_for_the_browser_alone_and_another_one_after_login(plant: Plant) -> None:
    client = Client(plant.pages.port)
    client.look()
    before = client.cookie
    answer = client.log_in("viewer")
    words = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(words)
    assert client.cookie != before


def test_a_changed_role_or_a_removed_account_ends_its_sessions(plant: Plant) -> None:
    admin, client = plant.clients["admin"], Client(plant.pages.port)
    link = admin.ask("POST", "/api/accounts", {"name": "temp", "role": "engineer"}).json()["link"]
    assert client.accept(link.partition("#")[2]).status == 200
    assert client.ask("GET", "/api/audit").status == 200
    assert admin.ask("PATCH", "/api/accounts/temp", {"role": "viewer"}).status == 200
    assert client.ask("GET", "/api/audit").status == 401
    assert client.log_in("temp").status == 200
    assert client.ask("GET", "/api/audit").status == 403
    assert admin.ask("DELETE", "/api/accounts/temp").status == 200
    assert client.ask("GET", "/api/system").status == 401


def test_accounts_from_a_shell_work_beside_the_running_pages(plant: Plant) -> None:
    done = run_inspector("hmi-user", plant.pages.settings, "add", "shell", "--role", "operator")
    assert done.returncode == 0, done.stderr
    client = Client(plant.pages.port)
    assert client.accept(done.stdout.strip().partition("#")[2]).status == 200
    assert client.look()["role"] == "operator"
    listed = run_inspector("hmi-user", plant.pages.settings, "list").stdout
    assert "shell" in listed
    assert run_inspector("hmi-user", plant.pages.settings, "remove", "shell").returncode == 0
    assert client.ask("GET", "/api/system").status == 401
    again = run_inspector("hmi-user", plant.pages.settings, "remove", "shell")
    assert (again.returncode, "there is no such account" in again.stderr) == (78, True)


def test_a_changed_row_of_the_audit_is_found_and_so_is_one_taken_out(tmp_path: Path) -> None:
    for number, statement in enumerate(
        ("UPDATE audit SET entry = replace(entry, 'halt', 'stop') WHERE seq = 2",
         "DELETE FROM audit WHERE seq = 2")
    ):  # fmt: skip
        store = Store(tmp_path / str(number))
        audit = Audit(store)
        for what in ("start", "halt", "reset"):
            audit.add(who="ada", address="-", what=what)
        assert audit.show()["tampered"] is None
        with sqlite3.connect(store.path) as db:
            db.execute("DROP TRIGGER audit_unchanged")
            db.execute("DROP TRIGGER audit_whole")
            db.execute(statement)
        found = audit.show()
        assert "row 2" in found["tampered"]
        assert found["whole_to"] == 1
        store.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"host": "0.0.0.0"}, "cert_file and key_file"),  # noqa: S104 - refused
        ({"cert_file": "a.pem"}, "both or none"),
        ({"behind_proxy": True}, "origins is missing"),
        ({"behind_proxy": True, "origins": ["http://panel"]}, "must begin with https"),
        ({"proxies": ["*"]}, "must be an address or a network"),
        ({"proxies": ["10.0.0.7/24"]}, "must be an address or a network"),
    ],
)
def test_beyond_this_machine_there_is_tls_or_a_proxy_or_no_page(
    words: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ListenSettings.model_validate(words)


def test_settings_say_what_is_wrong_with_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "hmi.toml"
    path.write_text('state_folder = "x"\nstale_after_s = 9.0\n[[stations]]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"stale_after_s 9\.0"):
        read_hmi_settings(path)
    path.write_text('state_folder = "x"\n[[stations]]\nstation = "a"\n', encoding="utf-8")
    done = run_inspector("hmi", path)
    assert (done.returncode, "topic_root is missing" in done.stderr) == (78, True)


def test_the_example_is_what_it_says() -> None:
    settings = read_hmi_settings(DEPLOY / "hmi.example.toml")
    assert settings.listen.known_origins == ("http://127.0.0.1:8080", "http://localhost:8080")
    assert settings.stations[0].settings == DEPLOY / "station.toml"
