"""What knows nothing of faces: files, arrays, devices, names of configs."""
