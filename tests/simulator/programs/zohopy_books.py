"""A user's program: zohopy reads and writes Zoho Books, at Zoho's own addresses."""

import json
import sys

from zohopy import SyncZohoClient, ZohoConfig
from zohopy.products.books import ZohoBooks

with SyncZohoClient(ZohoConfig()) as client:
    books = ZohoBooks(client)
    before = books.contacts.list()
    created = books.contacts.create({"contact_name": "Grace Hopper"})
    found = {
        "contacts": [each["contact_name"] for each in before["contacts"]],
        "created": created["contact"]["contact_name"],
        "items": len(books.items.list()["items"]),
        "invoices": len(books.invoices.list()["invoices"]),
    }
json.dump(found, sys.stdout)
