"""What a lead sees: agreement, raters and how far they are trusted, cohorts, progress, and what certainty costs."""
