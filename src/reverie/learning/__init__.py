"""Learning principles: the few ways in which data becomes parameters, and the loop that runs them."""
