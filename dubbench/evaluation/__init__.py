"""From a protocol and candidates to a row of values a clip."""
