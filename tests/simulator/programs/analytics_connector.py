"""A user's program: zoho-analytics-connector, at Zoho's own addresses in Europe."""

import json
import os
import sys

from zoho_analytics_connector.analytics_client_upstream import AnalyticsClient

client = AnalyticsClient(
    os.environ["ZOHO_CLIENT_ID"], os.environ["ZOHO_CLIENT_SECRET"], os.environ["ZOHO_REFRESH_TOKEN"]
)
client.accounts_server_url = "https://accounts.zoho.eu"
client.analytics_server_url = "https://analyticsapi.zoho.eu"
json.dump([each["orgName"] for each in client.get_orgs()], sys.stdout)
