"""The web client that survives, its cache, and the public services it is pointed at. Knows nothing of landslides."""
