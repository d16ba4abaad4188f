"""Networks of metrics, and how each is filled from its pretrained file."""
