"""Who is asked what next: beliefs, information gain, stopping, gold, repeats, order shown, and the cost to be sure."""
