"""Results as files: rows, records, and the baseline that a regression check compares with."""
