"""A secret is a value at a marked place of a document: sealed at rest, masked to most readers.

In the clear it exists only in memory, for an actor who may read secrets, or while a document is
checked. Whoever writes a mask back where it was leaves the secret as it is, so nobody needs to read
a secret to change what surrounds it.
"""

from distributed_config.services.secrets.drafting import Draft, draft_document, match_elements
from distributed_config.services.secrets.marking import (
    DEFINITION_ONLY,
    ON_REVEAL,
    SecretPaths,
    enable_secret_marks,
    enable_secret_marks_of_all,
    find_secrets,
    marks_by,
    marks_of,
    pointers,
    services_with_pointers,
    set_pointers,
)
from distributed_config.services.secrets.masking import (
    StoredDocument,
    ValidationInput,
    Viewer,
    load_stored,
    validation_input,
    validation_input_alone,
    validation_input_of_stored,
)
from distributed_config.services.secrets.sealing import (
    create_data_key,
    digest_key,
    fingerprint,
    is_fingerprint,
    keys,
    oldest_key,
    rewrap,
    unreadable_keys,
)
from distributed_config.services.secrets.values import (
    DocumentKey,
    is_sealed_text,
    pointer_of,
    to_json,
    tokens_of,
    with_replaced,
)

__all__ = [
    "DEFINITION_ONLY",
    "ON_REVEAL",
    "DocumentKey",
    "Draft",
    "SecretPaths",
    "StoredDocument",
    "ValidationInput",
    "Viewer",
    "create_data_key",
    "digest_key",
    "draft_document",
    "enable_secret_marks",
    "enable_secret_marks_of_all",
    "find_secrets",
    "fingerprint",
    "is_fingerprint",
    "is_sealed_text",
    "keys",
    "load_stored",
    "marks_by",
    "marks_of",
    "match_elements",
    "oldest_key",
    "pointer_of",
    "pointers",
    "rewrap",
    "services_with_pointers",
    "set_pointers",
    "to_json",
    "tokens_of",
    "unreadable_keys",
    "validation_input",
    "validation_input_alone",
    "validation_input_of_stored",
    "with_replaced",
]
