"""The pages of a person: signing in, a token for the command line, one's own account.

They are for everybody, while the admin is for owners and auditors. The session is the one of the
API: `coder_session_token`, made and ended by the functions behind `POST /users/login` and
`/users/logout`. Who may enter the admin is signed in there as well, so that nobody signs in twice.
A sign-in ends the session that the browser had before, whoever's it was.

Each page calls the services that the API calls, with the identity of the session's key: limits,
scopes and allow lists hold here as they hold there, and a refusal is the API's, shown as text.
Renaming a token is on a page alone, since Coder's API cannot do it.

The HTML is made on the server and looks like the admin. It works without JavaScript, except for
the button that copies a token. Every form carries Django's CSRF token. A page never makes anything
on GET, so `/cli-auth` asks for one click where Coder's makes its token at once: a link or a
prefetch would otherwise leave keys behind.
"""
