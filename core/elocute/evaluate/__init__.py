"""Measuring a finished video against its portrait, voice, poses and labels."""
