"""Which stations the pages show, and who may reach them: hmi.toml."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from inspector.contract.address import is_loopback
from inspector.contract.errors import ConfigError
from inspector.contract.strict import Name, Strict, read_toml, resolved
from inspector.contract.topics import Root
from inspector.delivery.broker import MqttSettings
from inspector.delivery.reviews import FILE as REVIEWS

Origin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$")]
STATIONS_MAX = 32


def _is_network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be an address or a network, as 10.0.0.7 or 10.0.0.0/24") from None
    return text


Proxy = Annotated[str, AfterValidator(_is_network)]


class ListenSettings(Strict):
    """Where browsers reach the pages. Beyond this machine only by TLS, ours or a proxy's."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8_080
    cert_file: Path | None = None
    """PEM, with the chain."""
    key_file: Path | None = None
    behind_proxy: bool = False
    """A reverse proxy does TLS; its X-Forwarded-For is believed, from `proxies` alone."""
    proxies: Annotated[tuple[Proxy, ...], Field(min_length=1, max_length=16)] = ("127.0.0.1",)
    """Addresses or networks; whoever else connects is refused, since it would be without TLS."""
    hsts_days: Annotated[int, Field(ge=0, le=730)] = 365
    """How long browsers ask this host by HTTPS alone, on every port of it; 0: not told."""
    origins: Annotated[tuple[Origin, ...], Field(max_length=16)] = ()
    """How browsers call the pages, "https://panel.plant:8443"; left out on loopback."""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("cert_file and key_file: both or none")
        if self.tls and self.behind_proxy:
            raise ValueError("behind_proxy beside cert_file: leave one of them out")
        if not is_loopback(self.host) and not self.tls and not self.behind_proxy:
            raise ValueError(
                f"host {self.host!r} is beyond this machine and passwords would travel readable: "
                "add cert_file and key_file, or write behind_proxy = true where a proxy does TLS"
            )
        if not self.origins and (not is_loopback(self.host) or self.behind_proxy):
            raise ValueError(
                'origins is missing: how browsers call the pages, ["https://panel.plant:8443"]'
            )
        for origin in self.origins:
            if self.secure and urlsplit(origin).scheme != "https":
                raise ValueError(f"origins: {origin} must begin with https://")
        return self

    @property
    def tls(self) -> bool:
        return self.cert_file is not None

    @property
    def secure(self) -> bool:
        """Browsers speak HTTPS, with us or with the proxy."""
        return self.tls or self.behind_proxy

    @property
    def known_origins(self) -> tuple[str, ...]:
        if self.origins:
            return self.origins
        scheme = "https" if self.tls else "http"
        hosts = dict.fromkeys((self.host if ":" not in self.host else f"[{self.host}]",))
        return tuple(f"{scheme}://{each}:{self.port}" for each in (*hosts, "localhost"))


class SessionSettings(Strict):
    idle_min: Annotated[int, Field(ge=1, le=1_440)] = 30
    """Without a click or a key; what the page asks by itself does not count."""
    absolute_h: Annotated[int, Field(ge=1, le=168)] = 12
    viewer_h: Annotated[int, Field(ge=1, le=8_760)] = 720
    """Of a viewer, who can change nothing: a panel on the wall goes on without idle time."""


class CommandSettings(Strict):
    """With whose key commands are signed; the stations know it under [[commands.keys]]."""

    sender: Name
    key_file: Path
    """The Ed25519 private key in PEM, or the HMAC key, for nobody else to read."""
    lifetime_s: Annotated[float, Field(gt=0.0, le=3_600.0)] = 30.0
    wait_s: Annotated[float, Field(gt=0.0, le=120.0)] = 10.0
    """For the reply."""


class StationSettings(Strict):
    """One station: by its station.toml where that is on this machine, else key by key."""

    settings: Path | None = None
    """station.toml: what is left out here is taken from there."""
    station: Name | None = None
    topic_root: Root | None = None
    mqtt: MqttSettings | None = None
    """As in station.toml; the pages' own login, where the broker knows one."""
    journal: Path | None = None
    """Left out and not in `settings`: no history, only what is heard."""
    archive: Path | None = None
    reviews: Path | None = None
    """The store of what people say of parts (reviews.db); left out and not in `settings`: none."""
    recipe: Path | None = None
    bundles: Path | None = None
    """The folder of them: the classes of what judged a part."""
    commands: CommandSettings | None = None
    """Left out: the file's own [commands]."""


class HmiSettings(Strict):
    """Relative paths are relative to the file they stand in."""

    state_folder: Path
    """For accounts, sessions and the audit (hmi.db)."""
    listen: ListenSettings = ListenSettings()
    session: SessionSettings = SessionSettings()
    language: Literal["en", "de"] = "en"
    """Until a person chooses another on the page."""
    stale_after_s: Annotated[float, Field(ge=0.6, le=2.5)] = 2.0
    """A station whose heartbeat is older than this is shown as silent; it beats twice a second."""
    commands: CommandSettings | None = None
    """Left out: nothing can be commanded from the pages."""
    stations: Annotated[tuple[StationSettings, ...], Field(min_length=1, max_length=STATIONS_MAX)]


class _Path(Strict):
    model_config = ConfigDict(frozen=True, extra="ignore")
    path: Path | None = None
    folder: Path | None = None


class _Archive(_Path):
    disk_free_min_mb: int = 500


class _StationFile(Strict):
    """What is read of a station.toml: `inspector check` judges the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    station: Name
    topic_root: Root
    mqtt: MqttSettings
    journal: _Path
    archive: _Archive
    recipe: Path | None = None
    bundles: Path | _Path | None = None
    shadow: _Path | None = None
    state_folder: Path | None = None

    @property
    def bundles_folder(self) -> Path | None:
        return self.bundles.folder if isinstance(self.bundles, _Path) else self.bundles

    @property
    def reviews(self) -> Path | None:
        """As settings.reviews_path."""
        folder = self.state_folder or (self.journal.path.parent if self.journal.path else None)
        return folder / REVIEWS if folder else None


class Place(Strict):
    """A station as the pages know it."""

    name: Name
    topic_root: Root
    mqtt: MqttSettings
    journal: Path | None
    archive: Path | None
    reviews: Path | None
    shadow: Path | None
    recipe: Path | None
    bundles: Path | None
    disk_free_min_mb: int
    commands: CommandSettings | None


def read_hmi_settings(path: Path) -> HmiSettings:
    """Raises ConfigError naming every fault of the file."""
    return resolved(read_toml(path, HmiSettings), path.resolve().parent)


def places(settings: HmiSettings) -> tuple[Place, ...]:
    """Every station, whole. Raises ConfigError."""
    found = tuple(_place(each, settings.commands) for each in settings.stations)
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ConfigError("stations: each name once")
    return found


def _place(given: StationSettings, commands: CommandSettings | None) -> Place:
    file: _StationFile | None = None
    if given.settings is not None:
        base = given.settings.resolve().parent
        file = resolved(read_toml(given.settings, _StationFile), base)
    name = given.station or (file.station if file else None)
    root = given.topic_root or (file.topic_root if file else None)
    mqtt = given.mqtt or (file.mqtt if file else None)
    if name is None or root is None or mqtt is None:
        lacking = "station" if name is None else "topic_root" if root is None else "mqtt"
        raise ConfigError(
            f"stations: {lacking} is missing (or settings, the station's station.toml)"
        )
    return Place(
        name=name,
        topic_root=root,
        # under the station's own name at the broker we would throw it out
        mqtt=mqtt.model_copy(update={"client_id": None}),
        journal=given.journal or (file.journal.path if file else None),
        archive=given.archive or (file.archive.folder if file else None),
        reviews=given.reviews or (file.reviews if file else None),
        shadow=file.shadow.folder if file and file.shadow else None,
        recipe=given.recipe or (file.recipe if file else None),
        bundles=given.bundles or (file.bundles_folder if file else None),
        disk_free_min_mb=file.archive.disk_free_min_mb if file else 500,
        commands=given.commands or commands,
    )
