"""The operator's pages: a process of its own, one more subscriber, with no way into a station."""
