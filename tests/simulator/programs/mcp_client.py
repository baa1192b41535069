"""A user's program: an unmodified MCP server, asked by an MCP client over stdin and stdout.

Arguments: the server's command, and a JSON list of tools with their arguments. Prints what each
tool returned.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

command, calls = sys.argv[1], json.loads(sys.argv[2])


async def ask() -> None:
    program, *options = command.split()
    server = StdioServerParameters(
        command=str(Path(sys.executable).with_name(program)), args=options, env=dict(os.environ)
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        answers = [await session.call_tool(name, arguments) for name, arguments in calls]
        json.dump([each.content[0].text for each in answers], sys.stdout)


asyncio.run(ask())
