"""TLS to a real mosquitto with real certificates: what is wrong with one is said in words."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError
from inspector.delivery.broker import Attempt, MqttSettings, require_files
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound
from inspector.delivery.tls import TlsSettings, make_context
from tests.brokers import Mosquitto
from tests.certificates import issue, make_authority
from tests.support import make_bundle, run_inspector, start_station, until, write_station


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_authority(tmp_path_factory.mktemp("ca"), "localhost", "cell-01")
    issue(made, "old", host="localhost")
    issue(made, "early", host="localhost", begins=2)
    issue(made, "other", host="broker.example", days=10)
    issue(made, "late")
    make_authority(made / "stranger", "localhost", "cell-01")
    return made


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made


def serve(broker: Mosquitto, authority: Path, *lines: str, name: str = "broker") -> Mosquitto:
    broker.configure(
        f"cafile {authority}/ca.pem",
        f"certfile {authority}/{name}.pem",
        f"keyfile {authority}/{name}.key",
        *lines,
    )
    return broker.start()


def at_most(version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosquitto's own setting is a least version: what it can at most is OpenSSL's."""
    config = folder / f"openssl-{version}.cnf"
    sections = "openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\n"
    config.write_text(f"{sections}MaxProtocol={version}\n", encoding="ascii")
    monkeypatch.setenv("OPENSSL_CONF", str(config))  # ours was read when Python started


def attempt(port: int, tls: dict[str, Any], host: str = "localhost") -> str:
    """The first words about how it went; "" where the broker let us in."""
    settings = MqttSettings(host=host, port=port, tls=TlsSettings(**tls))
    made = Connection(settings, Attempt("5", answer_timeout_s=5.0), client_id="tls")
    made.open()
    idle, far = socket.socketpair()
    with idle, far:
        until(lambda: (made.turn(idle, 0.05), made.ready or made.lost is not None)[1])
    made.drop()
    return made.lost or ""


def ours(authority: Path, name: str = "cell-01") -> dict[str, Path]:
    return {"cert_file": authority / f"{name}.pem", "key_file": authority / f"{name}.key"}


@pytest.mark.parametrize(
    ("name", "ca", "host", "says"),
    [
        ("broker", "ca.pem", "localhost", ""),
        ("broker", "stranger/ca.pem", "localhost", "is not issued by whom tls.ca_file names"),
        ("old", "ca.pem", "localhost", "the broker's certificate has expired"),
        ("early", "ca.pem", "localhost", "is not valid yet: is this machine's clock right?"),
        ("other", "ca.pem", "localhost", "is not for 'localhost'"),
        ("broker", "ca.pem", "127.0.0.1", "is not for '127.0.0.1'"),
    ],
)
def test_the_brokers_certificate_is_checked(
    broker: Mosquitto, authority: Path, name: str, ca: str, host: str, says: str
) -> None:
    serve(broker, authority, name=name)
    said = attempt(broker.port, {"ca_file": authority / ca}, host)
    assert says in said
    assert bool(said) is bool(says)


def test_without_a_file_the_machines_own_authorities_decide(
    broker: Mosquitto, authority: Path
) -> None:
    serve(broker, authority)
    assert "is not issued by whom" in attempt(broker.port, {})


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cell-01", ""),
        (None, "asks for a client certificate"),
        ("late", "our certificate, tls.cert_file, has expired"),
        ("stranger/cell-01", "does not know who issued our certificate"),
        ("broker", "does not take our certificate, tls.cert_file: is it for clients?"),
    ],
)
def test_our_certificate_is_asked_for(
    broker: Mosquitto,
    authority: Path,
    version: str,
    name: str | None,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_most(version, authority, monkeypatch)
    serve(broker, authority, "require_certificate true")
    tls: dict[str, Any] = {"ca_file": authority / "ca.pem"}
    if name is not None:
        tls |= ours(authority, name)
    said = attempt(broker.port, tls)
    assert says in said
    assert bool(said) is bool(says)


def test_an_older_tls_than_wanted_is_refused(
    broker: Mosquitto, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_most("TLSv1.2", authority, monkeypatch)
    serve(broker, authority)
    ca = {"ca_file": authority / "ca.pem"}
    assert "none of our versions of TLS" in attempt(broker.port, {**ca, "min_version": "1.3"})
    assert attempt(broker.port, ca) == ""


def test_a_port_without_tls_is_told(broker: Mosquitto, authority: Path) -> None:
    broker.start()
    said = attempt(broker.port, {"ca_file": authority / "ca.pem"})
    assert said == "TLS failed: what answers there may not speak it (Connection reset by peer)"


def test_what_tls_has_read_ahead_is_not_left_lying(broker: Mosquitto, authority: Path) -> None:
    serve(broker, authority)
    settings = MqttSettings(
        host="localhost", port=broker.port, tls=TlsSettings(ca_file=authority / "ca.pem")
    )
    inbound = Inbound(["many"])
    made = Connection(
        settings, Attempt("5", answer_timeout_s=5.0), client_id="reads", inbound=inbound
    )
    made.open()
    idle, far = socket.socketpair()
    with idle, far:
        assert until(lambda: (made.turn(idle, 0.05), inbound.listening)[1])
        for number in range(50):  # come back in few records
            made.publish("many", b"%d" % number, retain=False)
        assert until(lambda: (made.turn(idle, 0.05), len(inbound.received) == 50)[1], 5.0)
    made.leave()


def test_what_cannot_work_is_said_before_the_start(authority: Path, tmp_path: Path) -> None:
    key = Path(shutil.copy(authority / "cell-01.key", tmp_path / "key"))
    cert, other = authority / "cell-01.pem", authority / "late.key"

    def says(**tls: Any) -> str:
        with pytest.raises(ConfigError) as error:
            make_context(TlsSettings(**tls))
        return str(error.value)

    key.chmod(0o640)
    assert "others may read it" in says(cert_file=cert, key_file=key)
    key.chmod(0o600)
    make_context(TlsSettings(cert_file=cert, key_file=key))
    assert f"is not the key of {cert}" in says(cert_file=cert, key_file=other)
    assert "No such file" in says(ca_file=tmp_path / "none")
    assert "holds no certificate" in says(ca_file=key)
    encrypted = tmp_path / "encrypted"
    subprocess.run(
        ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", encrypted],
        check=True,
        capture_output=True,
    )
    encrypted.chmod(0o600)
    assert "is encrypted" in says(cert_file=cert, key_file=encrypted)
    with pytest.raises(ValidationError, match="both or none"):
        TlsSettings(cert_file=cert)


def test_beyond_this_machine_it_is_tls_or_said_in_so_many_words(authority: Path) -> None:
    with pytest.raises(ValidationError, match="add a table tls, or write plaintext_beyond"):
        MqttSettings(host="broker.example")
    assert MqttSettings(host="broker.example", tls=TlsSettings()).port == 8_883
    assert MqttSettings(host="broker.example", plaintext_beyond_loopback=True).port == 1_883
    with pytest.raises(ValidationError, match="leave one of them out"):
        MqttSettings(host="b.example", tls=TlsSettings(), plaintext_beyond_loopback=True)
    assert not {name for name in TlsSettings.model_fields if "insecure" in name or "verify" in name}


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n", encoding="utf-8")
    password.chmod(0o604)
    settings = MqttSettings(host="localhost", user="station", password_file=password)
    with pytest.raises(ConfigError, match=r"mqtt\.password_file .* others may read it") as error:
        require_files(settings)
    assert "secret" not in str(error.value)
    password.chmod(0o600)
    require_files(settings)


def test_check_and_log_say_what_is_wrong_with_a_certificate(
    broker: Mosquitto, authority: Path, bundle: Bundle, tmp_path: Path
) -> None:
    serve(broker, authority, "require_certificate true", "use_identity_as_username true")
    tls = {"ca_file": authority / "ca.pem", **ours(authority)}
    mqtt: dict[str, Any] = {"host": "localhost", "port": broker.port}
    path = write_station(tmp_path, bundle, mqtt=mqtt, camera={"loop": True})
    words = [path.read_text(encoding="utf-8")]

    def check(changes: dict[str, Any]) -> tuple[int, str]:
        table = "".join(
            f'{key} = "{value}"\n' for key, value in {**tls, **changes}.items() if value
        )
        path.write_text(f"{words[0]}\n[mqtt.tls]\n{table}", encoding="utf-8")
        done = run_inspector("check", path)
        return done.returncode, done.stdout

    code, said = check({})
    assert code == 0, said
    assert f"broker: localhost:{broker.port} lets us in, MQTT 5 over TLS" in said
    assert "valid until" in said
    code, said = check({"ca_file": authority / "stranger" / "ca.pem"})
    assert code == 78
    assert "is not issued by whom tls.ca_file names" in said
    code, said = check(ours(authority, "late"))
    assert code == 78
    assert "has expired on" in said
    code, said = check({"cert_file": None, "key_file": None})
    assert code == 78
    assert "the broker asks for a client certificate" in said
    station = start_station(path)
    try:
        log = tmp_path / "station.log"
        assert until(lambda: "the broker asks for a client certificate" in log.read_text())
    finally:
        station.terminate()
        assert station.wait(30.0) == 0


def test_a_file_of_the_edge_nodes_own_broker_is_named_by_its_own_key(
    authority: Path, tmp_path: Path
) -> None:
    """It was called mqtt.tls.ca_file, which there may not be at all."""
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    away, own = tmp_path / "away", shutil.copy(authority / "cell-01.pem", tmp_path / "own.pem")
    tables = {
        f'user = "u"\npassword_file = "{away}"': f"sparkplug.broker.password_file {away}",
        f'[sparkplug.broker.tls]\nca_file = "{away}"': f"sparkplug.broker.tls.ca_file {away}",
        f'[sparkplug.broker.tls]\ncert_file = "{own}"\nkey_file = "{away}"': (
            f"sparkplug.broker.tls.key_file {away}"
        ),
    }
    station = path.read_text(encoding="utf-8")
    for table, said in tables.items():
        sparkplug = f'[sparkplug]\ngroup = "g"\n[sparkplug.broker]\nhost = "localhost"\n{table}\n'
        path.write_text(f"{station}\n{sparkplug}", encoding="utf-8")
        done = run_inspector("check", path)
        assert f"FAULT {said}: No such file" in done.stdout, done.stdout
