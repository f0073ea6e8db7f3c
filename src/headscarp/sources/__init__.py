"""Where data come from: rasters, vectors, points, public data sets, simulated worlds."""
