//! Keep: objects, on a filesystem or S3.
