"""Tools that examine a learner and leave it as it was: learning-rate range test, model summary."""
