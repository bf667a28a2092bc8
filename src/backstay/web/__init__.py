"""The console: rating, review, projects, raters, and who may do what."""
