"""GET /v1/usage: what the one who asks has used, and of whom; admins see everybody."""

from msgspec import Struct
from starlette.requests import Request

from ponder.core.client import CLIENT
from ponder.server.accounts.usage import Used
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service


class UsageReply(Struct, frozen=True):
    """name: "" where there are no keys. limits: of a day, None for none. days: newest first."""

    name: str
    admin: bool
    requests_per_day: int | None
    tokens_per_day: int | None
    days: list[Used]


@bodyless
async def usage(request: Request, service: Service) -> UsageReply:
    name, keyring, counted = CLIENT.get(), service.admission.keyring, service.admission.usage
    admin, account = keyring.is_admin(name), keyring.account(name)
    days = await service.lanes.store.run(lambda: counted.days(None if admin else name) if counted else [])
    limits = (None, None) if account is None else (account.requests_per_day, account.tokens_per_day)
    return UsageReply(name, admin, *limits, days)
