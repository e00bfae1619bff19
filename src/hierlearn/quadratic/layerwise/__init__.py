"""Chapter 3: what freezing the lower levels costs."""
