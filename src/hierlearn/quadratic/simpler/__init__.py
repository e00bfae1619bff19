"""Chapter 6: kernels, feature machines and two-layer networks on the same targets."""
