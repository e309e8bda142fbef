//! Do: results go out, by mail.
