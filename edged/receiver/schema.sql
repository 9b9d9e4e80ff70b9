-- The receiver's database. Instants are Unix seconds. Bytes lie beside it: blobs/ab/SHA256 and partial/UPLOAD.

CREATE TABLE device (
    name      TEXT PRIMARY KEY,
    key       TEXT NOT NULL,               -- signs the device's requests, receipts and links; so it must be stored
    added     REAL NOT NULL,
    heard     REAL,                        -- of the last heartbeat
    heartbeat TEXT,                        -- its JSON
    sequence  INTEGER NOT NULL DEFAULT 0,  -- the highest it ever told
    fell_back REAL,                        -- when it told a lower one: its card had lied about flushing
    silent    REAL                         -- since when it is silent and told so; NULL while it is heard
) STRICT, WITHOUT ROWID;

CREATE TABLE gap (                         -- times without pictures, as devices report them
    device TEXT NOT NULL REFERENCES device (name) ON DELETE CASCADE,
    camera TEXT NOT NULL,
    start  REAL NOT NULL,
    end    REAL,                           -- NULL while it lasts
    reason TEXT NOT NULL,
    PRIMARY KEY (device, camera, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE upload (                      -- begun and unfinished; how far it is, its file's length tells
    id       TEXT PRIMARY KEY,
    owner    TEXT NOT NULL,                -- device, or name of a bearer token
    key      TEXT NOT NULL,
    length   INTEGER NOT NULL,
    manifest TEXT NOT NULL,                -- JSON
    created  REAL NOT NULL,
    expires  REAL NOT NULL,
    UNIQUE (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_expires ON upload (expires);

CREATE TABLE file (                        -- arrived whole, hashed, synced; its key is its identity, its content is shared
    id           TEXT PRIMARY KEY,         -- the upload's
    owner        TEXT NOT NULL,
    key          TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size         INTEGER NOT NULL,
    sha256       TEXT NOT NULL,
    incident     TEXT,
    part         INTEGER NOT NULL,
    seconds      REAL NOT NULL,
    start        REAL,
    stored       REAL NOT NULL,
    UNIQUE (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_incident ON file (owner, incident, kind, part) WHERE incident IS NOT NULL;
CREATE INDEX file_document ON file (owner, stored) WHERE incident IS NULL;
CREATE INDEX file_stored ON file (stored);
CREATE INDEX file_content ON file (sha256);

CREATE TABLE incident (                    -- known by its files' manifests
    owner     TEXT NOT NULL,
    id        TEXT NOT NULL,
    camera    TEXT NOT NULL,
    cause     TEXT NOT NULL,
    zones     TEXT NOT NULL,               -- JSON list
    opened    REAL NOT NULL,
    closed    REAL,
    synced    INTEGER NOT NULL,            -- 0: the device did not trust its clock
    continues TEXT,
    parts     INTEGER,                     -- how many clip parts there are in all; NULL until the last one arrived
    removed   REAL,                        -- when retention took its last file
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_opened ON incident (opened);

CREATE TABLE account (
    name  TEXT PRIMARY KEY,
    hash  TEXT NOT NULL,                   -- scrypt with its salt and figures
    added REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (                      -- made at the first start: signs sessions
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE mail (                        -- alarms on their way; a row leaves when the relay took it or refused for good
    key       TEXT PRIMARY KEY,
    recipient TEXT NOT NULL,
    device    TEXT NOT NULL,
    message   BLOB NOT NULL,
    due       REAL NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    error     TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
