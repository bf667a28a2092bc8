"""Recipe to stage graph to runs."""
