"""What metrics share: the frames, clips and pools that they get, and how images and networks are handled."""
