"""The console: where raters judge, leads look after projects, and security sees who did what."""
