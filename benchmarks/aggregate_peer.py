"""Other people's aggregators on saved votes, run in an environment of their own: one array of log-odds or scores each.

usage: python aggregate_peer.py VOTES.npz FOLDER      (needs crowd-kit, evalica, choix)
"""

import sys
import warnings
from pathlib import Path

import choix
import evalica
import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

warnings.filterwarnings("ignore")


def main() -> None:
    votes, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    said = votes["side"] != 0
    size = votes["a"].size
    frame = pd.DataFrame({"task": votes["item"][said], "worker": votes["rater"][said], "label": votes["side"][said]})
    np.save(folder / "crowd-kit dawid-skene.npy", dawid_skene(frame, size))
    winner = np.where(votes["side"] > 0, votes["a"][votes["item"]], votes["b"][votes["item"]])[said]
    loser = np.where(votes["side"] > 0, votes["b"][votes["item"]], votes["a"][votes["item"]])[said]
    responses = int(max(votes["a"].max(), votes["b"].max())) + 1
    if responses < 2 * size:  # responses are shared between pairs
        np.save(folder / "evalica bradley-terry.npy", evalica_scores(winner, loser, votes))
        np.save(folder / "choix bradley-terry.npy", choix_scores(winner, loser, votes, responses))


def dawid_skene(frame: pd.DataFrame, size: int) -> np.ndarray:
    probability = DawidSkene(n_iter=100).fit_predict_proba(frame)
    log_odds = np.zeros(size)
    for_a, for_b = probability[1].to_numpy(), probability[-1].to_numpy()
    log_odds[probability.index.to_numpy()] = np.log(for_a + 1e-12) - np.log(for_b + 1e-12)
    return log_odds


def evalica_scores(winner: np.ndarray, loser: np.ndarray, votes: np.lib.npyio.NpzFile) -> np.ndarray:
    """By connected part, since on a disconnected graph it answers with a constant."""
    size = int(max(votes["a"].max(), votes["b"].max())) + 1
    graph = coo_array((np.ones(winner.size), (winner, loser)), shape=(size, size))
    _, part = connected_components(graph, directed=False)
    score = np.zeros(size)
    for p in np.unique(part[winner]):
        own = part[winner] == p
        result = evalica.bradley_terry(winner[own].tolist(), loser[own].tolist(), [evalica.Winner.X] * int(own.sum()))
        score[result.scores.index.to_numpy()] = np.log(result.scores.to_numpy() + 1e-12)
    return score[votes["a"]] - score[votes["b"]]


def choix_scores(winner: np.ndarray, loser: np.ndarray, votes: np.lib.npyio.NpzFile, size: int) -> np.ndarray:
    score = choix.ilsr_pairwise(size, list(zip(winner.tolist(), loser.tolist(), strict=True)), alpha=0.01)
    return score[votes["a"]] - score[votes["b"]]


if __name__ == "__main__":
    main()
