"""Routes of the console's API."""
