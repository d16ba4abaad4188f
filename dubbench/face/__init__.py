"""Face landmarks, alignment and crops: pure geometry."""
