-- Uploads of centres and what became of each file, for SQLite.

CREATE TABLE upload_batch (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    began BIGINT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX upload_batch_id ON upload_batch (id);
CREATE INDEX upload_batch_began ON upload_batch (centre, began DESC, id DESC);
CREATE INDEX upload_batch_old ON upload_batch (began);

-- State: arriving, waiting, taken_in, refused, expired, withdrawn.
CREATE TABLE upload (
    centre TEXT NOT NULL,
    id TEXT NOT NULL,
    batch TEXT NOT NULL,
    spool TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    actor TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    next_step TEXT,
    ended BIGINT,
    PRIMARY KEY (centre, id),
    FOREIGN KEY (centre, batch) REFERENCES upload_batch (centre, id)
);
CREATE UNIQUE INDEX upload_id ON upload (id);
CREATE INDEX upload_of_batch ON upload (centre, batch, state, bytes);
CREATE INDEX upload_open ON upload (spool, id) WHERE ended IS NULL;

-- Outcome: stored, already_stored, not_an_image, not_stored.
CREATE TABLE upload_file (
    centre TEXT NOT NULL,
    upload TEXT NOT NULL,
    position BIGINT NOT NULL,
    batch TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    study TEXT,
    reason TEXT,
    next_step TEXT,
    PRIMARY KEY (centre, upload, position),
    FOREIGN KEY (centre, upload) REFERENCES upload (centre, id)
);
CREATE INDEX upload_file_batch ON upload_file (centre, batch, outcome, study);

CREATE TABLE upload_promise (
    centre TEXT NOT NULL,
    upload TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    batch TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (centre, upload, sop_instance),
    FOREIGN KEY (centre, upload) REFERENCES upload (centre, id)
);
CREATE INDEX upload_promise_batch ON upload_promise (centre, batch, name);

-- A centre's own list of its studies, the latest arrival first.
CREATE INDEX study_of_centre ON study (centre, first_received DESC, study);
