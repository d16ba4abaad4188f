"""What is installed here and what is missing, found out without loading what takes long to load."""
