"""Web pages for users: sign-in and sign-out, a token for the command line, and the account.

`/login` is the only sign-in page. It sets the same session cookie as the API's `POST /users/login`,
and ends the browser's previous session. Users who may open the admin are also signed in there.

The pages call the same services as the API, with the identity of the session's key. So the same
limits, scopes and allow lists apply. The pages show the API's error messages. Tokens can be renamed
only on these pages, because Coder's API has no operation for it.

The server renders the HTML in the style of the admin. The pages work without JavaScript, except for
the button that copies a token. Every form has Django's CSRF token. A GET request never creates a
key. So `/cli-auth` shows a button, but Coder's page creates a token when it opens. Without the
button, every link to the page or prefetch of it would create a key.
"""
