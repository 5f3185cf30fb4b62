"""What time it is: models do not know."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ponder.agent.tools.function_tool import function_tool
from ponder.core.errors import UserError


def now(timezone: str = "") -> str:
    """Tell the current date, weekday and time.

    timezone: an IANA name such as Asia/Shanghai; empty is that of this machine.
    """
    try:
        moment = datetime.now(ZoneInfo(timezone)) if timezone else datetime.now().astimezone()
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise UserError(f"there is no time zone {timezone!r}; give an IANA name such as Europe/Berlin or UTC") from e
    return moment.strftime("%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)")


current_time = function_tool(now, name="current_time")
