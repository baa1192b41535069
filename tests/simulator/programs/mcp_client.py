"""A user's program: zoho-crm-mcp-server, asked by an MCP client over stdin and stdout.

Prints what two of its tools return: a search, and a list without `fields`.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

SEARCH = {"module": "Leads", "criteria": "(Last_Name:equals:Lovelace)"}


async def ask() -> None:
    server = StdioServerParameters(
        command=str(Path(sys.executable).with_name("zoho-crm-mcp")), env=dict(os.environ)
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        found = await session.call_tool("search_records", SEARCH)
        listed = await session.call_tool("get_leads", {})
        json.dump([found.content[0].text, listed.content[0].text], sys.stdout)


asyncio.run(ask())
