-- The catalog, for SQLite.

-- Columns are text, bigint and blob alone; times are microseconds since 1970, booleans 0 or 1, dates YYYY-MM-DD, lanes 0 stat, 1 urgent, 2 routine.

CREATE TABLE centre (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    phone TEXT,
    contact TEXT,
    accept_any_ae BIGINT NOT NULL,
    quiet_period BIGINT NOT NULL,
    mail_detail TEXT NOT NULL,
    delivery_deadline BIGINT NOT NULL,
    acknowledgement_deadline BIGINT NOT NULL
);
CREATE UNIQUE INDEX centre_takes_any ON centre (accept_any_ae) WHERE accept_any_ae = 1;

CREATE TABLE centre_ae (
    centre TEXT NOT NULL REFERENCES centre (id),
    ae TEXT NOT NULL,
    PRIMARY KEY (centre, ae)
);
CREATE UNIQUE INDEX centre_ae_title ON centre_ae (ae);

CREATE TABLE person (
    id TEXT NOT NULL PRIMARY KEY,
    login TEXT NOT NULL,
    login_lower TEXT NOT NULL,
    name TEXT NOT NULL,
    credentials TEXT,
    role TEXT NOT NULL,
    scope TEXT,
    disabled BIGINT NOT NULL,
    password_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX person_login ON person (login_lower);

CREATE TABLE session (
    secret TEXT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL REFERENCES person (id),
    since BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX session_expires ON session (expires);
CREATE INDEX session_person ON session (person);

CREATE TABLE token (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    secret TEXT NOT NULL,
    role TEXT NOT NULL,
    created BIGINT NOT NULL,
    revoked BIGINT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX token_secret ON token (secret);

CREATE TABLE physician (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT,
    phone TEXT,
    PRIMARY KEY (centre, id)
);

CREATE TABLE secret (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE exam_order (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    accession_number TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    patient_name TEXT,
    examination TEXT,
    reason TEXT,
    priority BIGINT NOT NULL,
    physician TEXT,
    physician_name TEXT,
    scheduled TEXT,
    study TEXT,
    received BIGINT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX exam_order_accession ON exam_order (centre, accession_number);
CREATE INDEX exam_order_patient ON exam_order (centre, patient_id);
CREATE INDEX exam_order_received ON exam_order (centre, received);

-- A study and its reading: the work item is one to one with the study, and one row is one lock.
CREATE TABLE study (
    centre TEXT NOT NULL REFERENCES centre (id),
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
    claim_until BIGINT,
    PRIMARY KEY (centre, study)
);
CREATE INDEX study_uid ON study (study);
CREATE INDEX study_patient_id ON study (patient_id);
CREATE INDEX study_patient_name ON study (patient_name_lower);
CREATE INDEX study_accession ON study (accession_number);
CREATE INDEX study_latest ON study (study_date DESC, study_time DESC, study, centre);
CREATE INDEX study_arrival ON study (first_received, study, centre);
CREATE INDEX study_unsigned ON study (priority, first_received, study, centre) WHERE signed_version = 0;
CREATE INDEX study_signed ON study (signed_at DESC, study, centre) WHERE signed_version > 0;

CREATE TABLE series (
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
    PRIMARY KEY (centre, study, series),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

CREATE TABLE instance (
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
    received BIGINT NOT NULL,
    PRIMARY KEY (centre, sop_instance),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);
CREATE INDEX instance_series ON instance (centre, study, series);

-- Contents that came second for a SOP Instance UID. The arrival is kept whole, as the catalog's own JSON.
CREATE TABLE conflict (
    centre TEXT NOT NULL REFERENCES centre (id),
    sop_instance TEXT NOT NULL,
    study TEXT NOT NULL,
    data_set_sha256 TEXT NOT NULL,
    arrival TEXT NOT NULL,
    current_study TEXT NOT NULL,
    current_data_set_sha256 TEXT NOT NULL,
    held_at BIGINT NOT NULL,
    resolved_at BIGINT,
    PRIMARY KEY (centre, sop_instance, study, data_set_sha256)
);
CREATE INDEX conflict_study ON conflict (centre, study);
CREATE INDEX conflict_current_study ON conflict (centre, current_study);

CREATE TABLE draft (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    generation BIGINT NOT NULL,
    image_digest TEXT NOT NULL,
    image_count BIGINT NOT NULL,
    at BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (centre, study, generation),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

CREATE TABLE working_copy (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    revision BIGINT NOT NULL,
    person TEXT NOT NULL,
    at BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (centre, study),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

CREATE TABLE report_version (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    key_images TEXT NOT NULL,
    signer TEXT NOT NULL REFERENCES person (id),
    signer_name TEXT NOT NULL,
    signer_credentials TEXT,
    at BIGINT NOT NULL,
    image_generation BIGINT NOT NULL,
    image_digest TEXT NOT NULL,
    image_count BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (centre, study, number),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

-- Where the PDF of a signed version rests; noted once.
CREATE TABLE report_pdf (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    number BIGINT NOT NULL,
    object TEXT NOT NULL,
    PRIMARY KEY (centre, study, number),
    FOREIGN KEY (centre, study, number) REFERENCES report_version (centre, study, number)
);

CREATE TABLE delivery (
    centre TEXT NOT NULL,
    id TEXT NOT NULL,
    study TEXT NOT NULL,
    version BIGINT NOT NULL,
    recipient_kind TEXT NOT NULL,
    recipient_id TEXT NOT NULL,
    recipient_name TEXT NOT NULL,
    address TEXT NOT NULL,
    link TEXT NOT NULL,
    created BIGINT NOT NULL,
    accept_by BIGINT NOT NULL,
    acknowledge_by BIGINT NOT NULL,
    transport TEXT NOT NULL,
    attempts TEXT NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at BIGINT,
    escalated BIGINT,
    PRIMARY KEY (centre, id),
    FOREIGN KEY (centre, study, version) REFERENCES report_version (centre, study, number)
);
CREATE UNIQUE INDEX delivery_id ON delivery (id);
CREATE UNIQUE INDEX delivery_link ON delivery (link);
CREATE UNIQUE INDEX delivery_once ON delivery (centre, study, version, recipient_kind, recipient_id, address);
CREATE INDEX delivery_created ON delivery (created DESC, id DESC);

CREATE TABLE mail (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    at BIGINT NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX mail_id ON mail (id);
CREATE INDEX mail_at ON mail (at DESC, id DESC);

CREATE TABLE task (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    study TEXT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    next_step TEXT NOT NULL,
    opened BIGINT NOT NULL,
    closed_at BIGINT,
    closed_by TEXT,
    closed_note TEXT,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX task_id ON task (id);
CREATE UNIQUE INDEX task_open_subject ON task (centre, kind, subject) WHERE closed_at IS NULL;
CREATE INDEX task_open ON task (opened, id) WHERE closed_at IS NULL;
CREATE INDEX task_closed ON task (opened, id) WHERE closed_at IS NOT NULL;
CREATE INDEX task_study ON task (centre, study);

-- What belongs to no centre stands under the empty centre id.
CREATE TABLE audit (
    centre TEXT NOT NULL,
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    study TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE INDEX audit_study ON audit (centre, study, at, id);
CREATE INDEX audit_at ON audit (centre, at, id);

-- Rows are unpublished events; publishing removes them.
CREATE TABLE outbox (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    subject TEXT NOT NULL,
    study TEXT,
    lane BIGINT NOT NULL,
    event TEXT NOT NULL,
    due BIGINT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE UNIQUE INDEX outbox_subject ON outbox (subject);
CREATE INDEX outbox_lane ON outbox (lane, due, id);
CREATE INDEX outbox_due ON outbox (due);
CREATE INDEX outbox_study ON outbox (centre, study);

CREATE TABLE work (
    centre TEXT NOT NULL,
    id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    queue TEXT NOT NULL,
    lane BIGINT NOT NULL,
    event TEXT NOT NULL,
    available_at BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    delivery_count BIGINT NOT NULL,
    last_reason TEXT,
    PRIMARY KEY (centre, id, revision)
);
CREATE INDEX work_waiting ON work (queue, lane, available_at, id) WHERE dead = 0;
CREATE INDEX work_dead ON work (available_at, id) WHERE dead = 1;

CREATE TABLE catalog_check (
    id BIGINT NOT NULL PRIMARY KEY,
    checks BIGINT NOT NULL
);
INSERT INTO catalog_check (id, checks) VALUES (1, 0);

CREATE TRIGGER report_version_refuses_update BEFORE UPDATE ON report_version
BEGIN
    SELECT RAISE(ABORT, 'a signed version never changes');
END;

CREATE TRIGGER report_version_refuses_delete BEFORE DELETE ON report_version
BEGIN
    SELECT RAISE(ABORT, 'a signed version never changes');
END;

CREATE TRIGGER report_pdf_refuses_update BEFORE UPDATE ON report_pdf
BEGIN
    SELECT RAISE(ABORT, 'the document of a signed version never changes');
END;

CREATE TRIGGER report_pdf_refuses_delete BEFORE DELETE ON report_pdf
BEGIN
    SELECT RAISE(ABORT, 'the document of a signed version never changes');
END;

CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit only grows');
END;

CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit only grows');
END;
