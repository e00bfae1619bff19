"""Training: one plain loop, and the protocols that say what it trains when."""
