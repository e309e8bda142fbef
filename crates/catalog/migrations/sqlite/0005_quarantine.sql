-- Objects that cannot be read and are kept for a person, and which centres want that. For SQLite.
ALTER TABLE centre ADD COLUMN keeps_unreadable BIGINT NOT NULL DEFAULT 0;
-- How texts of its images are read, as `assume TERMS` or `force TERMS`.
ALTER TABLE centre ADD COLUMN character_set TEXT;

-- State: waiting, discarded, stored, conflict. As long as it is one of the first two, the row names its object.
CREATE TABLE quarantine (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    way TEXT NOT NULL,
    actor TEXT NOT NULL,
    sop_class TEXT,
    sop_instance TEXT,
    transfer_syntax TEXT NOT NULL,
    reason TEXT NOT NULL,
    next_step TEXT NOT NULL,
    object TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    data_set_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    received BIGINT NOT NULL,
    times BIGINT NOT NULL,
    last_received BIGINT NOT NULL,
    state TEXT NOT NULL,
    decided_by TEXT REFERENCES person (id),
    decided_at BIGINT,
    study TEXT,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX quarantine_id ON quarantine (id);
CREATE UNIQUE INDEX quarantine_content ON quarantine (centre, sha256);
CREATE INDEX quarantine_held ON quarantine (centre, state, bytes);
CREATE INDEX quarantine_waiting ON quarantine (last_received DESC, id DESC) WHERE state = 'waiting';
CREATE INDEX quarantine_of_sender ON quarantine (centre, actor) WHERE state = 'waiting';
CREATE INDEX quarantine_decided ON quarantine (decided_at DESC, id DESC) WHERE decided_at IS NOT NULL;
