"""A user's program: Zoho's unmodified Python SDK with an id and the delivered file.

Arguments: token endpoint, API domain, the file, the id in it. Prints the organization's name.
"""

import sys
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig

token_endpoint, api_domain, file, entry = sys.argv[1:]
Initializer.initialize(
    environment=DataCenter.Environment(api_domain, token_endpoint, api_domain),
    token=OAuthToken(id=entry, find_user=False),
    store=FileStore(file),
    sdk_config=SDKConfig(update_api_domain=False),
    resource_path=str(Path(file).parent),
)
organization = OrgOperations().get_organization().get_object().get_org()[0]
sys.stdout.write(f"{organization.get_company_name()}\n")
