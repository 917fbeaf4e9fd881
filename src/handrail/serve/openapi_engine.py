"""What the engine adds to the OpenAPI document: user code, right answers, what is watched, promised requests, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handrail.serve.openapi_parts import ALWAYS, NAMING, PREDICTING, TEXT, body_of, json_of, list_of, object_of
from handrail.serve.openapi_parts import operation_of as operation

Json = dict[str, Any]
About = Mapping[str, Json]
ID: Final = {"name": "id", "in": "path", "required": True, "schema": {**TEXT, "pattern": "^[0-9a-f]{16,32}$"}}
ANYTHING: Final[Json] = {"*/*": {"schema": {}}}
WHOLE: Final[Json] = {"type": "integer", "minimum": 0}
ANY: Final[Json] = {"type": "object"}


def code_asked(name: str) -> About:
    """Asking user code: whatever it reads and answers."""
    asked = operation(
        "Asks the code of this API", name, ANYTHING, statuses=PREDICTING,
        requestBody={"required": False, "content": ANYTHING},
        description="Body, kind and status are the code's own; it may also get the query and the headers.",
    )  # fmt: skip
    asked["responses"]["default"] = {"description": "What the code answers", "content": ANYTHING}
    return {"POST": asked}


def code_described(name: str) -> About:
    """What an API of user code says of itself."""
    told = object_of(name=TEXT, version={"type": "integer"}, task=TEXT, predict=TEXT)
    return {"GET": operation("What this API is", name, json_of(told), statuses=NAMING), **code_asked(name)}


def also_asked(name: str) -> About:
    """A model that is asked at its name."""
    asked = operation(f"The same as /{name}/predict: Cortex's clients ask here", name, ANYTHING, statuses=PREDICTING,
                      requestBody=body_of(ANYTHING))  # fmt: skip
    return {"POST": asked}


def shared_out(name: str) -> About:
    """An API that hands requests to others."""
    told = object_of(name=TEXT, kind=TEXT, apis=list_of(ANY))
    return {"GET": operation("Which APIs share the traffic", name, json_of(told), statuses=NAMING), **code_asked(name)}


def feedback_taken(name: str) -> About:
    """Right answers, by the id of a request."""
    right = object_of(id={**TEXT, "minLength": 1, "maxLength": 64}, answer={})
    right["properties"]["row"] = {"type": ["integer", "null"], "minimum": 1}
    right["additionalProperties"] = False
    table = {"schema": {**TEXT, "description": "With the columns request_id and answer (and row)"}}
    asked = {**json_of({"anyOf": [right, list_of(right, minItems=1)]}), "text/csv": table}
    kept = object_of(accepted=WHOLE, unknown=list_of(TEXT), unknown_count=WHOLE)
    about = "The id is the header x-request-id of an answer; row is 1 for the first row of a request with several."
    return {"POST": operation(
        "Tells what the right answers were", name, json_of(kept), statuses=PREDICTING, requestBody=body_of(asked),
        description=about,
    )}  # fmt: skip


def monitoring_told(name: str) -> About:
    """What is known of the answers of an API."""
    return {"GET": operation("Counts, drift and live accuracy", name, json_of(ANY), statuses=NAMING)}


def request_looked_at(name: str) -> About:
    """A request that was promised an answer."""
    states = {**TEXT, "description": "in_queue, in_progress, completed or failed"}
    told = object_of(id=TEXT, status=states, timestamp=TEXT)
    told["properties"]["result"] = {}
    summary = "A request that is answered later: how it stands, and its answer"
    return {"GET": operation(summary, name, json_of(told), statuses=NAMING, parameters=[ID])}


def promised(name: str) -> About:
    """An API that promises by itself."""
    asked = operation("Promises an answer", name, json_of(object_of(id=TEXT)), statuses=PREDICTING,
                      requestBody={"required": False, "content": ANYTHING})  # fmt: skip
    asked["responses"]["202"] = asked["responses"].pop("200")
    return {"POST": asked}


def jobs_taken(name: str, what: str) -> About:
    """Where jobs are handed in, listed and stopped; `what` they are."""
    return {
        "POST": operation(f"Hands in a {what}", name, json_of(ANY), statuses=PREDICTING,
                          requestBody=body_of(json_of(ANY))),
        "GET": operation(f"Each {what}, or, with jobID, how one stands", name, json_of(ANY), statuses=NAMING,
                         parameters=[_JOB]),
        "DELETE": operation(f"Stops a {what}", name, json_of(object_of(message=TEXT)), statuses=NAMING,
                            parameters=[_JOB]),
    }  # fmt: skip


def job_looked_at(name: str, what: str) -> About:
    """One job, by the id in the path."""
    return {
        "GET": operation(f"How a {what} stands", name, json_of(object_of(job_status=ANY, endpoint=TEXT)),
                         statuses=NAMING, parameters=[ID]),
        "DELETE": operation(f"Stops a {what}", name, json_of(object_of(message=TEXT)), statuses=NAMING,
                            parameters=[ID]),
    }  # fmt: skip


def results_fetched(name: str, what: str) -> About:
    """A file that a batch wrote."""
    lines = {"text/csv": {"schema": TEXT}, "application/x-ndjson": {"schema": TEXT}}
    return {"GET": operation(what, name, lines, statuses=(*ALWAYS, "404", "409"), parameters=[ID])}


_JOB: Final[Json] = {"name": "jobID", "in": "query", "required": False, "schema": TEXT}
