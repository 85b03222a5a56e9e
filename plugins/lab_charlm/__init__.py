"""Character language models: one long text, ways to read it, recurrent networks, and text made by them."""
