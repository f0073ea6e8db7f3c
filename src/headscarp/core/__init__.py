"""The five values and the one loop: grid, stack, tile, bundle, blocks, provenance, errors. Knows no torch."""
