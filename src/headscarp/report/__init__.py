"""What people look at: figures and self-contained pages from metrics, maps and splits. Computes no metric itself."""
