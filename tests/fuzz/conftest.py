"""How much is drawn: a short draw in ``make test``, a long one in ``make fuzz``.

``FUZZ_EXAMPLES`` is the number of inputs for each test of this folder. Tests take the profile by
``@settings(FUZZ)``, so that no other folder's tests are drawn more often for it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
FUZZ = settings.get_profile("fuzz")
