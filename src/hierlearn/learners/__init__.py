"""Learners: the model families that are trained."""
