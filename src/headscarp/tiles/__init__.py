"""From a stack to what nets eat: splits, tiles, pixels, statistics, sampling, and the audit of leaks."""
