"""`lab_collab`: collaborative filtering: ratings, factor models, recommendations."""
