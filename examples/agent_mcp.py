"""An agent with an MCP server and a function of its own. Needs `pip install 'ponder-llm[agent]' mcp-server-time`.

python examples/agent_mcp.py [MODEL]
"""

import asyncio
import sys

from ponder import LLM
from ponder.agent import Agent
from ponder.agent.loop.event import CallDone, CallStarted
from ponder.agent.mcp.servers import McpServers

TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone=UTC"], "approval": "auto"}


def days_between(earlier: int, later: int) -> int:
    """Days between two years, roughly."""
    return round((later - earlier) * 365.2425)


async def main() -> None:
    with LLM(*sys.argv[1:2]) as llm:
        async with Agent(llm, tools=[days_between, McpServers({"mcpServers": {"time": TIME}})]) as agent:
            run = agent.start("What time is it in UTC?")
            async for event in run:
                if isinstance(event, CallStarted | CallDone):
                    print(event)
            assert run.end is not None
            print(run.end.text)


asyncio.run(main())
