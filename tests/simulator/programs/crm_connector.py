"""A user's program: zoho-crm-connector, at Zoho's own addresses.

Arguments: a folder. The credentials are in the environment, as the profile `dotenv` names them.
"""

import json
import os
import sys
from pathlib import Path

from zoho_crm_connector import Zoho_crm

crm = Zoho_crm(
    refresh_token=os.environ["ZOHO_REFRESH_TOKEN"],
    client_id=os.environ["ZOHO_CLIENT_ID"],
    client_secret=os.environ["ZOHO_CLIENT_SECRET"],
    token_file_dir=Path(sys.argv[1]),
    base_url="https://www.zohoapis.eu/crm/v2/",
    hosting=".EU",
)
leads = [lead for page in crm.yield_page_from_module("Leads") for lead in page]
is_created, created = crm.upsert_zoho_module(
    "Leads", {"data": [{"Last_Name": "Hopper", "Company": "Flow-Matic"}]}
)
pages = crm.yield_page_from_module("Leads", criteria="(Last_Name:equals:Hopper)")
found = [lead["Company"] for page in pages for lead in page]
is_deleted, _ = crm.delete_from_module("Leads", created["id"])
shown = {
    "leads": [lead["Last_Name"] for lead in leads],
    "user": crm.get_users()["users"][0]["email"],
    "found": found,
    "changes": [is_created, is_deleted],
}
json.dump(shown, sys.stdout)
