"""Chapter 1: lower levels are corrected while higher levels train."""
