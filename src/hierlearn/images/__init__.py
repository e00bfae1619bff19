"""Real networks on real images (chapter 7): the data, the networks and what is run on them."""
