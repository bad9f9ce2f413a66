"""The steps that every request takes before its view or its cached response, in their order.

A step is a function of the request as a `Call`, and of the results of earlier steps. It returns

* its result, which later steps, views and the response can use,
* an Answer, which ends the request,
* a coroutine (`kernel.http.asking`), if its result may not be in memory. The coroutine awaits an
  Ask. The event loop must not block, so a thread runs the query,
* or None, if it has nothing to add.

It may raise an APIError, which ends the request, too. A step that only checks returns None.

To add a step, write a function in the module of its subject, and add a line here. If the function
has a result, add an attribute to `Results`. Each step runs once for each request, wherever it
stands. The body of the request is not there yet.
"""

from __future__ import annotations

from csp.access.keys import is_open_to
from kernel.http.results import Step
from kernel.http.steps.cors import cors
from kernel.http.steps.hosts import check_host
from kernel.http.steps.rate_limit import count_request
from kernel.http.wire import chosen
from tokens.verification.caller import caller_of_api

STEPS = (
    # 400 for a host that is not allowed, or 307 to the access URL.
    Step("", check_host),
    # 400 for an unknown wire format.
    Step("wire_format", chosen),
    # 200 for a preflight request.
    Step("cors", cors(is_open_to)),
    # 400 for a sign-in from another site. The view sends a 401 for a rejected token, after a 404 or
    # 405.
    Step("caller", caller_of_api),
    # 429 over the rate limit.
    Step("limit", count_request),
)
