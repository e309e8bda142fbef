//! Do: orders come in, over REST and CSV, and meet their studies.
