"""PersonaTalk: bring attention to your persona in visual dubbing (Zhang et al., SIGGRAPH Asia 2024)."""
