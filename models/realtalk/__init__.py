"""RealTalk: real-time and realistic audio-driven face generation with 3D facial prior (Ji et al., 2024)."""
