"""The pages of a user: signing in and out, a token for the command line, and the account.

`/login` is the only sign-in page. A session is the cookie of the API's `POST /users/login`. Owners
and auditors are signed in to the admin with it. A sign-in ends the previous session of the browser.
Each page calls the API's services with the identity of the session's key, so the same limits,
scopes and allow lists apply, and an error of the API is shown as text. Only pages can rename a
token, because Coder's API cannot.

The server renders the HTML in the style of the admin. The pages work without JavaScript, except for
the button that copies a token. Every form has Django's CSRF token. A GET never creates anything, so
`/cli-auth` asks for a click where Coder's page creates its token at once. Otherwise a link or a
prefetch would leave keys behind.
"""
