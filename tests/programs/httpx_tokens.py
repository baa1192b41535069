"""A user's program: httpx with the printed module, with and without async.

Arguments: the URL to read. Prints the statuses.
"""

import asyncio
import json
import sys

import httpx
from zoho_tokens import AccessTokens

(url,) = sys.argv[1:]
tokens = AccessTokens()


async def read() -> int:
    async with httpx.AsyncClient(auth=tokens.httpx_auth("crm")) as client:
        response = await client.get(url)
        return int(response.status_code)


with httpx.Client(auth=tokens.httpx_auth("crm")) as client:
    statuses = [client.get(url).status_code, asyncio.run(read())]
json.dump(statuses, sys.stdout)
