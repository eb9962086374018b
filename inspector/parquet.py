"""Results as a Parquet file, through pyarrow: the extra `parquet`."""

from datetime import datetime
from typing import Any, BinaryIO, Self

from inspector.contract.errors import ConfigError
from inspector.contract.table import KINDS, Kind

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError:
    pa = None

GROUP_ROWS = 50_000
GROUP_BYTES = 32_000_000
"""Of payloads: of a station that looks at a thousand tiles, so many rows would be gigabytes."""


class ParquetFile:
    """A context. Times are timestamps in UTC; `payload` is the whole result as JSON."""

    def __init__(self, out: BinaryIO) -> None:
        """Raises ConfigError where the extra is missing."""
        if pa is None:
            raise ConfigError(
                'the format parquet needs the parquet extra: pip install "inspector[parquet]"'
            )
        kinds: dict[Kind, Any] = {
            "text": pa.string(),
            "whole": pa.int64(),
            "number": pa.float64(),
            "flag": pa.bool_(),
            "instant": pa.timestamp("ms", tz="UTC"),
        }
        columns = [(name, kinds[kind]) for name, kind in KINDS.items()]
        self._schema = pa.schema([*columns, ("payload", pa.string())])
        self._writer = pq.ParquetWriter(out, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, cells: dict[str, Any], payload: bytes) -> None:
        at = cells["captured_at"]
        taken = None if at is None else datetime.fromisoformat(at)
        self._rows.append({**cells, "captured_at": taken, "payload": payload.decode()})
        self._bytes += len(payload)
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._rows:
            self._write()
        self._writer.close()
