"""A bundle on a stack of any size gives a map: blocks in constant memory, one Cloud-Optimized GeoTIFF at the end."""
