"""packaging/containers/outbox-account.sh against the code; what it does on a server: tests/containers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re

from tests.support.checkout import ROOT

from lambda_sidecar.outbox.schema import DELIVERY

SCRIPT = ROOT / "packaging/containers/outbox-account.sh"


def test_the_images_script_gives_the_account_the_rights_that_delivery_needs_and_no_others() -> None:
    granted = re.findall(r"^GRANT (.+) TO lambda_outbox@localhost;$", SCRIPT.read_text(), re.MULTILINE)
    assert tuple(granted) == DELIVERY
