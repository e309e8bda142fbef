//! What every adapter of the `catalog` port must do.
//!
//! A case is a function that takes an empty catalog. [`catalog_cases!`](crate::catalog_cases) makes one test of each, so that a
//! failure names the promise that was broken. Nothing here waits for time: every moment is a parameter.
#![allow(
    clippy::unwrap_used,
    reason = "a case fails by panicking, with the line that says what was expected"
)]

pub mod commitments;
pub mod conflicts;
pub mod deliveries;
pub mod directory;
pub mod documents;
pub mod images;
pub mod orders;
pub mod peers;
pub mod quarantine;
pub mod readings;
pub mod reports;
pub mod taken_out;
pub mod trail;
pub mod upkeep;
pub mod uploads;
pub mod work;
mod world;

/// Makes a test of every case. `$run` is an async function that takes a name and a function from a catalog to a future, makes an empty
/// catalog, calls the function and cleans up.
#[macro_export]
macro_rules! catalog_cases {
    ($run:path) => {
        $crate::catalog_cases! { $run;
            commitments: a_commitment_is_kept_checked_and_reported, a_transaction_is_one_request,
                finished_commitments_are_forgotten, racing_requests_are_one, untold_commitments_are_tried_again,
                waiting_commitments_are_bounded;
            conflicts: a_decision_holds_only_for_what_was_seen, a_task_that_is_closed_decides, an_instance_goes_to_another_study,
                another_patient_is_found, another_patient_is_set_aside, conflicts_are_held_once,
                conflicts_stay_within_their_centre, one_instance_in_two_studies_is_held, one_of_racing_decisions_wins,
                spelling_is_no_other_patient, the_first_content_is_kept, the_second_content_is_used_and_put_back,
                three_contents_are_one_task, what_is_set_aside_is_recognised;
            deliveries: acknowledgements_count_once, attempts_are_kept_and_scheduled, deliveries_are_listed,
                deliveries_are_opened_once, escalation_happens_once, mails_are_kept_once, racing_escalations;
            directory: centres_are_found_by_ae_title, centres_refuse_what_others_have, people_sign_in_by_login,
                physicians_are_found_by_name, racing_centres_share_no_title, secrets_are_made_once, sessions_end,
                tokens_open_until_revoked;
            documents: a_document_belongs_to_a_generation, frames_are_noted_with_their_content,
                quiet_studies_wait_for_documents;
            images: a_batch_may_hold_one_instance_twice, a_first_image_makes_everything, a_sender_s_count_is_believed,
                an_unknown_centre_is_refused_whole, centres_do_not_see_each_other,
                filters_match_as_qido_has_it, image_sets_do_not_depend_on_order, instances_stand_in_order,
                late_images_reopen_a_study, late_images_after_signature_open_a_task,
                racing_arrivals_of_one_instance_are_one, racing_batches_of_one_study_are_counted, request_boundaries_decide,
                the_same_again_is_recognised;
            orders: a_changed_priority_moves_what_waits, an_order_waits_for_its_study, doubt_links_nothing,
                orders_are_kept_by_accession_number, racing_orders_and_studies_meet, a_study_waits_for_its_order;
            peers: policies_stay_with_their_titles;
            quarantine: a_full_quarantine_takes_no_more, decided_objects_are_forgotten, decisions_are_audited_and_undone,
                objects_are_kept_once_where_they_are_wanted;
            readings: claims_are_taken_released_and_taken_over, one_of_twenty_claims_wins, the_worklist_is_in_order,
                the_worklist_is_searched, the_worklist_says_who_and_what;
            reports: a_signature_is_kept_whole, an_addendum_follows, drafts_only_get_newer, signatures_are_refused,
                signing_again_gives_what_is_there, signing_twice_at_once_signs_once, the_pdf_is_noted_once,
                working_copies_are_compared_and_set;
            taken_out: a_study_goes_and_comes_back_whole, its_time_ends, racing_with_arrivals, what_comes_meanwhile_is_refused,
                what_is_in_use_stays, what_others_took_meanwhile_is_theirs;
            trail: tasks_are_closed_within_scope, tasks_are_opened_once, the_audit_is_kept, the_catalog_checks_itself;
            upkeep: a_job_has_one_holder, condemned_objects_cannot_become_known, condemned_pictures_cannot_become_known,
                damage_is_told_once_and_ends, long_pages_are_asked_at_once, marks_go_up, named_objects_are_walked,
                only_what_a_row_names_is_named, racing_sweeps_and_arrivals_exclude_each_other,
                removals_are_taken_over_and_audited, tasks_are_settled;
            uploads: batches_are_listed_and_forgotten, batches_say_what_became_of_files, journeys_are_listed,
                uploads_are_begun_and_ended_once;
            work: dead_work_is_leased_apart, leases_fence, lanes_go_first, racing_workers_share_nothing,
                the_outbox_is_in_order, the_outbox_keeps_newer_revisions, the_same_work_is_kept_once,
                work_dies_after_its_deliveries;
        }
    };
    ($run:path; $($part:ident: $($case:ident),+;)+) => {
        $(mod $part {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $run(stringify!($case), |catalog| {
                        Box::pin($crate::conformance::catalog::$part::$case(catalog))
                    })
                    .await;
                }
            )+
        })+
    };
}
