-- The catalog, for PostgreSQL.

-- Columns are text, bigint and blob alone; times are microseconds since 1970, booleans 0 or 1, dates YYYY-MM-DD, lanes 0 stat, 1 urgent, 2 routine.

-- Texts compare by their bytes (collation C), as in SQLite.

CREATE TABLE centre (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    phone TEXT COLLATE "C",
    contact TEXT COLLATE "C",
    accept_any_ae BIGINT NOT NULL,
    quiet_period BIGINT NOT NULL,
    mail_detail TEXT COLLATE "C" NOT NULL,
    delivery_deadline BIGINT NOT NULL,
    acknowledgement_deadline BIGINT NOT NULL
);
CREATE UNIQUE INDEX centre_takes_any ON centre (accept_any_ae) WHERE accept_any_ae = 1;

CREATE TABLE centre_ae (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    ae TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, ae)
);
CREATE UNIQUE INDEX centre_ae_title ON centre_ae (ae);

CREATE TABLE person (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    login TEXT COLLATE "C" NOT NULL,
    login_lower TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    credentials TEXT COLLATE "C",
    role TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C",
    disabled BIGINT NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX person_login ON person (login_lower);

CREATE TABLE session (
    secret TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id),
    since BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX session_expires ON session (expires);
CREATE INDEX session_person ON session (person);

CREATE TABLE token (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    secret TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    revoked BIGINT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX token_secret ON token (secret);

CREATE TABLE physician (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C",
    phone TEXT COLLATE "C",
    PRIMARY KEY (centre, id)
);

CREATE TABLE secret (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE exam_order (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    accession_number TEXT COLLATE "C" NOT NULL,
    patient_id TEXT COLLATE "C" NOT NULL,
    patient_name TEXT COLLATE "C",
    examination TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    priority BIGINT NOT NULL,
    physician TEXT COLLATE "C",
    physician_name TEXT COLLATE "C",
    scheduled TEXT COLLATE "C",
    study TEXT COLLATE "C",
    received BIGINT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX exam_order_accession ON exam_order (centre, accession_number);
CREATE INDEX exam_order_patient ON exam_order (centre, patient_id);
CREATE INDEX exam_order_received ON exam_order (centre, received);

-- A study and its reading: the work item is one to one with the study, and one row is one lock.
CREATE TABLE study (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    study TEXT COLLATE "C" NOT NULL,
    patient_id TEXT COLLATE "C",
    patient_name TEXT COLLATE "C",
    patient_name_lower TEXT COLLATE "C",
    patient_birth_date TEXT COLLATE "C",
    patient_sex TEXT COLLATE "C",
    study_date TEXT COLLATE "C" NOT NULL,
    study_time TEXT COLLATE "C" NOT NULL,
    accession_number TEXT COLLATE "C",
    study_id TEXT COLLATE "C",
    description TEXT COLLATE "C",
    referring_physician TEXT COLLATE "C",
    referring_physician_lower TEXT COLLATE "C",
    institution TEXT COLLATE "C",
    timezone_offset TEXT COLLATE "C",
    search TEXT COLLATE "C" NOT NULL,
    modalities TEXT COLLATE "C" NOT NULL,
    series_count BIGINT NOT NULL,
    instance_count BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    first_received BIGINT NOT NULL,
    last_received BIGINT NOT NULL,
    completeness TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C",
    order_match TEXT COLLATE "C",
    priority BIGINT NOT NULL,
    conflict_count BIGINT NOT NULL,
    signed_version BIGINT NOT NULL,
    signed_at BIGINT,
    signed_generation BIGINT,
    claim_by TEXT COLLATE "C",
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
    centre TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    series TEXT COLLATE "C" NOT NULL,
    modality TEXT COLLATE "C",
    number BIGINT,
    description TEXT COLLATE "C",
    body_part TEXT COLLATE "C",
    protocol_name TEXT COLLATE "C",
    device TEXT COLLATE "C",
    instance_count BIGINT NOT NULL,
    PRIMARY KEY (centre, study, series),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

CREATE TABLE instance (
    centre TEXT COLLATE "C" NOT NULL,
    sop_instance TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    series TEXT COLLATE "C" NOT NULL,
    sop_class TEXT COLLATE "C" NOT NULL,
    transfer_syntax TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    file_sha256 TEXT COLLATE "C" NOT NULL,
    data_set_sha256 TEXT COLLATE "C" NOT NULL,
    number BIGINT,
    pixel_rows BIGINT,
    pixel_columns BIGINT,
    bits_allocated BIGINT,
    frames BIGINT,
    position_mm TEXT COLLATE "C",
    orientation TEXT COLLATE "C",
    header_bytes BIGINT NOT NULL,
    received BIGINT NOT NULL,
    PRIMARY KEY (centre, sop_instance),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);
CREATE INDEX instance_series ON instance (centre, study, series);

-- Contents that came second for a SOP Instance UID. The arrival is kept whole, as the catalog's own JSON.
CREATE TABLE conflict (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    sop_instance TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    data_set_sha256 TEXT COLLATE "C" NOT NULL,
    arrival TEXT COLLATE "C" NOT NULL,
    current_study TEXT COLLATE "C" NOT NULL,
    current_data_set_sha256 TEXT COLLATE "C" NOT NULL,
    held_at BIGINT NOT NULL,
    resolved_at BIGINT,
    PRIMARY KEY (centre, sop_instance, study, data_set_sha256)
);
CREATE INDEX conflict_study ON conflict (centre, study);
CREATE INDEX conflict_current_study ON conflict (centre, current_study);

CREATE TABLE draft (
    centre TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    image_digest TEXT COLLATE "C" NOT NULL,
    image_count BIGINT NOT NULL,
    at BIGINT NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, study, generation),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

CREATE TABLE working_copy (
    centre TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, study),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

CREATE TABLE report_version (
    centre TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    key_images TEXT COLLATE "C" NOT NULL,
    signer TEXT COLLATE "C" NOT NULL REFERENCES person (id),
    signer_name TEXT COLLATE "C" NOT NULL,
    signer_credentials TEXT COLLATE "C",
    at BIGINT NOT NULL,
    image_generation BIGINT NOT NULL,
    image_digest TEXT COLLATE "C" NOT NULL,
    image_count BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, study, number),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

-- Where the PDF of a signed version rests; noted once.
CREATE TABLE report_pdf (
    centre TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, study, number),
    FOREIGN KEY (centre, study, number) REFERENCES report_version (centre, study, number)
);

CREATE TABLE delivery (
    centre TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    recipient_kind TEXT COLLATE "C" NOT NULL,
    recipient_id TEXT COLLATE "C" NOT NULL,
    recipient_name TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    link TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    accept_by BIGINT NOT NULL,
    acknowledge_by BIGINT NOT NULL,
    transport TEXT COLLATE "C" NOT NULL,
    attempts TEXT COLLATE "C" NOT NULL,
    acknowledged_by TEXT COLLATE "C",
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
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    recipient TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    message BYTEA NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX mail_id ON mail (id);
CREATE INDEX mail_at ON mail (at DESC, id DESC);

CREATE TABLE task (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    next_step TEXT COLLATE "C" NOT NULL,
    opened BIGINT NOT NULL,
    closed_at BIGINT,
    closed_by TEXT COLLATE "C",
    closed_note TEXT COLLATE "C",
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX task_id ON task (id);
CREATE UNIQUE INDEX task_open_subject ON task (centre, kind, subject) WHERE closed_at IS NULL;
CREATE INDEX task_open ON task (opened, id) WHERE closed_at IS NULL;
CREATE INDEX task_closed ON task (opened, id) WHERE closed_at IS NOT NULL;
CREATE INDEX task_study ON task (centre, study);

-- What belongs to no centre stands under the empty centre id.
CREATE TABLE audit (
    centre TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C",
    detail TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE INDEX audit_study ON audit (centre, study, at, id);
CREATE INDEX audit_at ON audit (centre, at, id);

-- Rows are unpublished events; publishing removes them.
CREATE TABLE outbox (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    study TEXT COLLATE "C",
    lane BIGINT NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    due BIGINT NOT NULL,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE UNIQUE INDEX outbox_subject ON outbox (subject);
CREATE INDEX outbox_lane ON outbox (lane, due, id);
CREATE INDEX outbox_due ON outbox (due);
CREATE INDEX outbox_study ON outbox (centre, study);

CREATE TABLE work (
    centre TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    queue TEXT COLLATE "C" NOT NULL,
    lane BIGINT NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    available_at BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    delivery_count BIGINT NOT NULL,
    last_reason TEXT COLLATE "C",
    PRIMARY KEY (centre, id, revision)
);
CREATE INDEX work_waiting ON work (queue, lane, available_at, id) WHERE dead = 0;
CREATE INDEX work_dead ON work (available_at, id) WHERE dead = 1;

CREATE TABLE catalog_check (
    id BIGINT NOT NULL PRIMARY KEY,
    checks BIGINT NOT NULL
);
INSERT INTO catalog_check (id, checks) VALUES (1, 0);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: % refused', TG_TABLE_NAME, TG_OP;
END
$$;

CREATE TRIGGER report_version_refuses_change BEFORE UPDATE OR DELETE ON report_version
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER report_version_refuses_truncate BEFORE TRUNCATE ON report_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER report_pdf_refuses_change BEFORE UPDATE OR DELETE ON report_pdf
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER report_pdf_refuses_truncate BEFORE TRUNCATE ON report_pdf
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
