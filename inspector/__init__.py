"""The daemon of a camera station: frames in, a pass or fail for every part out."""

__version__ = "0.1.0"
