-- What people decide about contents that came second: what is needed to show the second one, and what it replaced. In rows from before
-- all of this is empty; `resolved_at` alone means that the first one was kept.
ALTER TABLE conflict ADD COLUMN header TEXT;
ALTER TABLE conflict ADD COLUMN source TEXT;
ALTER TABLE conflict ADD COLUMN seen_count BIGINT NOT NULL DEFAULT 1;
ALTER TABLE conflict ADD COLUMN last_seen BIGINT;
ALTER TABLE conflict ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conflict ADD COLUMN choice TEXT;
ALTER TABLE conflict ADD COLUMN decided_by TEXT;
ALTER TABLE conflict ADD COLUMN reason TEXT;
ALTER TABLE conflict ADD COLUMN replaced TEXT;
ALTER TABLE conflict ADD COLUMN replaced_study TEXT;
ALTER TABLE conflict ADD COLUMN replaced_sha256 TEXT;
ALTER TABLE conflict ADD COLUMN replaced_patient_conflict TEXT;
CREATE INDEX conflict_open ON conflict (held_at DESC) WHERE resolved_at IS NULL;
CREATE INDEX conflict_decided ON conflict (resolved_at DESC) WHERE resolved_at IS NOT NULL;

-- Images in one study that name another patient: one row for each such patient, by the digest of how they are written.
CREATE TABLE patient_conflict (
    centre TEXT NOT NULL,
    id TEXT NOT NULL,
    study TEXT NOT NULL,
    patient_sha256 TEXT NOT NULL,
    patient TEXT NOT NULL,
    source TEXT NOT NULL,
    opened BIGINT NOT NULL,
    seen_count BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    resolved_at BIGINT,
    choice TEXT,
    decided_by TEXT,
    reason TEXT,
    PRIMARY KEY (centre, id),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);
CREATE UNIQUE INDEX patient_conflict_once ON patient_conflict (centre, study, patient_sha256);
CREATE INDEX patient_conflict_open ON patient_conflict (opened DESC) WHERE resolved_at IS NULL;
CREATE INDEX patient_conflict_decided ON patient_conflict (resolved_at DESC) WHERE resolved_at IS NOT NULL;

-- The images of such a conflict. One that is set aside is kept and not shown. They stand here and not in `instance`, so that a process of
-- the version before, which reads whole rows of that table, is not disturbed.
CREATE TABLE patient_conflict_image (
    centre TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    patient_conflict TEXT NOT NULL,
    aside BIGINT,
    PRIMARY KEY (centre, sop_instance),
    FOREIGN KEY (centre, patient_conflict) REFERENCES patient_conflict (centre, id)
);
CREATE INDEX patient_conflict_image_of ON patient_conflict_image (centre, patient_conflict);
