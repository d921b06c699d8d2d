"""The accounts of a server that has them (`multiuser: true` in its invokeai.yaml)."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from invokeai_gen.server.answers import at, flag, ignored, list_of, text
from invokeai_gen.server.credentials import Secret, checked_token
from invokeai_gen.server.facades import AsyncPart, Facade, facade
from invokeai_gen.server.http import segment
from invokeai_gen.server.records import ServerRecord
from invokeai_gen.server.removal import delete_thing
from invokeai_gen.server.status_errors import UnsupportedByServerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(ServerRecord):
    """An account of a server that has accounts."""

    user_id: str
    email: str
    display_name: str | None = None
    is_admin: bool = False
    is_active: bool = True
    created_at: datetime | None = None
    last_login_at: datetime | None = None


class AsyncAccounts(AsyncPart):
    """The accounts of one server. On a server without accounts most methods raise `ForbiddenError`."""

    async def are_enabled(self) -> bool:
        """Return whether the server has accounts, so that requests take a token."""
        try:
            return await self._transport.get("/api/v1/auth/status", read=at("multiuser_enabled", flag))
        except UnsupportedByServerError:  # before 6.12
            return False

    async def login(self, email: str, password: str, *, remember: bool = False) -> None:
        """Log in; later requests of this client carry the token that the server returns.

        `remember` asks for a token that lives longer. Raises `UnauthorizedError` for a wrong password and
        `ForbiddenError` on a server without accounts.
        """
        password = Secret(password)
        body = {"email": email, "password": password, "remember_me": remember}
        token = await self._transport.send(
            "POST", "/api/v1/auth/login", json=body, read=lambda data: Secret(at("token", text)(data))
        )
        self._transport.token = checked_token(token)

    async def logout(self) -> None:
        """Log out on the server; later requests of this client carry no token."""
        await self._transport.send("POST", "/api/v1/auth/logout", read=ignored)
        self._transport.token = None

    async def me(self) -> Account:
        """Return the account of this client's token. Raises `UnauthorizedError`."""
        return await self._transport.get("/api/v1/auth/me", read=Account.of)

    async def update_me(
        self, *, display_name: str | None = None, current_password: str | None = None, new_password: str | None = None
    ) -> Account:
        """Change the own name, or the password, which takes the current one."""
        current_password, new_password = _hidden(current_password), _hidden(new_password)
        body = _given(display_name=display_name, current_password=current_password, new_password=new_password)
        return await self._transport.send("PATCH", "/api/v1/auth/me", json=body, read=Account.of)

    async def list(self) -> builtins.list[Account]:
        """Return all accounts. Only for administrators."""
        return await self._transport.get("/api/v1/auth/users", read=list_of(Account.of))

    async def get(self, user_id: str) -> Account:
        """Return one account. Only for administrators. Raises `NotFoundError`."""
        return await self._transport.get(_path(user_id), read=Account.of)

    async def create(
        self, email: str, password: str, *, display_name: str | None = None, is_admin: bool = False
    ) -> Account:
        """Create an account. Only for administrators."""
        password = Secret(password)
        body = {"email": email, "password": password, "display_name": display_name, "is_admin": is_admin}
        return await self._transport.send("POST", "/api/v1/auth/users", json=body, read=Account.of)

    async def update(
        self,
        user_id: str,
        *,
        display_name: str | None = None,
        password: str | None = None,
        is_admin: bool | None = None,
        is_active: bool | None = None,
    ) -> Account:
        """Change an account; `None` leaves a property as it is. Only for administrators. Raises `NotFoundError`."""
        password = _hidden(password)
        body = _given(display_name=display_name, password=password, is_admin=is_admin, is_active=is_active)
        return await self._transport.send("PATCH", _path(user_id), json=body, read=Account.of)

    async def delete(self, user_id: str) -> None:
        """Delete an account. Only for administrators. Raises `NotFoundError`."""
        await delete_thing(self._transport, _path(user_id), read=ignored, gone=None)


class Accounts(Facade[AsyncAccounts]):
    """The accounts of one server. On a server without accounts most methods raise `ForbiddenError`."""

    are_enabled = facade(AsyncAccounts.are_enabled)
    login = facade(AsyncAccounts.login)
    logout = facade(AsyncAccounts.logout)
    me = facade(AsyncAccounts.me)
    update_me = facade(AsyncAccounts.update_me)
    list = facade(AsyncAccounts.list)
    get = facade(AsyncAccounts.get)
    create = facade(AsyncAccounts.create)
    update = facade(AsyncAccounts.update)
    delete = facade(AsyncAccounts.delete)


def _hidden(password: str | None) -> Secret | None:
    """Return the password, hidden among the variables of a traceback."""
    return None if password is None else Secret(password)


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _path(user_id: str) -> str:
    return f"/api/v1/auth/users/{segment(user_id)}"
