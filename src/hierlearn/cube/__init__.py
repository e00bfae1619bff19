"""Parities on the hypercube (chapter 2): exact lower bounds for kernels, and deep networks."""
