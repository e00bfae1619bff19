"""Targets: a distribution over inputs and the function to learn."""
