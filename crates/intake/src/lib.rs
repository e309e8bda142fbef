//! Do: studies come in, over DIMSE and STOW-RS.
