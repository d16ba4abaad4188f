"""G4G: alignment of face and speech, deformation of reference features, fusion with the source."""
