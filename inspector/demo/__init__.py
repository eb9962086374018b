"""`inspector demo`: a station, a broker and a subscriber on one machine, with real pictures."""
