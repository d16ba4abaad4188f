"""Faces in three dimensions: linear face models, their fitting, and the rasteriser."""
