"""A user's program: one of Zoho's unmodified CRM SDKs for Python, 6.0 to 8.0, at its own addresses.

Arguments: the delivered file, the id in it. Prints what it read, and the record it created.
"""

import json
import sys
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore
from zohocrmsdk.src.com.zoho.crm.api import HeaderMap
from zohocrmsdk.src.com.zoho.crm.api.dc import EUDataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.parameter_map import ParameterMap
from zohocrmsdk.src.com.zoho.crm.api.record import (
    BodyWrapper,
    Field,
    GetRecordsParam,
    Record,
    RecordOperations,
)

file, entry = sys.argv[1:]
Initializer.initialize(
    environment=EUDataCenter.PRODUCTION(),
    token=OAuthToken(id=entry, find_user=False),
    store=FileStore(file),
    resource_path=str(Path(file).parent),
)
organization = OrgOperations().get_organization().get_object().get_org()[0]
wanted = ParameterMap()
wanted.add(GetRecordsParam.fields, "Last_Name,Company")
leads = RecordOperations("Leads").get_records(wanted).get_object().get_data()

record = Record()
record.add_field_value(Field.Leads.last_name(), "Hopper")
record.add_field_value(Field.Leads.company(), "Flow-Matic")
body = BodyWrapper()
body.set_data([record])
created = RecordOperations("Leads").create_records(body, HeaderMap())
found = {
    "company": organization.get_company_name(),
    "lead": leads[0].get_key_value("Last_Name"),
    "created": created.get_object().get_data()[0].get_code().get_value(),
}
json.dump(found, sys.stdout)
