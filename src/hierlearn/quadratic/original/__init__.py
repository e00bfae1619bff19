"""The class of Allen-Zhu & Li as they define it, and the exact alternation that learns it."""
