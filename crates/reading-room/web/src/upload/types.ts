/** What the upload page asks for over `/api/v1`. */

export interface Names {
  patient_name: string | null;
  patient_id: string | null;
  accession_number: string | null;
  description: string | null;
  study_date: string | null;
}

export interface BatchStudy extends Partial<Names> {
  study_uid: string;
  modalities: string[];
  stored: number;
  already_stored: number;
  not_stored: number;
}

export interface Batch {
  id: string;
  began: string;
  by_name: string | null;
  arriving: number;
  waiting: number;
  ended: number;
  bytes: number;
  studies: BatchStudy[];
  not_images: number;
  not_stored: number;
  refusals: { name: string; reason: string; next_step: string }[];
  promised: number;
  missing: number;
  missing_names: string[];
}

export interface Batches {
  centres: { id: string; name: string }[];
  centre: string | null;
  upload_bytes_max: number;
  batches: Batch[];
}

export const STAGES = [
  "arriving",
  "stored",
  "queued",
  "drafted",
  "being_read",
  "signed",
  "delivered",
  "acknowledged",
] as const;

export type Stage = (typeof STAGES)[number];

export interface JourneyStudy extends Names {
  study_uid: string;
  modalities: string[];
  series_count: number;
  instance_count: number;
  expected_instances: number | null;
  priority: "stat" | "urgent" | "routine";
  first_received: string;
  last_received: string;
  stage: Stage;
  since: string;
  new_images_after_signature: boolean;
  deliveries: number;
  acknowledged: number;
  needs_attention: { reason: string; next_step: string }[];
}

export interface Journeys {
  now: string;
  offset: number;
  more: boolean;
  studies: JourneyStudy[];
}
