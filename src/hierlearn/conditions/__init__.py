"""What decides whether layer by layer suffices: signal, dirt and margin, over all wings."""
