"""Ablations: which configs make the rows of a paper's table, their training and scoring, and the table of both."""
