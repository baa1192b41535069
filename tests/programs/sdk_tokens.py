"""A user's program: Zoho's unmodified Python SDK 8 with the printed module as its token store.

Arguments: token endpoint, API domain, a folder. Prints the organization's name, asked for twice.
"""

import json
import sys

from zoho_tokens import AccessTokens
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig

token_endpoint, api_domain, folder = sys.argv[1:]
Initializer.initialize(
    environment=DataCenter.Environment(api_domain, token_endpoint, api_domain),
    token=OAuthToken(id="crm", find_user=False),
    store=AccessTokens().sdk_store(),
    sdk_config=SDKConfig(update_api_domain=False),
    resource_path=folder,
)
names = [
    OrgOperations().get_organization().get_object().get_org()[0].get_company_name()
    for _ in range(2)
]
json.dump(names, sys.stdout)
