"""Measuring groups: on this machine or a cluster, what it will cost, and once more as a check."""
