//! DIMSE status codes: what they mean and whether the instance is stored.
//! The words are those of PS3.4 table B.2-1 and PS3.7 annex C. PS3.2 annex N prints 0112H for "SOP class not
//! supported" and 0214H for "not authorised"; PS3.7 and the toolkits use 0122H and 0124H, and so do we.

use std::fmt;

/// Class of a status (PS3.7 annex C): what the peer has to make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// Done.
    Success,
    /// Done, with a remark.
    Warning,
    /// Not done.
    Failure,
    /// Ended because the requestor asked for it.
    Cancel,
    /// Goes on; more responses follow.
    Pending,
}

impl StatusClass {
    /// Whether an instance whose store was answered so is stored (PS3.4 section B.2.3: success and warning).
    #[must_use]
    pub fn is_stored(self) -> bool {
        match self {
            Self::Success | Self::Warning => true,
            Self::Failure | Self::Cancel | Self::Pending => false,
        }
    }
}

/// A status code (0000,0900), as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

impl Status {
    /// 0000H: done.
    pub const SUCCESS: Self = Self(0x0000);
    /// 0106H (PS3.7 C.5): an attribute value is invalid.
    pub const INVALID_ATTRIBUTE_VALUE: Self = Self(0x0106);
    /// 0110H (PS3.7 C.5): processing failure.
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// 0111H (PS3.7 C.5): the SOP instance exists already.
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    /// 0112H (PS3.7 C.5): no such SOP instance.
    pub const NO_SUCH_SOP_INSTANCE: Self = Self(0x0112);
    /// 0118H (PS3.7 C.5): no such SOP class.
    pub const NO_SUCH_SOP_CLASS: Self = Self(0x0118);
    /// 0123H (PS3.7 C.5): no such action.
    pub const NO_SUCH_ACTION: Self = Self(0x0123);
    /// 0115H (PS3.7 C.5): an argument value is invalid.
    pub const INVALID_ARGUMENT_VALUE: Self = Self(0x0115);
    /// 0117H (PS3.7 C.5): the SOP Instance UID is not well formed.
    pub const INVALID_SOP_INSTANCE: Self = Self(0x0117);
    /// 0120H (PS3.7 C.5): a required attribute is missing.
    pub const MISSING_ATTRIBUTE: Self = Self(0x0120);
    /// 0122H (PS3.7 C.5): SOP class not supported.
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// 0124H (PS3.7 C.5): not authorised.
    pub const NOT_AUTHORISED: Self = Self(0x0124);
    /// 0210H (PS3.7 C.5): the message id is in use.
    pub const DUPLICATE_INVOCATION: Self = Self(0x0210);
    /// 0211H (PS3.7 C.5): the operation is not one of those agreed.
    pub const UNRECOGNISED_OPERATION: Self = Self(0x0211);
    /// 0212H (PS3.7 C.5): a parameter is not one of those agreed.
    pub const MISTYPED_ARGUMENT: Self = Self(0x0212);
    /// 0213H (PS3.7 C.5): resource limitation.
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);
    /// A700H (PS3.4 table B.2-1): refused, out of resources; the peer may send again later.
    pub const OUT_OF_RESOURCES: Self = Self(0xa700);
    /// A900H (PS3.4 table B.2-1): the data set does not match the SOP class.
    pub const DATA_SET_DOES_NOT_MATCH: Self = Self(0xa900);
    /// C000H (PS3.4 table B.2-1): cannot understand.
    pub const CANNOT_UNDERSTAND: Self = Self(0xc000);
    /// B000H (PS3.4 table B.2-1): stored, data elements were coerced.
    pub const COERCION_OF_DATA_ELEMENTS: Self = Self(0xb000);
    /// A701H (PS3.4 table C.4-2): refused, out of resources: the matches cannot be counted.
    pub const CANNOT_COUNT_MATCHES: Self = Self(0xa701);
    /// A702H (PS3.4 table C.4-2): refused, out of resources: sub-operations cannot be performed.
    pub const CANNOT_PERFORM_SUB_OPERATIONS: Self = Self(0xa702);
    /// A801H (PS3.4 table C.4-2): refused, the move destination is unknown.
    pub const MOVE_DESTINATION_UNKNOWN: Self = Self(0xa801);
    /// B000H (PS3.4 tables C.4-2 and C.4-3): sub-operations are complete, and some failed or had warnings.
    pub const SUB_OPERATIONS_FAILED: Self = Self(0xb000);
    /// C000H (PS3.4 tables C.4-1 to C.4-3): unable to process.
    pub const UNABLE_TO_PROCESS: Self = Self(0xc000);
    /// FE00H (PS3.4 tables C.4-1 to C.4-3): ended because the peer cancelled it.
    pub const CANCELLED: Self = Self(0xfe00);
    /// FF00H (PS3.4 tables C.4-1 to C.4-3): goes on.
    pub const PENDING: Self = Self(0xff00);
    /// FF01H (PS3.4 table C.4-1): goes on, and some optional keys were not supported.
    pub const PENDING_WITHOUT_SOME_KEYS: Self = Self(0xff01);
    /// C122H (PS3.18 section I.2.2): STOW-RS does not take this transfer syntax. It is one of "cannot understand" (PS3.4 table B.2-1).
    pub const TRANSFER_SYNTAX_NOT_SUPPORTED: Self = Self(0xc122);
    /// B006H (PS3.4 table B.2-1): stored, elements were discarded.
    pub const ELEMENTS_DISCARDED: Self = Self(0xb006);
    /// B007H (PS3.4 table B.2-1): stored, the data set does not match the SOP class.
    pub const STORED_BUT_DOES_NOT_MATCH: Self = Self(0xb007);

    /// Class of this status: from [`STORE_STATUSES`], else from the ranges of PS3.7 annex C. A code that no range holds
    /// counts as a failure, so that nobody takes an unknown answer for a stored instance.
    #[must_use]
    pub fn class(self) -> StatusClass {
        if let Some(entry) = StoreStatus::of(self) {
            return entry.class;
        }
        match self.0 {
            0x0001 | 0x0107 | 0x0116 | 0xb000..=0xbfff => StatusClass::Warning,
            0xfe00 => StatusClass::Cancel,
            0xff00 | 0xff01 => StatusClass::Pending,
            _ => StatusClass::Failure,
        }
    }

    /// What the standard calls this status, for people; never empty.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        if let Some(entry) = StoreStatus::of(self) {
            return entry.meaning;
        }
        match self.class() {
            StatusClass::Success => "success",
            StatusClass::Warning => "warning that PS3.4 does not list for storage",
            StatusClass::Failure => "failure that PS3.4 does not list for storage",
            StatusClass::Cancel => "cancelled",
            StatusClass::Pending => "pending",
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:04X}H)", self.0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}H {}", self.0, self.meaning())
    }
}

/// One row of the table of statuses that a store may be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStatus {
    /// First code of the range.
    pub first: u16,
    /// Last code of the range, which is the first one where the standard gives a single code.
    pub last: u16,
    /// Class.
    pub class: StatusClass,
    /// Meaning in the words of the standard.
    pub meaning: &'static str,
    /// Where it is printed.
    pub source: &'static str,
}

impl StoreStatus {
    /// The row that holds a status.
    #[must_use]
    pub fn of(status: Status) -> Option<&'static Self> {
        STORE_STATUSES.iter().find(|entry| (entry.first..=entry.last).contains(&status.0))
    }

    const fn row(
        first: u16,
        last: u16,
        class: StatusClass,
        meaning: &'static str,
        source: &'static str,
    ) -> Self {
        Self { first, last, class, meaning, source }
    }
}

const TABLE_B: &str = "PS3.4 table B.2-1";
const ANNEX_C: &str = "PS3.7 annex C";

/// Statuses of C-STORE, and those of PS3.7 annex C that any operation may be answered with.
pub const STORE_STATUSES: &[StoreStatus] = &[
    StoreStatus::row(0x0000, 0x0000, StatusClass::Success, "success", ANNEX_C),
    StoreStatus::row(0xb000, 0xb000, StatusClass::Warning, "coercion of data elements", TABLE_B),
    StoreStatus::row(0xb006, 0xb006, StatusClass::Warning, "elements discarded", TABLE_B),
    StoreStatus::row(0xb007, 0xb007, StatusClass::Warning, "data set does not match SOP class", TABLE_B),
    StoreStatus::row(0xa700, 0xa7ff, StatusClass::Failure, "refused: out of resources", TABLE_B),
    StoreStatus::row(
        0xa900,
        0xa9ff,
        StatusClass::Failure,
        "error: data set does not match SOP class",
        TABLE_B,
    ),
    StoreStatus::row(0xc000, 0xcfff, StatusClass::Failure, "error: cannot understand", TABLE_B),
    StoreStatus::row(0x0105, 0x0105, StatusClass::Failure, "no such attribute", ANNEX_C),
    StoreStatus::row(0x0106, 0x0106, StatusClass::Failure, "invalid attribute value", ANNEX_C),
    StoreStatus::row(0x0107, 0x0107, StatusClass::Warning, "attribute list error", ANNEX_C),
    StoreStatus::row(0x0110, 0x0110, StatusClass::Failure, "processing failure", ANNEX_C),
    StoreStatus::row(0x0111, 0x0111, StatusClass::Failure, "duplicate SOP instance", ANNEX_C),
    StoreStatus::row(0x0112, 0x0112, StatusClass::Failure, "no such SOP instance", ANNEX_C),
    StoreStatus::row(0x0113, 0x0113, StatusClass::Failure, "no such event type", ANNEX_C),
    StoreStatus::row(0x0114, 0x0114, StatusClass::Failure, "no such argument", ANNEX_C),
    StoreStatus::row(0x0115, 0x0115, StatusClass::Failure, "invalid argument value", ANNEX_C),
    StoreStatus::row(0x0116, 0x0116, StatusClass::Warning, "attribute value out of range", ANNEX_C),
    StoreStatus::row(0x0117, 0x0117, StatusClass::Failure, "invalid SOP instance", ANNEX_C),
    StoreStatus::row(0x0118, 0x0118, StatusClass::Failure, "no such SOP class", ANNEX_C),
    StoreStatus::row(0x0119, 0x0119, StatusClass::Failure, "class-instance conflict", ANNEX_C),
    StoreStatus::row(0x0120, 0x0120, StatusClass::Failure, "missing attribute", ANNEX_C),
    StoreStatus::row(0x0121, 0x0121, StatusClass::Failure, "missing attribute value", ANNEX_C),
    StoreStatus::row(0x0122, 0x0122, StatusClass::Failure, "refused: SOP class not supported", ANNEX_C),
    StoreStatus::row(0x0123, 0x0123, StatusClass::Failure, "no such action type", ANNEX_C),
    StoreStatus::row(0x0124, 0x0124, StatusClass::Failure, "refused: not authorised", ANNEX_C),
    StoreStatus::row(0x0210, 0x0210, StatusClass::Failure, "duplicate invocation", ANNEX_C),
    StoreStatus::row(0x0211, 0x0211, StatusClass::Failure, "unrecognised operation", ANNEX_C),
    StoreStatus::row(0x0212, 0x0212, StatusClass::Failure, "mistyped argument", ANNEX_C),
    StoreStatus::row(0x0213, 0x0213, StatusClass::Failure, "resource limitation", ANNEX_C),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_meanings() {
        let cases = [
            (0x0000, StatusClass::Success, "success"),
            (0xb000, StatusClass::Warning, "coercion of data elements"),
            (0xb006, StatusClass::Warning, "elements discarded"),
            (0xb007, StatusClass::Warning, "data set does not match SOP class"),
            (0xb123, StatusClass::Warning, "warning that PS3.4 does not list for storage"),
            (0xa6ff, StatusClass::Failure, "failure that PS3.4 does not list for storage"),
            (0xa700, StatusClass::Failure, "refused: out of resources"),
            (0xa77a, StatusClass::Failure, "refused: out of resources"),
            (0xa7ff, StatusClass::Failure, "refused: out of resources"),
            (0xa800, StatusClass::Failure, "failure that PS3.4 does not list for storage"),
            (0xa900, StatusClass::Failure, "error: data set does not match SOP class"),
            (0xa9ff, StatusClass::Failure, "error: data set does not match SOP class"),
            (0xc000, StatusClass::Failure, "error: cannot understand"),
            (0xcfff, StatusClass::Failure, "error: cannot understand"),
            (0x0110, StatusClass::Failure, "processing failure"),
            (0x0111, StatusClass::Failure, "duplicate SOP instance"),
            (0x0116, StatusClass::Warning, "attribute value out of range"),
            (0x0117, StatusClass::Failure, "invalid SOP instance"),
            (0x0122, StatusClass::Failure, "refused: SOP class not supported"),
            (0x0124, StatusClass::Failure, "refused: not authorised"),
            (0x0210, StatusClass::Failure, "duplicate invocation"),
            (0x0211, StatusClass::Failure, "unrecognised operation"),
            (0x0212, StatusClass::Failure, "mistyped argument"),
            (0xfe00, StatusClass::Cancel, "cancelled"),
            (0xff00, StatusClass::Pending, "pending"),
            (0xff01, StatusClass::Pending, "pending"),
            (0xd000, StatusClass::Failure, "failure that PS3.4 does not list for storage"),
        ];
        for (code, class, meaning) in cases {
            assert_eq!(Status(code).class(), class, "{code:04X}");
            assert_eq!(Status(code).meaning(), meaning, "{code:04X}");
        }
    }

    #[test]
    fn no_code_has_two_rows_and_only_success_and_warning_are_stored() {
        for code in 0..=u16::MAX {
            let rows = STORE_STATUSES.iter().filter(|row| (row.first..=row.last).contains(&code)).count();
            assert!(rows <= 1, "{code:04X}");
            let stored = Status(code).class().is_stored();
            let expected = code == 0 || matches!(code, 0x0001 | 0x0107 | 0x0116) || code >> 12 == 0xb;
            assert_eq!(stored, expected, "{code:04X}");
        }
    }
}
