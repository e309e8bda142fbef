-- What a centre allows an AE title, as the catalog's own JSON; nothing stands for the default.
ALTER TABLE centre_ae ADD COLUMN policy TEXT;

-- Requests for storage commitment. References and failures are the catalog's own JSON.
CREATE TABLE commitment (
    centre TEXT NOT NULL REFERENCES centre (id),
    id TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    ae TEXT,
    refs TEXT NOT NULL,
    asked BIGINT NOT NULL,
    is_duplicate BIGINT NOT NULL,
    failures TEXT,
    failed_tries BIGINT NOT NULL,
    reported BIGINT,
    finished BIGINT,
    PRIMARY KEY (centre, id)
);
CREATE UNIQUE INDEX commitment_id ON commitment (id);
CREATE UNIQUE INDEX commitment_transaction ON commitment (centre, transaction_uid) WHERE is_duplicate = 0;
CREATE INDEX commitment_waiting ON commitment (centre, ae) WHERE finished IS NULL;
CREATE INDEX commitment_finished ON commitment (centre, finished) WHERE finished IS NOT NULL;
