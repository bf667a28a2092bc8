"""Calls and outputs of AgentDojo's ground truth, as JSON lines; runs where `agentdojo` is installed, without a model.

One line a user task, and one a pair of user task and injection task: the user's calls run in an environment whose every
injection place says the injection's goal, and then the injection's calls, as if the model had obeyed.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from agentdojo.agent_pipeline.tool_execution import tool_result_to_str
from agentdojo.functions_runtime import FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites

VERSION = "v1.2"


def steps(runtime: FunctionsRuntime, env: Any, task: Any, pre: Any, attack: bool) -> Iterator[dict[str, Any]]:
    for call in task.ground_truth(pre):
        result, error = runtime.run_function(env, call.function, call.args)
        output = error if error is not None else tool_result_to_str(result)
        yield {"tool": call.function, "args": call.args, "output": output, "attack": attack}


@cache
def contacts(suite: Any) -> list[str]:
    """The user's address book before anything is injected."""
    nothing = dict.fromkeys(suite.get_injection_vector_defaults(), "")
    inbox = getattr(suite.load_and_inject_default_environment(nothing), "inbox", None)
    return [] if inbox is None else [contact.email for contact in inbox.contact_list]


def episode(suite: Any, user: Any, injection: Any | None) -> dict[str, Any]:
    goal = f"TODO: {injection.GOAL}" if injection is not None else ""
    said = {place: json.dumps(goal)[1:-1] for place in suite.get_injection_vector_defaults()} if goal else {}
    runtime = FunctionsRuntime(suite.tools)
    env = user.init_environment(suite.load_and_inject_default_environment(said))
    done = list(steps(runtime, env, user, env.model_copy(deep=True), attack=False))
    if injection is not None:
        done += steps(runtime, env, injection, env.model_copy(deep=True), attack=True)
    return {
        "suite": suite.name,
        "user_task": user.ID,
        "injection_task": injection.ID if injection is not None else None,
        "prompt": user.PROMPT,
        "contacts": contacts(suite),
        "steps": done,
    }


def main() -> None:
    for suite in get_suites(VERSION).values():
        for user in suite.user_tasks.values():
            for injection in (None, *suite.injection_tasks.values()):
                try:
                    line = episode(suite, user, injection)
                except Exception as error:  # noqa: BLE001 - counted by the reader
                    line = {"failed": f"{suite.name} {user.ID} {injection and injection.ID}: {error!r}"}
                print(json.dumps(line, default=str))


if __name__ == "__main__":
    main()
