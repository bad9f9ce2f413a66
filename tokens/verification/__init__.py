"""Finds out who is asking: verifies the session token of a request.

    caller.caller_of_api           the step of a request: the caller, or why the token is rejected
      extraction                   finds the token in the cookie, the header or the query, and
                                   rejects requests from other sites
      caller.recall                the cached identity; usually the end of the way
      caller.identify              or a lookup, a coroutine for the event loop or a thread
        batches                    one statement at a time reads all keys that wait
          keys                     compares the secret, caches the result, writes the use
        providers                  asks another service about a token that is not ours

A rejected token is not an error of its request: the view decides whether it needs a caller, with
`users.permissions`. `refusals` has the error messages. `authentication` gives DRF the identity.
"""
