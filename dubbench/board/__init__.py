"""Leaderboards: rows of many results in groups that may be ranked, as CSV, Markdown, an HTML page and on the screen."""
