"""A user's program: Zoho's unmodified CRM SDK 2.1 for Python, at its own addresses.

Arguments: a folder. The credentials are in the environment, as the profile `dotenv` names them.
"""

import json
import os
import sys
from pathlib import Path

from zcrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zcrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zcrmsdk.src.com.zoho.api.logger import Logger
from zcrmsdk.src.com.zoho.crm.api.dc import EUDataCenter
from zcrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zcrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zcrmsdk.src.com.zoho.crm.api.record import RecordOperations
from zcrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

folder = Path(sys.argv[1])
Initializer.initialize(
    user=UserSignature("anna@zylker.example"),
    environment=EUDataCenter.PRODUCTION(),
    token=OAuthToken(
        client_id=os.environ["ZOHO_CLIENT_ID"],
        client_secret=os.environ["ZOHO_CLIENT_SECRET"],
        refresh_token=os.environ["ZOHO_REFRESH_TOKEN"],
    ),
    store=FileStore(str(folder / "tokens.txt")),
    logger=Logger.get_instance(level=Logger.Levels.ERROR, file_path=str(folder / "sdk.log")),
    resource_path=str(folder),
)
organization = OrgOperations().get_organization().get_object().get_org()[0]
leads = RecordOperations().get_records("Leads").get_object().get_data()
found = {
    "company": organization.get_company_name(),
    "lead": leads[0].get_key_value("Last_Name"),
}
json.dump(found, sys.stdout)
