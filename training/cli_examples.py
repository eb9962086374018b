"""What stands below the --help of the small commands: how they are called."""

BENCH_EXAMPLES = """examples:
  inspector-train bench training/plans/elpv.toml --data elpv
  inspector-train bench plan.toml --data pictures --images 96 --rounds 5
"""
SCAN_EXAMPLES = """examples:
  inspector-train scan pictures
  inspector-train scan elpv/manifest.csv --json found.json
"""
KEYS_EXAMPLES = """examples:
  inspector-train keys                     every key of a plan
  inspector-train keys student             of one section
  inspector-train keys split.golden        one key
  inspector-train keys promote             the terms of promote, which a file of their own has
"""
DATA_EXAMPLES = """examples:
  inspector-train data elpv --out elpv
"""
