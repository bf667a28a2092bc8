"""The reward function that verl calls for every response: it asks Backstay's reward service.

Standard library only, since it runs where verl is installed and Backstay is not. BACKSTAY_REWARD_URL is the service's
address (default: http://127.0.0.1:8787), BACKSTAY_REWARD_TOKEN its token, if it has one.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

ATTEMPTS = 5
TIMEOUT_S = 120.0
PASSING = (429, 500, 502, 503, 504)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **_more: Any
) -> dict[str, float]:
    """The score of one response, with what is logged beside it; `ground_truth` is the prompt's id.

    Raises RuntimeError when the service gives none: a made-up score would be learned from.
    """
    del extra_info
    asked = {"data_source": data_source, "solution_str": solution_str, "ground_truth": ground_truth}
    found = _post(json.dumps(asked).encode())
    return {name: float(found[name]) for name in ("score", "ensemble_score", "spread", "cost", "gate")}


def _post(body: bytes) -> dict[str, float]:
    url = os.environ.get("BACKSTAY_REWARD_URL", "http://127.0.0.1:8787").rstrip("/") + "/verl"
    if not url.startswith(("http://", "https://")):
        raise RuntimeError(f"BACKSTAY_REWARD_URL is no address: {url}")
    headers = {"Content-Type": "application/json"}
    token = os.environ.get("BACKSTAY_REWARD_TOKEN", "")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    problem = ""
    for attempt in range(ATTEMPTS):
        request = urllib.request.Request(url, body, headers)  # noqa: S310  the scheme is checked above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  the scheme is checked above
                found: dict[str, float] = json.loads(answer.read(1 << 20))
                return found
        except urllib.error.HTTPError as error:
            problem = f"{error.code} {error.read(300).decode(errors='replace')}"
            error.close()
            if error.code not in PASSING:
                break
        except (OSError, ValueError) as error:
            problem = str(error)
        time.sleep(0.2 * 2**attempt)
    raise RuntimeError(f"no score from {url}: {problem}")
