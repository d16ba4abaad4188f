"""SyncNet as joonson/syncnet_python runs it: what it hears and sees, its network, and its scores."""
