"""Speaking style of a stretch of expression: the encoder that StyleSim compares with (PersonaTalk 4.2)."""
