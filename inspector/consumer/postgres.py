"""Results in PostgreSQL, through psycopg: the extra `postgres`.

The connection string holds a password, and libpq quotes pieces of what it cannot read or reach. So
it is read by us first, and nothing of one that may be misread gets as far as libpq's words.
"""

import json
import logging
from pathlib import Path
from typing import Any

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict
except ModuleNotFoundError:
    psycopg = None  # type: ignore[assignment] # said in words by open_postgres

from inspector.consumer.ledger import Row
from inspector.consumer.settings import PostgresSink
from inspector.consumer.sinks import KEYS, Position, Sink
from inspector.contract.errors import ConfigError, RecordError
from inspector.contract.keyfile import read_secret_line
from inspector.contract.table import COLUMNS, cells

log = logging.getLogger(__name__)

SAY_EVERY = 1_000  # rows not stored as they are: the first, then each thousandth
CONNECT_S = 10
_NOTICED = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""A server, or a firewall before it, that is gone without a word: by itself Linux waits for a
quarter of an hour for who owes an acknowledgement, and two hours for who owes an answer."""
_FORM = (
    "host=.. port=.. dbname=.. user=.. password='..' (in it \\' for ' and \\\\ for \\), or "
    "postgresql://user:password@host:port/dbname (with @ : / ? # % of the password as %40 %3A %2F "
    "%3F %23 %25)"
)
_TYPES = {
    "seq": "bigint",
    "part_sequence": "bigint",
    "captured_at": "timestamptz",
    "pass": "boolean",
    "late": "boolean",
    "simulated": "boolean",
    **dict.fromkeys(("score", "novelty", "review_at", "reject_at", "total_ms"), "double precision"),
}


def open_postgres(settings: PostgresSink) -> Sink:
    """Raises ConfigError where the extra or the file is missing, RecordError for the server."""
    if psycopg is None:
        raise ConfigError(
            'sink.kind "postgres" needs the postgres extra: pip install "inspector[postgres]"'
        )
    return _PostgresSink(_read_conninfo(settings.conninfo_file), settings.table)


class _PostgresSink:
    def __init__(self, conninfo: dict[str, Any], table: str) -> None:
        self._rows: list[tuple[Any, ...]] = []
        name = sql.Identifier(table)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(each), sql.SQL(_TYPES.get(each, "text")))
            for each in COLUMNS
        )
        self._create = sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} ({}, payload jsonb NOT NULL,"
            # a part without a picture has no captured_at, and belongs to some hour too
            " stored_at timestamptz NOT NULL DEFAULT now(),"
            " PRIMARY KEY (station, seq), UNIQUE (station, result_id))"
        ).format(name, columns)
        self._unlike = 0
        self._last = sql.SQL(
            "SELECT seq, result_id FROM {} WHERE station = %s ORDER BY seq DESC LIMIT 1"
        ).format(name)
        self._named = sql.SQL("SELECT seq FROM {} WHERE station = %s AND result_id = %s").format(
            name
        )
        names = sql.SQL(", ").join(map(sql.Identifier, (*COLUMNS, "payload")))
        places = sql.SQL(", ").join(sql.Placeholder() * (len(COLUMNS) + 1))
        self._insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(name, names, places)
        try:
            # autocommit: a look-up a row is one round trip, not three
            self._db = psycopg.connect(
                **{**_NOTICED, **conninfo, "connect_timeout": CONNECT_S}, autocommit=True
            )
            with self._db.transaction():
                self._db.execute("SET synchronous_commit = on")
                # not IF NOT EXISTS alone: a role that may only write is refused it for one there
                there = self._db.execute("SELECT to_regclass(%s)", (table,)).fetchone()
                if there is None or there[0] is None:
                    self._db.execute(self._create)
        except psycopg.Error as error:
            raise RecordError(f"PostgreSQL: {error}") from None

    def last(self, station: str) -> Position | None:
        row = self._found(self._last, station)
        return {"seq": row[0], "result_id": row[1]} if row else None

    def stored_as(self, station: str, result_id: str) -> int | None:
        row = self._found(self._named, station, result_id)
        return int(row[0]) if row else None

    def _found(self, query: "sql.Composed", *values: str) -> Any:
        try:
            return self._db.execute(query, values).fetchone()
        except psycopg.Error as error:
            raise RecordError(f"PostgreSQL: {error}") from None

    def write(self, row: Row) -> None:
        self._rows.append((*row.cells.values(), row.payload.decode()))

    def commit(self) -> None:
        try:
            try:
                with self._db.transaction(), self._db.cursor() as cursor:
                    cursor.executemany(self._insert, self._rows)
            except psycopg.DataError:  # one holds what the server's types do not
                with self._db.transaction():
                    for row in self._rows:
                        self._insert_somehow(row)
        except psycopg.Error as error:
            raise RecordError(f"PostgreSQL: {error}") from None
        self._rows.clear()

    def _insert_somehow(self, row: tuple[Any, ...]) -> None:
        """Raises psycopg.Error where not even the plainest way is taken."""
        *ways, plainest = self._ways(row)
        refusal: Exception | None = None
        for way in ways:
            try:
                with self._db.transaction():
                    self._db.execute(self._insert, way)
                break
            except psycopg.DataError as error:
                refusal = error
        else:
            self._db.execute(self._insert, plainest)
        if refusal is not None:
            self._say_unlike(row, refusal)

    def _say_unlike(self, row: tuple[Any, ...], refusal: Exception) -> None:
        self._unlike += 1
        if self._unlike % SAY_EVERY == 1:
            log.warning(
                "station %s: row %d is not stored as it is (%d so far): what PostgreSQL refuses in "
                "a column is left empty there, in the payload makes it one text: %s",
                *row[:2],
                self._unlike,
                str(refusal).splitlines()[0],
            )

    @staticmethod
    def _ways(row: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """How it may be stored, the best first, at last by its name alone and its payload as one
        text: jsonb takes no \\u0000, and a column no date that only Python's calendar has."""
        *values, payload = row
        named = dict(zip(COLUMNS, values, strict=True))
        bare = cells({name: named[name] for name in KEYS}).values()
        texts = (payload, json.dumps(payload))
        return [(*columns, text) for text in texts for columns in (values, bare)]

    def close(self) -> None:
        self._db.close()


def _read_conninfo(path: Path) -> dict[str, Any]:
    """libpq's parameters, of a file nobody else may read. Raises ConfigError, which quotes none."""
    what = "sink.conninfo_file "
    line = read_secret_line(path, what=what)
    try:
        conninfo = conninfo_to_dict(line)
    except psycopg.Error:
        conninfo = {}
    if not conninfo:
        raise ConfigError(f"{what}{path}: its first line is no connection string: {_FORM}")
    places = [str(conninfo.get(key, "")) for key in ("host", "hostaddr", "port", "dbname")]
    ports = str(conninfo.get("port", "")).split(",")
    if any("@" in each for each in places) or not all(each.isdecimal() for each in ports if each):
        raise ConfigError(
            f"{what}{path}: what stands for host, port or database name cannot be one (perhaps a "
            f"piece of the password): {_FORM}"
        )
    return conninfo
