-- Objects that cannot be read and are kept for a person, and which centres want that. For PostgreSQL.
ALTER TABLE centre ADD COLUMN keeps_unreadable BIGINT NOT NULL DEFAULT 0;
-- How texts of its images are read, as `assume TERMS` or `force TERMS`.
ALTER TABLE centre ADD COLUMN character_set TEXT COLLATE "C";

-- State: waiting, discarded, stored, conflict. As long as it is one of the first two, the row names its object.
CREATE TABLE quarantine (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    way TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    sop_class TEXT COLLATE "C",
    sop_instance TEXT COLLATE "C",
    transfer_syntax TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    next_step TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    data_set_bytes BIGINT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    received BIGINT NOT NULL,
    times BIGINT NOT NULL,
    last_received BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    decided_by TEXT COLLATE "C" REFERENCES person (id),
    decided_at BIGINT,
    study TEXT COLLATE "C",
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX quarantine_id ON quarantine (id);
CREATE UNIQUE INDEX quarantine_content ON quarantine (centre, sha256);
CREATE INDEX quarantine_held ON quarantine (centre, state, bytes);
CREATE INDEX quarantine_waiting ON quarantine (last_received DESC, id DESC) WHERE state = 'waiting';
CREATE INDEX quarantine_of_sender ON quarantine (centre, actor) WHERE state = 'waiting';
CREATE INDEX quarantine_decided ON quarantine (decided_at DESC, id DESC) WHERE decided_at IS NOT NULL;
