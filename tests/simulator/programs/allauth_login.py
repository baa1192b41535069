"""A user's program: a Django site where people sign in with Zoho, by django-allauth.

A browser's part is Django's test client, and the consent is given through the simulator's controls.
Arguments: client id, client secret, the user's email address.
"""

import json
import os
import sys
import urllib.request
from urllib.parse import urlsplit

import django
from django.conf import settings

client_id, secret, email = sys.argv[1:]
settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF="allauth.urls",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.zoho",
    ],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    SOCIALACCOUNT_LOGIN_ON_GET=True,
    SOCIALACCOUNT_PROVIDERS={"zoho": {"APPS": [{"client_id": client_id, "secret": secret}]}},
    LOGIN_REDIRECT_URL="/done/",
    EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402 - after the settings
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

call_command("migrate", verbosity=0)
browser = Client(SERVER_NAME="localhost", SERVER_PORT="8000")
asked = browser.get("/zoho/login/").headers["Location"]
control = f"{os.environ['ZOHO_WIZARD_SIMULATOR_URL']}/_simulator/controls/authorize"
body = json.dumps({"url": asked, "email": email}).encode()
headers = {"Content-Type": "application/json"}
with urllib.request.urlopen(urllib.request.Request(control, body, headers)) as answer:
    callback = urlsplit(json.loads(answer.read()))
done = browser.get(f"{callback.path}?{callback.query}")
json.dump(
    {
        "to": done.headers.get("Location"),
        "users": list(User.objects.values_list("email", flat=True)),
    },
    sys.stdout,
)
