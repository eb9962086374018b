"""The part of station.toml that is about being watched."""

from typing import Annotated

from pydantic import Field

from inspector.contract.strict import Strict


class MetricsSettings(Strict):
    """Where the health page and the metrics are. They are read-only and ask for no password."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)]
