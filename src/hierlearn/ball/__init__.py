"""Ball indicators (chapter 5): learned by gradient descent, out of reach of a linear output."""
