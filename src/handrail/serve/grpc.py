"""Open Inference over gRPC, on the gateway's own loop: a call goes the way that a request over HTTP goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import orjson

from handrail import __version__
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.values import quoted
from handrail.serve.api import Api, Version
from handrail.serve.app import App
from handrail.serve.failures import failure
from handrail.serve.formats import open_inference
from handrail.serve.formats import open_inference_messages as messages
from handrail.serve.formats.call import Call
from handrail.serve.http import REQUEST_ID, Later, Request, Response
from handrail.serve.limits import Limits, Refused, no_room

CODES: Final = {
    "usage": grpc.StatusCode.INVALID_ARGUMENT,
    "data": grpc.StatusCode.INVALID_ARGUMENT,
    "media_type": grpc.StatusCode.INVALID_ARGUMENT,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "unauthorized": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "overloaded": grpc.StatusCode.UNAVAILABLE,
    "environment": grpc.StatusCode.UNAVAILABLE,
    "timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
}
# What a caller's metadata may say; the rest is not looked at.
HEADERS: Final = ("authorization", "traceparent", "x-request-id")
# A door closes when no call came for so long. Where that does not happen by itself, new calls are refused.
LULL_S: Final = 0.05
REFUSES_AFTER_S: Final = 1.0
Message = Any


@dataclass(frozen=True)
class Method:
    """What is done for one method of the service; `policy` is a route's (see `routes.Route`)."""

    policy: str
    answer: Callable[[Message, Request], Response | Later]


class Door:
    """The gRPC server of one gateway: opened at an address, closed when what is in flight is answered."""

    def __init__(self, app: App, request_id: Callable[[], bytes]) -> None:
        self._app = app
        self._request_id = request_id
        # A message is of unknown length until it is whole, so few are read at a time: memory has a bound.
        self._reading = asyncio.Semaphore(app.limits.max_large_bodies)
        self._large_bodies = 0
        self._calls = self._begun = 0
        self._refuses = False
        self._server = grpc.aio.server(options=_options(app.limits), maximum_concurrent_rpcs=app.limits.max_connections)
        # On the wire a call of one message is a stream of one; so its caller is known before the message is read.
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(self._handling(name, method))
            for name, method in _methods(app).items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(messages.SERVICE, handlers),))

    async def open(self, address: str, tls: tuple[Path, Path] | None) -> None:
        """Raises HandrailError for an address that is taken."""
        try:
            if tls is None:
                self._server.add_insecure_port(address)
            else:
                certificate, key = (path.read_bytes() for path in tls)
                self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        except RuntimeError:
            problem = f"gRPC cannot listen on {address}"
            raise HandrailError("environment", problem, "choose another port: --grpc-port 8001") from None
        await self._server.start()

    async def close(self, grace_s: float, at_once: asyncio.Event) -> None:
        """Answers what is in flight, then says goodbye: all of it within so long, or until `at_once`.

        Goodbye is said when no call is open: a connection that ends with its last answer ends before the client has
        read it, and what the client says meanwhile makes the kernel throw the rest away. One without calls ends when
        the client has replied to the goodbye, which it reads after all answers. A call that crosses the goodbye is
        cancelled, so there is a lull before.
        """
        hurry = asyncio.create_task(at_once.wait())
        leaving = asyncio.create_task(self._leave(grace_s))
        await asyncio.wait([leaving, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        leaving.cancel()
        await self._server.stop(None)

    async def _leave(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        since, until = loop.time(), loop.time() + grace_s
        while loop.time() < until:
            begun = self._begun
            await asyncio.sleep(LULL_S)
            if not self._calls and self._begun == begun:
                break
            self._refuses = loop.time() > since + REFUSES_AFTER_S
        await self._server.stop(max(0.0, until - loop.time()))

    def _begins(self, context: Any) -> None:
        """One call more; it is over when all of its answer is written."""
        self._calls += 1
        self._begun += 1
        context.add_done_callback(self._ended)

    def _ended(self, context: Any) -> None:
        self._calls -= 1

    def _handling(self, name: str, method: Method) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes]]:
        async def handle(arriving: AsyncIterator[bytes], context: Any) -> bytes:
            self._begins(context)
            request = self._request(name, context)
            response = await self._answered(name, method, request, arriving)
            self._app.answered(request, response)
            trailers = [("x-request-id", request.id.decode())]
            if response.status != 200:
                await context.abort(*_status(response), trailing_metadata=(*trailers, *_again(response)))
            context.set_trailing_metadata(trailers)
            return response.body

        return handle

    def _request(self, name: str, context: Any) -> Request:
        """The call as a request over HTTP would be: what the guard, the deadline and the log look at."""
        given = context.invocation_metadata() or ()
        headers = {key.encode(): value.encode() for key, value in given if key in HEADERS and isinstance(value, str)}
        if (left_s := context.time_remaining()) is not None:
            headers[b"x-deadline-ms"] = b"%d" % max(1, min(left_s * 1000, 1e9))
        asked = headers.get(b"x-request-id", b"")
        request_id = asked if REQUEST_ID.fullmatch(asked) else self._request_id()
        path = f"/{messages.SERVICE}/{name}"
        return Request("POST", path, b"", headers, b"", context.peer(), request_id, time.perf_counter())

    async def _answered(self, name: str, method: Method, request: Request, arriving: AsyncIterator[bytes]) -> Response:
        held = False
        try:
            if self._refuses:
                raise no_room("this server is stopping")
            self._app.guard.admit(request, method.policy)
            request.body = await self._read(arriving)
            held = self._hold(request.body)
            answer = method.answer(await _parsed(f"{name}Request", request.body, large=held), request)
            return await _waited(answer) if isinstance(answer, Later) else answer
        except Exception as error:
            return failure(error, request.id)
        finally:
            self._large_bodies -= held

    async def _read(self, arriving: AsyncIterator[bytes]) -> bytes:
        """The one message of a call. Raises Refused where it does not come, or not in time."""
        try:
            async with self._reading, asyncio.timeout(self._app.limits.body_timeout_s):
                return await anext(arriving)
        except TimeoutError:
            error = HandrailError("timeout", "the message did not arrive in time", "send it faster")
            raise Refused(408, error) from None
        except StopAsyncIteration:
            raise HandrailError("usage", "no message came in", "send one") from None

    def _hold(self, body: bytes) -> bool:
        """True for a large body, of which only some are held at a time."""
        limits = self._app.limits
        if len(body) <= limits.large_body_bytes:
            return False
        if self._large_bodies >= limits.max_large_bodies:
            raise no_room("too many large bodies at a time", "try again, or send fewer rows")
        self._large_bodies += 1
        return True


async def _parsed(name: str, content: bytes, *, large: bool) -> Message:
    """The message; a large one is read beside the event loop, so that short ones pass meanwhile."""
    return await asyncio.to_thread(messages.parsed, name, content) if large else messages.parsed(name, content)


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", limits.max_head_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_head_bytes),
        ("grpc.max_concurrent_streams", limits.max_connections),
        # Another server on the same port would take half of the calls.
        ("grpc.so_reuseport", 0),
    ]


def _methods(app: App) -> dict[str, Method]:
    apis = app.apis

    def server(message: Message, request: Request) -> Response:
        return _reply("ServerMetadataResponse", **open_inference.server(__version__))

    def live(message: Message, request: Request) -> Response:
        return _reply("ServerLiveResponse", live=True)

    def ready(message: Message, request: Request) -> Response:
        return _reply("ServerReadyResponse", ready=all(api.is_ready for api in apis.values()))

    def model_ready(message: Message, request: Request) -> Response:
        _, version = _chosen(apis, message.name, message.version)
        return _reply("ModelReadyResponse", ready=version.pool.is_ready)

    def metadata(message: Message, request: Request) -> Response:
        return _response(messages.metadata(*_chosen(apis, message.name, message.version)))

    def index(message: Message, request: Request) -> Response:
        found = open_inference.index(apis.values())
        models = [one for one in found if one["state"] == "READY" or not message.ready]
        return _reply("RepositoryIndexResponse", models=models)

    def infer(message: Message, request: Request) -> Later:
        def read(request: Request, version: Version, limits: Limits) -> Call:
            return messages.call_of(message, version, limits)

        api, _ = _chosen(apis, message.model_name, message.model_version)
        return app.predict(request, api.chosen(message.model_version or None, request), read)

    return {
        "ServerLive": Method("anyone", live),
        "ServerReady": Method("anyone", ready),
        "ServerMetadata": Method("reader", server),
        "ModelReady": Method("reader", model_ready),
        "ModelMetadata": Method("reader", metadata),
        "RepositoryIndex": Method("reader", index),
        "ModelInfer": Method("caller", infer),
    }


def _chosen(apis: Mapping[str, Api], name: str, number: str) -> tuple[Api, Version]:
    """The model called so, and its version with that number, the current one where there is no number."""
    api = apis.get(name)
    if api is None:
        mend = did_you_mean(name, apis).strip() or f"served: {listed(apis)}"
        raise HandrailError("not_found", f"no model called {quoted(name)} is served", mend)
    return api, api.chosen(number or None)


def _reply(message: str, /, **fields: Any) -> Response:
    return _response(messages.message_class(message)(**fields))


def _response(message: Message) -> Response:
    return Response(message.SerializeToString(), b"application/grpc")


async def _waited(later: Later) -> Response:
    """The response of an answer that is not there yet; a caller that leaves takes the question back."""
    found: list[Response] = []
    later.future.add_done_callback(lambda done: found.append(later.finish(done)))
    try:
        await asyncio.wait([later.future])
    except asyncio.CancelledError:
        later.future.cancel()
        raise
    return found[0]


def _status(response: Response) -> tuple[grpc.StatusCode, str]:
    """An error's code and words: what the body of the same error over HTTP says."""
    error = orjson.loads(response.body)["error"]
    return CODES.get(error["code"], grpc.StatusCode.INTERNAL), f"{error['message']}\nhint: {error['hint']}"


def _again(response: Response) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in response.headers if name == b"retry-after"]
