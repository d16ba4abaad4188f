"""How fast a method dubs on this machine, and what that takes."""
