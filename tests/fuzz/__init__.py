"""Fuzzing of everything that peers send: targets, seeds, and what drives them."""
