-- Studies that were taken out and can come back until a moment; for SQLite (decision 19).

-- One row for each such study. From `purging` on it cannot come back: its objects are being removed.
CREATE TABLE taken_out (
    centre TEXT NOT NULL REFERENCES centre (id),
    study TEXT NOT NULL,
    at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    purging BIGINT NOT NULL,
    refused_count BIGINT NOT NULL,
    last_refused BIGINT,
    PRIMARY KEY (centre, study)
);
CREATE INDEX taken_out_until ON taken_out (until);

-- Its rows, moved here whole and moved back whole: column for column, in their order, those of the table without `out_`. Whoever adds a
-- column there adds it here in the same migration; a test compares them.
CREATE TABLE out_study (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    patient_id TEXT,
    patient_name TEXT,
    patient_name_lower TEXT,
    patient_birth_date TEXT,
    patient_sex TEXT,
    study_date TEXT NOT NULL,
    study_time TEXT NOT NULL,
    accession_number TEXT,
    study_id TEXT,
    description TEXT,
    referring_physician TEXT,
    referring_physician_lower TEXT,
    institution TEXT,
    timezone_offset TEXT,
    search TEXT NOT NULL,
    modalities TEXT NOT NULL,
    series_count BIGINT NOT NULL,
    instance_count BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    first_received BIGINT NOT NULL,
    last_received BIGINT NOT NULL,
    completeness TEXT NOT NULL,
    order_id TEXT,
    order_match TEXT,
    priority BIGINT NOT NULL,
    conflict_count BIGINT NOT NULL,
    signed_version BIGINT NOT NULL,
    signed_at BIGINT,
    signed_generation BIGINT,
    claim_by TEXT,
    claim_since BIGINT,
    claim_until BIGINT
);
CREATE INDEX out_study_of ON out_study (centre, study);
CREATE TABLE out_series (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    modality TEXT,
    number BIGINT,
    description TEXT,
    body_part TEXT,
    protocol_name TEXT,
    device TEXT,
    instance_count BIGINT NOT NULL,
    character_set TEXT
);
CREATE INDEX out_series_of ON out_series (centre, study);
CREATE TABLE out_series_procedure (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    performed_date TEXT,
    performed_time TEXT,
    requests TEXT NOT NULL
);
CREATE INDEX out_series_procedure_of ON out_series_procedure (centre, study);
CREATE TABLE out_instance (
    centre TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    sop_class TEXT NOT NULL,
    transfer_syntax TEXT NOT NULL,
    object TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    file_sha256 TEXT NOT NULL,
    data_set_sha256 TEXT NOT NULL,
    number BIGINT,
    pixel_rows BIGINT,
    pixel_columns BIGINT,
    bits_allocated BIGINT,
    frames BIGINT,
    position_mm TEXT,
    orientation TEXT,
    header_bytes BIGINT NOT NULL,
    received BIGINT NOT NULL
);
CREATE INDEX out_instance_of ON out_instance (centre, study);
CREATE TABLE out_instance_frames (
    centre TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    file_sha256 TEXT NOT NULL,
    layout BLOB NOT NULL
);
CREATE INDEX out_instance_frames_of ON out_instance_frames (centre, sop_instance);
CREATE TABLE out_draft (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    generation BIGINT NOT NULL,
    image_digest TEXT NOT NULL,
    image_count BIGINT NOT NULL,
    at BIGINT NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX out_draft_of ON out_draft (centre, study);
CREATE TABLE out_working_copy (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    revision BIGINT NOT NULL,
    person TEXT NOT NULL,
    at BIGINT NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX out_working_copy_of ON out_working_copy (centre, study);
CREATE TABLE out_patient_conflict (
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
    reason TEXT
);
CREATE INDEX out_patient_conflict_of ON out_patient_conflict (centre, study);
CREATE TABLE out_patient_conflict_image (
    centre TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    patient_conflict TEXT NOT NULL,
    aside BIGINT
);
CREATE INDEX out_patient_conflict_image_of ON out_patient_conflict_image (centre, sop_instance);
CREATE TABLE out_conflict (
    centre TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    study TEXT NOT NULL,
    data_set_sha256 TEXT NOT NULL,
    arrival TEXT NOT NULL,
    current_study TEXT NOT NULL,
    current_data_set_sha256 TEXT NOT NULL,
    held_at BIGINT NOT NULL,
    resolved_at BIGINT,
    header TEXT,
    source TEXT,
    seen_count BIGINT NOT NULL,
    last_seen BIGINT,
    revision BIGINT NOT NULL,
    choice TEXT,
    decided_by TEXT,
    reason TEXT,
    replaced TEXT,
    replaced_study TEXT,
    replaced_sha256 TEXT,
    replaced_patient_conflict TEXT
);
CREATE INDEX out_conflict_of ON out_conflict (centre, study);
CREATE TABLE out_task (
    centre TEXT NOT NULL,
    id TEXT NOT NULL,
    study TEXT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    next_step TEXT NOT NULL,
    opened BIGINT NOT NULL,
    closed_at BIGINT,
    closed_by TEXT,
    closed_note TEXT
);
CREATE INDEX out_task_of ON out_task (centre, study);
CREATE TABLE out_damaged_object (
    object TEXT NOT NULL,
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    how TEXT NOT NULL,
    found BIGINT NOT NULL,
    seen BIGINT NOT NULL
);
CREATE INDEX out_damaged_object_of ON out_damaged_object (centre, study);
CREATE INDEX out_instance_object ON out_instance (object);
CREATE INDEX out_instance_uid ON out_instance (centre, sop_instance);

-- What a process of the version before would do, since it does not know of the above: make the study again of an image that comes, and
-- sweep its objects as leftovers. An image that came since is a leftover.
CREATE TRIGGER study_stays_out BEFORE INSERT ON study
    WHEN EXISTS (SELECT 1 FROM taken_out t WHERE t.centre = NEW.centre AND t.study = NEW.study)
BEGIN
    SELECT RAISE(ABORT, 'this study was taken out');
END;

CREATE TRIGGER removal_spares_taken_out BEFORE INSERT ON removal
    WHEN EXISTS (SELECT 1 FROM taken_out t WHERE t.centre = NEW.centre AND t.purging = 0
        AND substr(NEW.object, 1, length(t.centre) + length(t.study) + 2) = t.centre || '/' || t.study || '/'
        AND (instr(NEW.object, '.dcm') = 0
            OR EXISTS (SELECT 1 FROM out_instance o WHERE o.object = NEW.object)
            OR EXISTS (SELECT 1 FROM out_conflict c WHERE c.centre = t.centre AND c.study = t.study
                AND instr(c.arrival || COALESCE(c.replaced, ''), '"' || NEW.object || '"') > 0)))
BEGIN
    SELECT RAISE(IGNORE);
END;
