"""A user's program: Zoho's unmodified Python SDK 2.1 with an id and the delivered file.

Arguments: token endpoint, API domain, the file, the id in it. Prints the organization's name.
"""

import sys
from pathlib import Path

from zcrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zcrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zcrmsdk.src.com.zoho.api.logger import Logger
from zcrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zcrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zcrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zcrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

token_endpoint, api_domain, file, entry = sys.argv[1:]
folder = Path(file).parent
Initializer.initialize(
    user=UserSignature("anna@zylker.example"),
    environment=DataCenter.Environment(api_domain, token_endpoint, api_domain, "here"),
    token=OAuthToken(id=entry),
    store=FileStore(file),
    logger=Logger.get_instance(level=Logger.Levels.ERROR, file_path=str(folder / "sdk.log")),
    resource_path=str(folder),
)
organization = OrgOperations().get_organization().get_object().get_org()[0]
sys.stdout.write(f"{organization.get_company_name()}\n")
