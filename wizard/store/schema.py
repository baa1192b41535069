"""The tables, one definition each.

A column of secrets is a ``LargeBinary`` that the vault sealed; nothing else in the database is
secret.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from wizard.model import AskKind, AttemptState, GrantState, Mode, RungState, SecretState
from wizard.store.columns import ACCOUNT, EVIDENCE, FAILURE, ORGANIZATIONS, Choice, Moment, Words

metadata = MetaData()

house = Table(
    "house",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("mark", Text, nullable=False),
    Column("key_check", LargeBinary, nullable=False),
    Column("backed_up_at", Moment),
    # Moved to another home: two homes that refresh one grant would drain its budget twice.
    Column("retired_at", Moment),
    Column("watched_at", Moment),
    Column("told", EVIDENCE),
    Column("notify", LargeBinary),
    Column("notify_failed_at", Moment),
    Column("notify_failure", FAILURE),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("location", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("common_secret", Boolean, nullable=False),
    Column("registered_by", Text, nullable=False),
    Column("created_at", Moment),
)

client_secrets = Table(
    "client_secrets",
    metadata,
    Column("client_id", ForeignKey(clients.c.client_id, ondelete="CASCADE"), primary_key=True),
    Column("location", Text, primary_key=True),
    Column("state", Choice(SecretState), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("client_id", ForeignKey(clients.c.client_id), nullable=False, index=True),
    Column("scope", Words, nullable=False),
    Column("location", Text),
    Column("generation", Integer, nullable=False, index=True),
    # Generations are never used twice: a cached access token is bound to the one it came from.
    Column("last_generation", Integer, nullable=False),
    Column("presets", Words, nullable=False),
    Column("created_at", Moment),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "connection", ForeignKey(connections.c.name, ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("client_id", Text, nullable=False),
    Column("mode", Choice(Mode), nullable=False),
    Column("state", Choice(AttemptState), nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("authorization_endpoint", Text, nullable=False),
    Column("token_endpoint", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("oauth_state", LargeBinary, nullable=False),
    Column("oauth_state_hash", Text, nullable=False, unique=True),
    Column("code_verifier", LargeBinary, nullable=False),
    Column("binding", Text, nullable=False),
    Column("wrong_tries", Integer, nullable=False),
    Column("generation", Integer),
    Column("failure", FAILURE),
)

grants = Table(
    "grants",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("client_id", Text, nullable=False, index=True),
    Column("refresh_token", LargeBinary, nullable=False),
    Column("scope", Words, nullable=False),
    Column("location", Text, nullable=False),
    Column("state", Choice(GrantState), nullable=False, index=True),
    Column("granted_at", Moment, nullable=False),
    Column("account", ACCOUNT),
    Column("organizations", ORGANIZATIONS, nullable=False),
    Column("failure", FAILURE),
    Column("rotated_at", Moment),
)

receipts = Table(
    "receipts",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    ForeignKeyConstraint(
        ["connection", "generation"], [grants.c.connection, grants.c.generation], ondelete="CASCADE"
    ),
)

rungs = Table(
    "rungs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("connection", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Choice(RungState), nullable=False, index=True),
    Column("evidence", EVIDENCE, nullable=False),
    Column("at", Moment, nullable=False),
    Column("failure", FAILURE),
    UniqueConstraint("connection", "generation", "name"),
    ForeignKeyConstraint(
        ["connection", "generation"],
        [receipts.c.connection, receipts.c.generation],
        ondelete="CASCADE",
    ),
)

# The ledger and the history outlive the connections they tell of: no foreign keys.
asks = Table(
    "asks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Choice(AskKind), nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("zuid", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("retry_at", Moment),
    Index("ix_asks_client_at", "client_id", "at"),
    Index("ix_asks_connection_at", "connection", "at"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("connection", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("details", EVIDENCE, nullable=False),
)

rejected = Table(
    "rejected",
    metadata,
    Column("fingerprint", Text, primary_key=True),
)

destinations = Table(
    "destinations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "connection", ForeignKey(connections.c.name, ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("profile", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("names", EVIDENCE, nullable=False),
    Column("reload", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("delivered_at", Moment),
    Column("in_use_at", Moment),
    Column("written", Text, nullable=False),
    Column("failure", FAILURE),
    Column("before_generation", Integer, nullable=False),
    Column("before", LargeBinary),
    Column("token_digest", Text),
    UniqueConstraint("connection", "target", "entry"),
)

allowances = Table(
    "allowances",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("uid", Integer, primary_key=True),
    Column("user", Text, nullable=False),
    Column("allowed_at", Moment, nullable=False),
)

# Outlives a new access token: what was rejected once is never cached again.
rejections = Table(
    "rejections",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("forced_at", Moment),
)

twins = Table(
    "twins",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("made_on", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
)

repairs = Table(
    "repairs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("begun_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("paused", Boolean, nullable=False),
)

repair_lines = Table(
    "repair_lines",
    metadata,
    Column("repair", ForeignKey(repairs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("before", Integer, nullable=False),
    Column("begun_at", Moment, nullable=False),
    Column("scope", Words, nullable=False),
    Column("accept", Text, nullable=False),
    Column("grace", Integer, nullable=False),
    Column("skipped", Boolean, nullable=False),
)
