"""What is said of a peer that is not here."""

import os

import pytest


def leave_out(reason, is_required=True):
    """Skips and says it loudly, except where every peer is required: there it fails."""
    print(f"\npeer left out: {reason}")
    if is_required and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true requires it", pytrace=False)
    pytest.skip(reason)
