"""How good a map is: metrics, their intervals, the tidy table, and the verb evaluate."""
