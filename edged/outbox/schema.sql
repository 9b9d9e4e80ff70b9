-- The outbox: what happened, which files hold it, and what has to be delivered where. Version 1.
--
-- Rules that hold for all tables:
--
--  *  The file has one writer. Whatever belongs together is one transaction (base/db.py): an incident with its alerts,
--     a sealed clip part with its uploads. A row that is committed is on the disk.
--  *  Identities are random hex ids made by the device. Row numbers are never told to anyone: after a restored backup
--     they repeat, and a receiver would take new incidents for old ones.
--  *  An instant is four columns: NAME_wall (Unix seconds, as the wall clock read then, right or wrong), NAME_mono
--     (seconds on the monotonic clock of its boot), NAME_boot (boots.id), NAME_synced (1 when the wall was trusted).
--     None of them is ever changed. When the clock is set later, only boots.epoch is written, and reading corrects.
--  *  Paths are relative to the state directory, so that the directory may be moved or its card read elsewhere.
--  *  Upload progress is not written: the server's offset is the truth, and writing it would wear the card out.

-- One row per start of the machine that left a trace.
CREATE TABLE boots (
    id    INTEGER PRIMARY KEY,
    boot  TEXT NOT NULL UNIQUE,          -- the kernel's boot id
    -- Wall time of this boot's monotonic zero, noted when the clock was first trusted. An untrusted instant of the
    -- boot then reads epoch + mono; without it the wall is taken as it was.
    epoch REAL
);

-- Single values: `boot` (the boot to which every deliveries.due refers).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Something that happened in front of a camera.
CREATE TABLE incidents (
    seq           INTEGER PRIMARY KEY,   -- order of commit; the newest row is never pruned, so it never falls
    id            TEXT NOT NULL UNIQUE,
    camera        TEXT NOT NULL,
    kind          TEXT NOT NULL,         -- motion, manual
    zones         TEXT NOT NULL,         -- JSON list, in order of appearance
    opened_wall   REAL NOT NULL,
    opened_mono   REAL NOT NULL,
    opened_boot   INTEGER NOT NULL REFERENCES boots (id),
    opened_synced INTEGER NOT NULL,
    closed_wall   REAL,                  -- the four are NULL while it is open
    closed_mono   REAL,
    closed_boot   INTEGER REFERENCES boots (id),
    closed_synced INTEGER,
    held          TEXT NOT NULL,         -- why no alert of its own: '' (it has one), cooldown, cap, disarmed, continuation
    notice        TEXT,                  -- for cooldown and cap: the notice that counts it, once the window has ended
    continues     TEXT,                  -- the incident whose maximum length cut it
    recovered     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX incidents_open     ON incidents (seq) WHERE closed_wall IS NULL;
CREATE INDEX incidents_alerting ON incidents (seq) WHERE held = '';          -- the cap counts back from the newest
CREATE INDEX incidents_notice   ON incidents (notice) WHERE notice IS NOT NULL;

-- A file in the spool that edged answers for. What the three kinds share decides retention and the sweep.
CREATE TABLE files (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    what        TEXT NOT NULL CHECK (what IN ('clip', 'snapshot', 'document')),
    incident    TEXT REFERENCES incidents (id),  -- NULL for documents
    number      INTEGER NOT NULL,        -- the clip's part, the snapshot's seq, 0 for documents; from 1
    name        TEXT NOT NULL,           -- as a person knows it
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL,        -- bytes
    sha256      TEXT NOT NULL,           -- hex
    taken_wall  REAL NOT NULL,           -- first picture of the clip, the snapshot's picture, the document's arrival
    taken_mono  REAL NOT NULL,
    taken_boot  INTEGER NOT NULL REFERENCES boots (id),
    taken_synced INTEGER NOT NULL,
    seconds     REAL NOT NULL DEFAULT 0,
    codec       TEXT NOT NULL DEFAULT '',
    width       INTEGER NOT NULL DEFAULT 0,
    height      INTEGER NOT NULL DEFAULT 0,
    deleted     TEXT                     -- why the file is no longer here; NULL while it is
);
CREATE UNIQUE INDEX files_number ON files (incident, what, number) WHERE incident IS NOT NULL;
CREATE INDEX files_kept ON files (seq) WHERE deleted IS NULL;

-- One thing on its way to one destination.
CREATE TABLE deliveries (
    id            INTEGER PRIMARY KEY,   -- order of commit; the newest row is never pruned
    key           TEXT NOT NULL UNIQUE,  -- idempotency key, from random ids: the same at every retry
    kind          TEXT NOT NULL,         -- alert, snapshot, preview, clip, document
    lane          TEXT NOT NULL,         -- alert, bulk: worked by different workers
    priority      INTEGER NOT NULL,      -- 1 is most urgent
    destination   TEXT NOT NULL,         -- receiver, folder:NAME, mail:ADDRESS
    incident      TEXT,                  -- NULL for documents and notices
    subject       TEXT NOT NULL,         -- alerts: the incident's or the notice's id; else the file's id
    size          INTEGER NOT NULL,      -- bytes to send; 0 for alerts
    message       BLOB,                  -- an alert as frozen at its first attempt; NULL before, and once it is done
    carrier       INTEGER REFERENCES deliveries (id),  -- the alert whose message, a digest, tells this one, too
    state         TEXT NOT NULL CHECK (state IN ('pending', 'held', 'done', 'dead', 'dropped')),
    attempts      INTEGER NOT NULL DEFAULT 0,  -- refusals by the peer since its last progress; no answer costs none
    due           REAL NOT NULL,         -- monotonic seconds of meta.boot; rows of an earlier boot are due at once
    upload_url    TEXT,                  -- where the bytes go on, once the upload is created
    sending       INTEGER NOT NULL DEFAULT 0,  -- written before a mail's data goes out: after a crash it may have arrived
    possibly_sent INTEGER NOT NULL DEFAULT 0,  -- attempts of which the outcome is unknown
    last_error    TEXT NOT NULL DEFAULT '',
    receipt       TEXT,                  -- JSON of wire.receipt
    proven        INTEGER NOT NULL DEFAULT 0,  -- 1 when the receipt's proof permits deletion
    created_wall  REAL NOT NULL,
    created_mono  REAL NOT NULL,
    created_boot  INTEGER NOT NULL REFERENCES boots (id),
    created_synced INTEGER NOT NULL,
    done_wall     REAL,                  -- the four are NULL until it is done
    done_mono     REAL,
    done_boot     INTEGER REFERENCES boots (id),
    done_synced   INTEGER
);
-- Claiming asks once per lane, destination and priority and takes the first row: no sort, no scan past what waits for a
-- closed destination. `id` makes the order of equal due times that of commit.
CREATE INDEX deliveries_next ON deliveries (lane, destination, priority, due, id)
    WHERE state = 'pending' AND carrier IS NULL;
CREATE INDEX deliveries_carrier ON deliveries (carrier) WHERE carrier IS NOT NULL;
CREATE INDEX deliveries_subject ON deliveries (subject);
CREATE INDEX deliveries_incident ON deliveries (incident) WHERE incident IS NOT NULL;
CREATE INDEX deliveries_state ON deliveries (state, proven);  -- counts by state, listings by state

-- What is being held back now: one row per signature in its cool-down, and one named 'cap' while the cap holds.
CREATE TABLE windows (
    signature     TEXT PRIMARY KEY,      -- CAMERA/ZONE/KIND; 'cap' can't be one of them: it has no slash
    notice        TEXT NOT NULL,         -- the id that the summary will have; incidents.notice already carries it
    incident      TEXT NOT NULL,         -- the alerting incident; for the cap the first one held back
    seconds       REAL NOT NULL,         -- how long from `opened`
    opened_wall   REAL NOT NULL,
    opened_mono   REAL NOT NULL,
    opened_boot   INTEGER NOT NULL REFERENCES boots (id),
    opened_synced INTEGER NOT NULL
) WITHOUT ROWID;

-- An alert that is not of one incident: what a window held back, a digest after salvage, a fault of the system, a test.
CREATE TABLE notices (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,         -- summary, cap, recovered, system, test
    text          TEXT NOT NULL,         -- a sentence, '' where kind and count say all
    incident      TEXT,                  -- the one to look at first
    camera        TEXT NOT NULL,         -- '' when it is about several or none
    zones         TEXT NOT NULL,         -- JSON list
    count         INTEGER NOT NULL,      -- incidents that it stands for
    since_wall    REAL NOT NULL,         -- the first of them; for others, when the notice was made
    since_mono    REAL NOT NULL,
    since_boot    INTEGER NOT NULL REFERENCES boots (id),
    since_synced  INTEGER NOT NULL
);

-- The ledger of times without pictures.
CREATE TABLE gaps (
    id          INTEGER PRIMARY KEY,
    camera      TEXT NOT NULL,
    reason      TEXT NOT NULL,
    start_wall  REAL NOT NULL,
    start_mono  REAL NOT NULL,
    start_boot  INTEGER NOT NULL REFERENCES boots (id),
    start_synced INTEGER NOT NULL,
    end_wall    REAL,                    -- the four are NULL while it lasts
    end_mono    REAL,
    end_boot    INTEGER REFERENCES boots (id),
    end_synced  INTEGER,
    reported    INTEGER NOT NULL DEFAULT 0  -- 1 once a heartbeat told its present state
);
CREATE INDEX gaps_unreported ON gaps (id) WHERE reported = 0;
CREATE INDEX gaps_open ON gaps (id) WHERE end_wall IS NULL;

-- The ledger of what was promised and could not be kept.
CREATE TABLE losses (
    id        INTEGER PRIMARY KEY,
    what      TEXT NOT NULL,             -- clip, snapshot, document, seconds, frames
    name      TEXT NOT NULL,
    incident  TEXT,
    bytes     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    at_wall   REAL NOT NULL,
    at_mono   REAL NOT NULL,
    at_boot   INTEGER NOT NULL REFERENCES boots (id),
    at_synced INTEGER NOT NULL,
    reported  INTEGER NOT NULL DEFAULT 0  -- 1 once people were told
);
CREATE INDEX losses_unreported ON losses (id) WHERE reported = 0;
