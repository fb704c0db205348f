"""Evidence: figures that say how good a model is, and how far each figure can be trusted."""
