"""Studies a quality engineer signs: of a station's results and pictures, without touching it."""
