"""The console: where people rate, lead, review and look on. Pages and API over what `feedback.collection` keeps."""
