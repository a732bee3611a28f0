"""What a field of a response may hold (RFC 9110 sections 5.1 and 5.5), as bytes."""

from __future__ import annotations

import re

# A name is a token.
is_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
# A value has no control character but tab: CR or LF in it would begin a field, or a response.
has_bad_byte = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
