"""Records: what one run measured, what computed it, and the folders that keep them.

A record's identity is the hash of (experiment, config, seed); its provenance stands beside it. A
working folder keeps one file a group, which is there whole or not at all; a frozen folder keeps
one sorted file an experiment and profile, with a manifest of hashes. Nothing is ever unpickled,
and a line that is not, byte for byte, what was written is reported by file and line and not used.
"""

from hierlearn.records.files import (
    FrozenFile,
    Manifest,
    Provenance,
    Record,
    RecordError,
    plain_measurements,
    sole_writer,
)
from hierlearn.records.fingerprints import fingerprint
from hierlearn.records.freezing import finish, freeze, restamp
from hierlearn.records.store import GroupState, RecordStore, computed, groups_of

__all__ = [
    "FrozenFile", "GroupState", "Manifest", "Provenance", "Record", "RecordError", "RecordStore",
    "computed", "fingerprint", "finish", "freeze", "groups_of", "plain_measurements", "restamp",
    "sole_writer",
]  # fmt: skip
