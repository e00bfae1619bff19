"""Figures: as inline SVG with alt text, narrow for phones, and steered by the reader."""
