-- Upkeep of the store: what was removed, how far each job is, what is damaged; for SQLite.

-- Objects that are about to be removed, or were (gone). As long as a row stands here, nobody can make the object known.
CREATE TABLE removal (
    object TEXT NOT NULL PRIMARY KEY,
    centre TEXT NOT NULL,
    condemned BIGINT NOT NULL,
    gone BIGINT
);
CREATE INDEX removal_waiting ON removal (condemned) WHERE gone IS NULL;
CREATE INDEX removal_gone ON removal (gone) WHERE gone IS NOT NULL;

CREATE TABLE upkeep_job (
    job TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    leased_until BIGINT NOT NULL,
    began BIGINT,
    position TEXT,
    objects BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    found BIGINT NOT NULL,
    bytes_in_all BIGINT NOT NULL,
    rounds BIGINT NOT NULL,
    last_began BIGINT,
    last_ended BIGINT,
    last_objects BIGINT NOT NULL,
    last_bytes BIGINT NOT NULL,
    last_found BIGINT NOT NULL,
    halted TEXT
);

CREATE TABLE damaged_object (
    object TEXT NOT NULL PRIMARY KEY,
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    how TEXT NOT NULL,
    found BIGINT NOT NULL,
    seen BIGINT NOT NULL
);
CREATE INDEX damaged_object_found ON damaged_object (found, object);
CREATE INDEX damaged_object_study ON damaged_object (centre, study);
CREATE INDEX damaged_object_seen ON damaged_object (seen);

-- One row: which catalog this is, and how far its history is. The store is told from time to time.
CREATE TABLE catalog_mark (
    id BIGINT NOT NULL PRIMARY KEY,
    catalog TEXT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT
);
