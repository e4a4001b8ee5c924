"""Measurements side by side, with their committed results: python -m benchmarks.NAME."""
