CREATE TABLE installation (
    id INTEGER NOT NULL CHECK (id = 1),
    zoho_instance TEXT NOT NULL,
    key_check BLOB NOT NULL,
    backed_up_at TEXT,
    deactivated_at TEXT,
    last_checked_at TEXT,
    notified TEXT,
    all_clear_due_since TEXT,
    notify_command BLOB,
    notify_failed_at TEXT,
    notify_failure TEXT,
    place TEXT,
    move TEXT,
    backed_up_on TEXT,
    last_checked_on TEXT,
    PRIMARY KEY (id)
);

CREATE TABLE clients (
    client_id TEXT NOT NULL,
    name TEXT NOT NULL,
    location TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    has_common_secret BOOLEAN NOT NULL,
    registered_by TEXT NOT NULL,
    created_at TEXT,
    PRIMARY KEY (client_id),
    UNIQUE (name)
);

CREATE TABLE token_requests (
    id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    location TEXT NOT NULL,
    client_id TEXT NOT NULL,
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    zuid TEXT NOT NULL,
    outcome TEXT NOT NULL,
    retry_at TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX ix_token_requests_at ON token_requests (at);

CREATE INDEX ix_token_requests_connection_at ON token_requests (connection, at);

CREATE INDEX ix_token_requests_client_at ON token_requests (client_id, at);

CREATE TABLE events (
    id INTEGER NOT NULL,
    at TEXT NOT NULL,
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    details TEXT NOT NULL,
    user TEXT NOT NULL,
    process_id INTEGER,
    machine TEXT NOT NULL,
    database_role TEXT DEFAULT '' NOT NULL,
    connection_id TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX ix_events_connection_id ON events (connection_id);

CREATE INDEX ix_events_kind_at ON events (kind, at);

CREATE INDEX ix_events_changes ON events (connection_id)
WHERE (kind NOT IN ('token-served', 'token-refused', 'token-reported'));

CREATE TABLE rejected_refresh_tokens (
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (fingerprint)
);

CREATE TABLE reauthorizations (
    id INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    paused BOOLEAN NOT NULL,
    PRIMARY KEY (id)
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
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    location TEXT,
    generation INTEGER NOT NULL,
    last_generation INTEGER NOT NULL,
    presets TEXT NOT NULL,
    created_at TEXT,
    owner TEXT NOT NULL,
    tags TEXT NOT NULL,
    note TEXT NOT NULL,
    expected_email TEXT NOT NULL,
    expected_organization TEXT NOT NULL,
    expected_environment TEXT NOT NULL,
    PRIMARY KEY (name),
    UNIQUE (id),
    FOREIGN KEY(client_id) REFERENCES clients (client_id)
);

CREATE INDEX ix_connections_generation ON connections (generation);

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
    failed_tries INTEGER NOT NULL,
    generation INTEGER,
    widened_generation INTEGER,
    failure TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE,
    UNIQUE (oauth_state_hash)
);

CREATE INDEX ix_attempts_state ON attempts (state);

CREATE INDEX ix_attempts_connection ON attempts (connection);

CREATE TABLE grants (
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    refresh_token BLOB NOT NULL,
    scope TEXT NOT NULL,
    location TEXT NOT NULL,
    state TEXT NOT NULL,
    granted_at TEXT NOT NULL,
    account TEXT,
    organizations TEXT NOT NULL,
    failure TEXT,
    rotated_at TEXT,
    PRIMARY KEY (connection, generation),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE INDEX ix_grants_client_id ON grants (client_id);

CREATE INDEX ix_grants_state ON grants (state);

CREATE TABLE destinations (
    id INTEGER NOT NULL,
    machine TEXT NOT NULL,
    connection TEXT NOT NULL,
    profile TEXT NOT NULL,
    target TEXT NOT NULL,
    entry TEXT NOT NULL,
    field_names TEXT NOT NULL,
    field_values TEXT NOT NULL,
    reload_command TEXT NOT NULL,
    file_mode TEXT NOT NULL,
    file_group TEXT NOT NULL,
    generation INTEGER NOT NULL,
    delivered_at TEXT,
    reloaded_at TEXT,
    content_sha256 TEXT NOT NULL,
    failure TEXT,
    previous_generation INTEGER NOT NULL,
    previous_content BLOB,
    token_digest TEXT,
    seal BLOB NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (machine, connection, target, entry),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE INDEX ix_destinations_connection ON destinations (connection);

CREATE TABLE access_permissions (
    machine TEXT NOT NULL,
    connection TEXT NOT NULL,
    uid INTEGER NOT NULL,
    user TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (machine, connection, uid),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE TABLE key_permissions (
    connection TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    comment TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (connection, fingerprint),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE TABLE rejections (
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    pending BOOLEAN NOT NULL,
    forced_at TEXT,
    PRIMARY KEY (connection),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE TABLE shared_grants (
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    backup_host TEXT NOT NULL,
    backup_created_at TEXT NOT NULL,
    PRIMARY KEY (connection),
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE TABLE reauthorization_items (
    reauthorization_id INTEGER NOT NULL,
    connection TEXT NOT NULL,
    previous_generation INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    additional_scope TEXT NOT NULL,
    new_account_email TEXT NOT NULL,
    grace_period_seconds INTEGER NOT NULL,
    skipped BOOLEAN NOT NULL,
    PRIMARY KEY (reauthorization_id, connection),
    FOREIGN KEY(reauthorization_id) REFERENCES reauthorizations (id) ON DELETE CASCADE,
    FOREIGN KEY(connection) REFERENCES connections (name) ON DELETE CASCADE
);

CREATE TABLE verification_reports (
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    PRIMARY KEY (connection, generation),
    FOREIGN KEY(connection, generation) REFERENCES grants (connection, generation) ON DELETE CASCADE
);

CREATE TABLE verification_steps (
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
    FOREIGN KEY(connection, generation) REFERENCES verification_reports (connection, generation) ON DELETE CASCADE
);

CREATE INDEX ix_verification_steps_state ON verification_steps (state);
