"""The baseline: count heads."""

from backstay.aggregate.votes import Floats, Votes, tally


def majority_share(votes: Votes, pseudo_votes: float = 1.0) -> Floats:
    """Smoothed share of votes for `a` of each of I items, a tie as half a vote.

    p = (votes for a + pseudo_votes / 2) / (votes + pseudo_votes), so that one vote gives 0.75 and none gives 0.5.
    """
    total = tally(votes.item, votes.share, votes.n_items)
    for_a = tally(votes.item, votes.share * votes.vote, votes.n_items)
    result: Floats = (for_a + pseudo_votes / 2.0) / (total + pseudo_votes)
    return result
