"""What stands below a command's --help: how it is called."""

from textwrap import indent

_CALLS = {
    "run": """
inspector run station.toml
""",
    "demo": """
inspector demo                               200 parts, a broker of its own
inspector demo --parts 50 --rate 20          faster
inspector demo --forever --broker HOST:PORT  until Ctrl-C, on your own broker
""",
    "command": """
inspector command station.toml status
inspector command station.toml reset         end an ERROR, once you have seen its cause
inspector command station.toml reload NAME   the bundle of this name
inspector command station.toml image RESULT_ID --out part.jpg
inspector command --mqtt commander.toml stop --station cell-01
""",
    "audit": """
inspector audit station.toml verify
inspector audit station.toml verify --head 17:HASH
inspector audit station.toml show
""",
    "check": """
inspector check station.toml
""",
    "cameras": """
inspector cameras
""",
    "commission": """
inspector commission station.toml            50 good parts from the camera
inspector commission station.toml --folder good --out new.toml
inspector commission station.toml --empty empty.png
""",
    "replay": """
inspector replay --bundle bundles/NAME pictures
inspector replay --bundle bundles/NAME --recipe recipe.toml --csv found.csv pictures
""",
    "bench": """
inspector bench station.toml
inspector bench --bundle bundles/NAME --size 1920x1080 --live
inspector bench --runtimes station.toml      which library and how many threads to take
inspector bench --profile here.json          this machine's speed, for a search elsewhere
""",
    "bundle": """
inspector bundle show bundles/NAME
inspector bundle verify bundles/NAME --key release.pub
inspector bundle keygen release              writes release and release.pub
inspector bundle sign bundles/NAME --key release
inspector bundle use bundles/NAME            running stations load it
""",
    "subscribe": """
inspector subscribe consumer.toml
inspector subscribe consumer.toml --expect 1000 --for 3600
""",
    "journal": """
inspector journal info station.toml
inspector journal show journal.db 4711
inspector journal export journal.db --format parquet --out parts.parquet
inspector journal export journal.db --since 2026-11-01 --evaluation NOT_OK
inspector journal verify journal.db
""",
    "review": """
inspector review station.toml list --by anna
inspector review station.toml label RESULT_ID scratch --by anna
inspector review station.toml undo 17 --by anna
inspector review station.toml export > reviews.jsonl
""",
    "study": """
inspector study repeatability station.toml --parts parts.csv --out study
inspector study acceptance station.toml --limits acceptance.toml --pictures parts --out study
inspector study recheck station.toml --since 2026-11-24 --bundle bundles/NEW --out study
""",
    "hmi": """
inspector hmi hmi.toml
""",
    "hmi-user": """
inspector hmi-user hmi.toml list
inspector hmi-user hmi.toml add anna --role operator      prints a link, good once
inspector hmi-user hmi.toml remove anna
""",
    "schema": """
inspector schema result
inspector schema asyncapi > asyncapi.json
""",
    "line-sim": """
inspector line-sim station.toml --parts 100 --rate 5
inspector line-sim station.toml --late 0.05 --duplicate 0.1 --seed 7
""",
    "version": """
inspector version
""",
}


def examples(command: str) -> str:
    """The epilog of `inspector COMMAND --help`."""
    return f"examples:\n{indent(_CALLS[command].strip(), '  ')}\n"
