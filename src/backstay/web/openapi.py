"""openapi.json: what FastAPI finds out by itself, and who may call what."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from backstay.web.api.examples import EXAMPLES
from backstay.web.gate import CSRF_HEADER, SAFE, Allowed

Json = dict[str, Any]
PREFIX = "/api/"


def operation_id(route: APIRoute) -> str:
    """The name of the function: it stays when the path changes."""
    return route.name


def install_openapi(app: FastAPI, routers: Sequence[APIRouter], cookie: str) -> None:
    """Have the application describe the API of these routers: ways of signing in, permissions and examples as well."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    def described() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, routes, cookie)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend the description


def permissions_of(route: APIRoute) -> tuple[str, ...] | None:
    """One of these permissions is needed; None for a route that is open to everybody."""
    gates = [found.call for found in route.dependant.dependencies if isinstance(found.call, Allowed)]
    return tuple(str(permission) for permission in gates[0].permissions) if gates else None


def _described(app: FastAPI, routes: Sequence[APIRoute], cookie: str) -> Json:
    schema: Json = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema["paths"] = {path: found for path, found in schema["paths"].items() if path.startswith(PREFIX)}
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API token."},
        "session": {"type": "apiKey", "in": "cookie", "name": cookie, "description": "A browser that is signed in."},
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "What a page of the console has in <meta name=csrf>; with the cookie only.",
        },
    }
    for name, example in EXAMPLES.items():
        schema["components"]["schemas"][name]["examples"] = [example]
    for route in routes:
        for method in (route.methods or ()) if route.path_format in schema["paths"] else ():
            _secure(schema["paths"][route.path_format][method.lower()], method, permissions_of(route))
    return schema


def _secure(operation: Json, method: str, permissions: tuple[str, ...] | None) -> None:
    if permissions is None:
        operation["security"] = []
        return
    by_cookie: Json = {"session": []} if method in SAFE else {"session": [], "csrf": []}
    operation["security"] = [{"bearer": []}, by_cookie]
    operation["x-permissions"] = sorted(permissions)
