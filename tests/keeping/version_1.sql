-- The database as version 1 made it; never to be edited: people have such files.

CREATE TABLE house (
    id INTEGER NOT NULL CHECK (id = 1),
    mark TEXT NOT NULL,
    key_check BLOB NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE clients (
    client_id TEXT NOT NULL,
    name TEXT NOT NULL,
    location TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    common_secret BOOLEAN NOT NULL,
    registered_by TEXT NOT NULL,
    created_at TEXT,
    PRIMARY KEY (client_id),
    UNIQUE (name)
);

CREATE TABLE asks (
    id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    location TEXT NOT NULL,
    client_id TEXT NOT NULL,
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    zuid TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_asks_connection_at ON asks (connection, at);

CREATE INDEX ix_asks_client_at ON asks (client_id, at);

CREATE INDEX ix_asks_at ON asks (at);

CREATE TABLE events (
    id INTEGER NOT NULL,
    at TEXT NOT NULL,
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_events_connection ON events (connection);

CREATE TABLE rejected (
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (fingerprint)
);

CREATE TABLE client_secrets (
    client_id TEXT NOT NULL,
    location TEXT NOT NULL,
    state TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (client_id, location, state),
    FOREIGN KEY(client_id) REFERENCES clients (client_id) ON DELETE CASCADE
);

CREATE TABLE connections (
    name TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    location TEXT,
    generation INTEGER NOT NULL,
    last_generation INTEGER NOT NULL,
    presets TEXT NOT NULL,
    created_at TEXT,
    PRIMARY KEY (name),
    FOREIGN KEY(client_id) REFERENCES clients (client_id)
);

CREATE INDEX ix_connections_client_id ON connections (client_id);

CREATE TABLE attempts (
    id TEXT NOT NULL,
    connection TEXT NOT NULL,
    client_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    location TEXT NOT NULL,
    authorization_endpoint TEXT NOT NULL,
    token_endpoint TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at TEXT NOT NULL,
    oauth_state BLOB NOT NULL,
    oauth_state_hash TEXT NOT NULL,
    code_verifier BLOB NOT NULL,
    binding TEXT NOT NULL,
    wrong_tries INTEGER NOT NULL,
    generation INTEGER,
    failure TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE,
    UNIQUE (oauth_state_hash)
);

CREATE INDEX ix_attempts_connection ON attempts (connection);

CREATE INDEX ix_attempts_state ON attempts (state);

CREATE TABLE grants (
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    refresh_token BLOB NOT NULL,
    scope TEXT NOT NULL,
    location TEXT NOT NULL,
    api_domain TEXT NOT NULL,
    state TEXT NOT NULL,
    granted_at TEXT NOT NULL,
    account TEXT,
    organizations TEXT NOT NULL,
    failure TEXT,
    PRIMARY KEY (connection, generation),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE INDEX ix_grants_client_id ON grants (client_id);

CREATE TABLE receipts (
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    PRIMARY KEY (connection, generation),
    FOREIGN KEY(connection, generation) REFERENCES grants (connection, generation) ON DELETE CASCADE
);

CREATE TABLE rungs (
    id INTEGER NOT NULL,
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    evidence TEXT NOT NULL,
    at TEXT NOT NULL,
    failure TEXT,
    PRIMARY KEY (id),
    UNIQUE (connection, generation, name),
    FOREIGN KEY(connection, generation) REFERENCES receipts (connection, generation) ON DELETE CASCADE
);

PRAGMA user_version = 1;
