"""The demo: every method trained for minutes on a corpus made on the spot, scored and ranked, side by side."""
