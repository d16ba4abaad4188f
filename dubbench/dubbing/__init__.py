"""A video of any length and size gets other speech, at its own resolution, in segments that a killed run keeps."""
