"""What is measured on trained models, and the intervals over seeds that claims are decided by."""
