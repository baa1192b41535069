"""A user's program: Zoho's unmodified CRM SDK reads the organization and a lead.

It knows only the addresses of a simulated data center, through the SDK's own extension point.
Arguments: accounts server, API domain, client id, client secret, refresh token, folder.
"""

import json
import sys
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.parameter_map import ParameterMap
from zohocrmsdk.src.com.zoho.crm.api.record import GetRecordsParam, RecordOperations
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig
from zohocrmsdk.src.com.zoho.crm.api.users import GetUsersParam, UsersOperations

accounts_server, api_domain, client_id, client_secret, refresh_token, folder = sys.argv[1:]
Initializer.initialize(
    environment=DataCenter.Environment(api_domain, f"{accounts_server}/oauth/v2/token", api_domain),
    token=OAuthToken(
        client_id=client_id,
        client_secret=client_secret,
        refresh_token=refresh_token,
        find_user=False,
    ),
    store=FileStore(str(Path(folder, "tokens.csv"))),
    sdk_config=SDKConfig(update_api_domain=False),
    resource_path=folder,
)
organization = OrgOperations().get_organization().get_object().get_org()[0]
current = ParameterMap()
current.add(GetUsersParam.type, "CurrentUser")
user = UsersOperations().get_users(current).get_object().get_users()[0]
wanted = ParameterMap()
wanted.add(GetRecordsParam.fields, "Last_Name,Company")
lead = RecordOperations("Leads").get_records(wanted).get_object().get_data()[0]
found = {
    "company": organization.get_company_name(),
    "email": user.get_email(),
    "lead": lead.get_key_value("Last_Name"),
}
json.dump(found, sys.stdout)
