//! Which services an acceptor speaks, and which presentation contexts it therefore accepts.
//! It is not a list of storage SOP classes: storing needs no knowledge of the class, so every abstract syntax that is
//! not known to be something else is taken for storage, private, retired and unknown ones included.

use dicom_dictionary_std::uids;

use crate::query::Root;

/// What a presentation context is for, decided by its abstract syntax alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Verification (PS3.4 annex A): C-ECHO.
    Verification,
    /// Instance Availability Notification (PS3.4 annex R): N-CREATE.
    InstanceAvailability,
    /// Storage Commitment Push Model (PS3.4 annex J): N-ACTION, and N-EVENT-REPORT the other way.
    Commitment,
    /// Query of an information model (PS3.4 annex C): C-FIND.
    Find(Root),
    /// Retrieve of an information model, to another application entity: C-MOVE.
    Move(Root),
    /// Retrieve of an information model, on the same association: C-GET.
    Get(Root),
    /// Storage (PS3.4 annex B): C-STORE, of any class.
    Storage,
    /// A service of the standard that is not storage, or no well-formed UID at all: refused.
    Unsupported,
}

impl Service {
    /// The service that an abstract syntax UID (without padding) stands for.
    #[must_use]
    pub fn of(abstract_syntax: &str) -> Self {
        if !crate::text::is_uid(abstract_syntax) {
            return Self::Unsupported;
        }
        match abstract_syntax {
            uids::VERIFICATION => Self::Verification,
            uids::INSTANCE_AVAILABILITY_NOTIFICATION => Self::InstanceAvailability,
            uids::STORAGE_COMMITMENT_PUSH_MODEL => Self::Commitment,
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND => Self::Find(Root::Patient),
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND => Self::Find(Root::Study),
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE => Self::Move(Root::Patient),
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE => Self::Move(Root::Study),
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET => Self::Get(Root::Patient),
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET => Self::Get(Root::Study),
            other if OTHER_SERVICES.iter().any(|(uid, _)| *uid == other) => Self::Unsupported,
            _ => Self::Storage,
        }
    }
}

/// SOP classes and meta SOP classes of PS3.6 table A-1 that name a service other than storage, verification,
/// instance availability notification, storage commitment, and query and retrieve, with their PS3.6 names, in the order of their UIDs. The
/// basic directory is among them: it exists on media only (PS3.4 annex B has no such class).
pub const OTHER_SERVICES: &[(&str, &str)] = &[
    ("1.2.840.10008.1.3.10", "Media Storage Directory Storage"),
    ("1.2.840.10008.1.9", "Basic Study Content Notification SOP Class (Retired)"),
    ("1.2.840.10008.1.20.2", "Storage Commitment Pull Model SOP Class (Retired)"),
    ("1.2.840.10008.1.40", "Procedural Event Logging SOP Class"),
    ("1.2.840.10008.1.42", "Substance Administration Logging SOP Class"),
    ("1.2.840.10008.3.1.2.1.1", "Detached Patient Management SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.1.4", "Detached Patient Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.2.1", "Detached Visit Management SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.3.1", "Detached Study Management SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.3.2", "Study Component Management SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.3.3", "Modality Performed Procedure Step SOP Class"),
    ("1.2.840.10008.3.1.2.3.4", "Modality Performed Procedure Step Retrieve SOP Class"),
    ("1.2.840.10008.3.1.2.3.5", "Modality Performed Procedure Step Notification SOP Class"),
    ("1.2.840.10008.3.1.2.5.1", "Detached Results Management SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.5.4", "Detached Results Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.5.5", "Detached Study Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.3.1.2.6.1", "Detached Interpretation Management SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.1", "Basic Film Session SOP Class"),
    ("1.2.840.10008.5.1.1.2", "Basic Film Box SOP Class"),
    ("1.2.840.10008.5.1.1.4", "Basic Grayscale Image Box SOP Class"),
    ("1.2.840.10008.5.1.1.4.1", "Basic Color Image Box SOP Class"),
    ("1.2.840.10008.5.1.1.4.2", "Referenced Image Box SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.9", "Basic Grayscale Print Management Meta SOP Class"),
    ("1.2.840.10008.5.1.1.9.1", "Referenced Grayscale Print Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.14", "Print Job SOP Class"),
    ("1.2.840.10008.5.1.1.15", "Basic Annotation Box SOP Class"),
    ("1.2.840.10008.5.1.1.16", "Printer SOP Class"),
    ("1.2.840.10008.5.1.1.16.376", "Printer Configuration Retrieval SOP Class"),
    ("1.2.840.10008.5.1.1.18", "Basic Color Print Management Meta SOP Class"),
    ("1.2.840.10008.5.1.1.18.1", "Referenced Color Print Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.22", "VOI LUT Box SOP Class"),
    ("1.2.840.10008.5.1.1.23", "Presentation LUT SOP Class"),
    ("1.2.840.10008.5.1.1.24", "Image Overlay Box SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.24.1", "Basic Print Image Overlay Box SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.26", "Print Queue Management SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.31", "Pull Print Request SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.32", "Pull Stored Print Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.5.1.1.33", "Media Creation Management SOP Class UID"),
    ("1.2.840.10008.5.1.1.40", "Display System SOP Class"),
    ("1.2.840.10008.5.1.4.1.1.200.4", "Protocol Approval Information Model - FIND"),
    ("1.2.840.10008.5.1.4.1.1.200.5", "Protocol Approval Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.1.1.200.6", "Protocol Approval Information Model - GET"),
    ("1.2.840.10008.5.1.4.1.1.201.2", "Inventory - FIND"),
    ("1.2.840.10008.5.1.4.1.1.201.3", "Inventory - MOVE"),
    ("1.2.840.10008.5.1.4.1.1.201.4", "Inventory - GET"),
    ("1.2.840.10008.5.1.4.1.1.201.5", "Inventory Creation"),
    ("1.2.840.10008.5.1.4.1.1.201.6", "Repository Query"),
    ("1.2.840.10008.5.1.4.1.2.3.1", "Patient/Study Only Query/Retrieve Information Model - FIND (Retired)"),
    ("1.2.840.10008.5.1.4.1.2.3.2", "Patient/Study Only Query/Retrieve Information Model - MOVE (Retired)"),
    ("1.2.840.10008.5.1.4.1.2.3.3", "Patient/Study Only Query/Retrieve Information Model - GET (Retired)"),
    ("1.2.840.10008.5.1.4.1.2.4.2", "Composite Instance Root Retrieve - MOVE"),
    ("1.2.840.10008.5.1.4.1.2.4.3", "Composite Instance Root Retrieve - GET"),
    ("1.2.840.10008.5.1.4.1.2.5.3", "Composite Instance Retrieve Without Bulk Data - GET"),
    ("1.2.840.10008.5.1.4.20.1", "Defined Procedure Protocol Information Model - FIND"),
    ("1.2.840.10008.5.1.4.20.2", "Defined Procedure Protocol Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.20.3", "Defined Procedure Protocol Information Model - GET"),
    ("1.2.840.10008.5.1.4.31", "Modality Worklist Information Model - FIND"),
    ("1.2.840.10008.5.1.4.32", "General Purpose Worklist Management Meta SOP Class (Retired)"),
    ("1.2.840.10008.5.1.4.32.1", "General Purpose Worklist Information Model - FIND (Retired)"),
    ("1.2.840.10008.5.1.4.32.2", "General Purpose Scheduled Procedure Step SOP Class (Retired)"),
    ("1.2.840.10008.5.1.4.32.3", "General Purpose Performed Procedure Step SOP Class (Retired)"),
    ("1.2.840.10008.5.1.4.34.2", "RT Conventional Machine Verification - Trial (Retired)"),
    ("1.2.840.10008.5.1.4.34.3", "RT Ion Machine Verification - Trial (Retired)"),
    ("1.2.840.10008.5.1.4.34.4.1", "Unified Procedure Step - Push SOP Class - Trial (Retired)"),
    ("1.2.840.10008.5.1.4.34.4.2", "Unified Procedure Step - Watch SOP Class - Trial (Retired)"),
    ("1.2.840.10008.5.1.4.34.4.3", "Unified Procedure Step - Pull SOP Class - Trial (Retired)"),
    ("1.2.840.10008.5.1.4.34.4.4", "Unified Procedure Step - Event SOP Class - Trial (Retired)"),
    ("1.2.840.10008.5.1.4.34.6.1", "Unified Procedure Step - Push SOP Class"),
    ("1.2.840.10008.5.1.4.34.6.2", "Unified Procedure Step - Watch SOP Class"),
    ("1.2.840.10008.5.1.4.34.6.3", "Unified Procedure Step - Pull SOP Class"),
    ("1.2.840.10008.5.1.4.34.6.4", "Unified Procedure Step - Event SOP Class"),
    ("1.2.840.10008.5.1.4.34.6.5", "Unified Procedure Step - Query SOP Class"),
    ("1.2.840.10008.5.1.4.34.8", "RT Conventional Machine Verification"),
    ("1.2.840.10008.5.1.4.34.9", "RT Ion Machine Verification"),
    ("1.2.840.10008.5.1.4.37.1", "General Relevant Patient Information Query"),
    ("1.2.840.10008.5.1.4.37.2", "Breast Imaging Relevant Patient Information Query"),
    ("1.2.840.10008.5.1.4.37.3", "Cardiac Relevant Patient Information Query"),
    ("1.2.840.10008.5.1.4.38.2", "Hanging Protocol Information Model - FIND"),
    ("1.2.840.10008.5.1.4.38.3", "Hanging Protocol Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.38.4", "Hanging Protocol Information Model - GET"),
    ("1.2.840.10008.5.1.4.39.2", "Color Palette Query/Retrieve Information Model - FIND"),
    ("1.2.840.10008.5.1.4.39.3", "Color Palette Query/Retrieve Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.39.4", "Color Palette Query/Retrieve Information Model - GET"),
    ("1.2.840.10008.5.1.4.41", "Product Characteristics Query SOP Class"),
    ("1.2.840.10008.5.1.4.42", "Substance Approval Query SOP Class"),
    ("1.2.840.10008.5.1.4.43.2", "Generic Implant Template Information Model - FIND"),
    ("1.2.840.10008.5.1.4.43.3", "Generic Implant Template Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.43.4", "Generic Implant Template Information Model - GET"),
    ("1.2.840.10008.5.1.4.44.2", "Implant Assembly Template Information Model - FIND"),
    ("1.2.840.10008.5.1.4.44.3", "Implant Assembly Template Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.44.4", "Implant Assembly Template Information Model - GET"),
    ("1.2.840.10008.5.1.4.45.2", "Implant Template Group Information Model - FIND"),
    ("1.2.840.10008.5.1.4.45.3", "Implant Template Group Information Model - MOVE"),
    ("1.2.840.10008.5.1.4.45.4", "Implant Template Group Information Model - GET"),
    ("1.2.840.10008.10.1", "Video Endoscopic Image Real-Time Communication"),
    ("1.2.840.10008.10.2", "Video Photographic Image Real-Time Communication"),
    ("1.2.840.10008.10.3", "Audio Waveform Real-Time Communication"),
    ("1.2.840.10008.10.4", "Rendition Selection Document Real-Time Communication"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every storage class of PS3.6 table A-1, retired ones included.
    const STORAGE_CLASSES: &str = include_str!("../tests/storage-classes.tsv");

    #[test]
    fn every_storage_class_of_the_standard_is_storage() {
        let mut count = 0;
        for line in STORAGE_CLASSES.lines() {
            let (uid, name) = line.split_once('\t').unwrap();
            assert_eq!(Service::of(uid), Service::Storage, "{uid} {name}");
            count += 1;
        }
        assert!(count > 150, "{count}");
    }

    #[test]
    fn other_services_are_refused_and_stand_once_in_the_table_in_order() {
        let key = |uid: &str| uid.split('.').map(|part| part.parse::<u64>().unwrap()).collect::<Vec<_>>();
        for (uid, name) in OTHER_SERVICES {
            assert_eq!(Service::of(uid), Service::Unsupported, "{uid} {name}");
        }
        assert!(OTHER_SERVICES.is_sorted_by(|a, b| key(a.0) < key(b.0)));
        for known in [
            uids::MODALITY_PERFORMED_PROCEDURE_STEP,
            uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND,
            uids::BASIC_GRAYSCALE_PRINT_MANAGEMENT_META,
            uids::UNIFIED_PROCEDURE_STEP_PUSH,
            uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
        ] {
            assert!(OTHER_SERVICES.iter().any(|(uid, _)| *uid == known), "{known}");
        }
        for root in Root::ALL {
            assert_eq!(Service::of(root.find_uid()), Service::Find(root));
            assert_eq!(Service::of(root.move_uid()), Service::Move(root));
            assert_eq!(Service::of(root.get_uid()), Service::Get(root));
        }
        assert_eq!(Service::of(uids::VERIFICATION), Service::Verification);
        assert_eq!(Service::of(uids::INSTANCE_AVAILABILITY_NOTIFICATION), Service::InstanceAvailability);
    }

    #[test]
    fn private_unknown_and_malformed() {
        let cases = [
            ("1.2.840.10008.5.1.4.1.1.2", Service::Storage),
            ("1.2.840.10008.5.1.4.1.1.3", Service::Storage),
            ("1.2.840.10008.5.1.1.29", Service::Storage),
            ("1.2.840.113619.4.26", Service::Storage),
            ("1.2.840.10008.5.1.4.1.1.9999", Service::Storage),
            ("1.2.840.10008.1.20.1", Service::Commitment),
            ("1.2.840.10008.1.20.2", Service::Unsupported),
            ("1.2.840.10008.5.1.4.1.2.1.1", Service::Find(Root::Patient)),
            ("1.2.840.10008.5.1.4.1.2.1.2", Service::Move(Root::Patient)),
            ("1.2.840.10008.5.1.4.1.2.1.3", Service::Get(Root::Patient)),
            ("1.2.840.10008.5.1.4.1.2.2.1", Service::Find(Root::Study)),
            ("1.2.840.10008.5.1.4.1.2.2.2", Service::Move(Root::Study)),
            ("1.2.840.10008.5.1.4.1.2.2.3", Service::Get(Root::Study)),
            ("1.2.840.10008.5.1.4.1.2.3.1", Service::Unsupported),
            ("1.2.840.10008.5.1.4.31", Service::Unsupported),
            ("1.2.840.10008.3.1.2.3.3", Service::Unsupported),
            ("", Service::Unsupported),
            ("../../etc/passwd", Service::Unsupported),
            ("1.2.840.10008.1.1 ", Service::Unsupported),
        ];
        for (uid, expected) in cases {
            assert_eq!(Service::of(uid), expected, "{uid:?}");
        }
        assert_eq!(Service::of(&"1".repeat(64)), Service::Storage);
        assert_eq!(Service::of(&"1".repeat(65)), Service::Unsupported);
    }
}
