-- Uploads of centres and what became of each file, for PostgreSQL.

CREATE TABLE upload_batch (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    began BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX upload_batch_id ON upload_batch (id);
CREATE INDEX upload_batch_began ON upload_batch (centre, began DESC, id DESC);
CREATE INDEX upload_batch_old ON upload_batch (began);

-- State: arriving, waiting, taken_in, refused, expired, withdrawn.
CREATE TABLE upload (
    centre TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    batch TEXT COLLATE "C" NOT NULL,
    spool TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    next_step TEXT COLLATE "C",
    ended BIGINT,
    PRIMARY KEY (centre, id),
    FOREIGN KEY (centre, batch) REFERENCES upload_batch (centre, id)
);
CREATE UNIQUE INDEX upload_id ON upload (id);
CREATE INDEX upload_of_batch ON upload (centre, batch, state, bytes);
CREATE INDEX upload_open ON upload (spool, id) WHERE ended IS NULL;

-- Outcome: stored, already_stored, not_an_image, not_stored.
CREATE TABLE upload_file (
    centre TEXT COLLATE "C" NOT NULL,
    upload TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    batch TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    next_step TEXT COLLATE "C",
    PRIMARY KEY (centre, upload, position),
    FOREIGN KEY (centre, upload) REFERENCES upload (centre, id)
);
CREATE INDEX upload_file_batch ON upload_file (centre, batch, outcome, study);

CREATE TABLE upload_promise (
    centre TEXT COLLATE "C" NOT NULL,
    upload TEXT COLLATE "C" NOT NULL,
    sop_instance TEXT COLLATE "C" NOT NULL,
    batch TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, upload, sop_instance),
    FOREIGN KEY (centre, upload) REFERENCES upload (centre, id)
);
CREATE INDEX upload_promise_batch ON upload_promise (centre, batch, name);

-- A centre's own list of its studies, the latest arrival first.
CREATE INDEX study_of_centre ON study (centre, first_received DESC, study);
