"""Names by content (I1)."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_id(document: Any) -> str:
    """Return the SHA-256 (hex) of a JSON-able value in canonical form: sorted keys, no spaces."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
