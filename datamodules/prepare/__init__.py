"""From a raw corpus to a folder of prepared clips."""
