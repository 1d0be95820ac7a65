//! SPEC sections 1 and 7: `cert inspect`, `cert check`, `cert convert`. Files of every kind and with every fault are
//! made by the real `openssl` command.

mod helper;
