"""From a stack to a bundle: one training loop, the search for its settings, and the comparison of nets."""
