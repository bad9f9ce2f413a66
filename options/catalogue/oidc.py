"""Sign-in with OpenID Connect."""

from __future__ import annotations

from options.catalogue.groups import OIDC
from options.option import Option
from options.values import URL, Bool, Text, TextList, TextMap

_NOT_OFFERED = "Sign-in with OpenID Connect is not offered here."

OIDC_OPTIONS = (
    Option(
        name="OIDC Allow Signups",
        description=(
            "Make an account for somebody who signs in with OpenID Connect for the first time. "
            "Switch it off if accounts are made by hand."
        ),
        type=Bool(),
        json_path="oidc.allow_signups",
        env="CODER_OIDC_ALLOW_SIGNUPS",
        flag="oidc-allow-signups",
        yaml="allowSignups",
        default="true",
        group=OIDC,
        remark="Sign-in with OpenID Connect is not offered here; clients are told that it is off.",
    ),
    Option(
        name="OIDC Client ID",
        description="The client id under which the identity provider knows this deployment.",
        type=Text(),
        json_path="oidc.client_id",
        env="CODER_OIDC_CLIENT_ID",
        flag="oidc-client-id",
        yaml="clientID",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Client Secret",
        description="The secret that belongs to the client id at the identity provider.",
        type=Text(),
        json_path="oidc.client_secret",
        env="CODER_OIDC_CLIENT_SECRET",
        flag="oidc-client-secret",
        group=OIDC,
        secret=True,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Client Key File",
        description=(
            "A PEM file with the private key for providers that take a signed assertion instead of "
            "a client secret."
        ),
        type=Text(),
        json_path="oidc.client_key_file",
        env="CODER_OIDC_CLIENT_KEY_FILE",
        flag="oidc-client-key-file",
        yaml="oidcClientKeyFile",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Client Cert File",
        description=(
            "A PEM file with the certificate that belongs to the key for signed assertions."
        ),
        type=Text(),
        json_path="oidc.client_cert_file",
        env="CODER_OIDC_CLIENT_CERT_FILE",
        flag="oidc-client-cert-file",
        yaml="oidcClientCertFile",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Email Domain",
        description=(
            "The e-mail domains whose owners may sign in; empty allows all. Set it when the "
            "provider also serves people from outside."
        ),
        type=TextList(),
        json_path="oidc.email_domain",
        env="CODER_OIDC_EMAIL_DOMAIN",
        flag="oidc-email-domain",
        yaml="emailDomain",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Issuer URL",
        description=(
            "The identity provider's issuer address, from which its endpoints and keys are "
            "discovered."
        ),
        type=Text(),
        json_path="oidc.issuer_url",
        env="CODER_OIDC_ISSUER_URL",
        flag="oidc-issuer-url",
        yaml="issuerURL",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Scopes",
        description=(
            "What is asked of the provider at sign-in. Add a scope when a claim that you need, "
            "such as groups, is missing."
        ),
        type=TextList(),
        json_path="oidc.scopes",
        env="CODER_OIDC_SCOPES",
        flag="oidc-scopes",
        yaml="scopes",
        default="openid,profile,email",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Ignore Email Verified",
        description=(
            "Accept e-mail addresses that the provider has not verified. Only for providers that "
            "never say so."
        ),
        type=Bool(),
        json_path="oidc.ignore_email_verified",
        env="CODER_OIDC_IGNORE_EMAIL_VERIFIED",
        flag="oidc-ignore-email-verified",
        yaml="ignoreEmailVerified",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Auth URL Parameters",
        description=(
            "Further parameters of the address that starts a sign-in, as a map. Some providers "
            "need one before they hand out refresh tokens."
        ),
        type=TextMap(),
        json_path="oidc.auth_url_params",
        env="CODER_OIDC_AUTH_URL_PARAMS",
        flag="oidc-auth-url-params",
        yaml="authURLParams",
        default='{"access_type": "offline"}',
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OpenID Connect sign in text",
        description="What the sign-in button for OpenID Connect says.",
        type=Text(),
        json_path="oidc.sign_in_text",
        env="CODER_OIDC_SIGN_IN_TEXT",
        flag="oidc-sign-in-text",
        yaml="signInText",
        default="OpenID Connect",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OpenID connect icon URL",
        description="The picture on the sign-in button for OpenID Connect.",
        type=URL(),
        json_path="oidc.icon_url",
        env="CODER_OIDC_ICON_URL",
        flag="oidc-icon-url",
        yaml="iconURL",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="Signups disabled text",
        description=(
            "What somebody without an account reads when sign-ups through OpenID Connect are off."
        ),
        type=Text(),
        json_path="oidc.signups_disabled_text",
        env="CODER_OIDC_SIGNUPS_DISABLED_TEXT",
        flag="oidc-signups-disabled-text",
        yaml="signupsDisabledText",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="Skip OIDC issuer checks (not recommended)",
        description=(
            "Accept id tokens whose issuer differs from the configured one. It weakens sign-in; "
            "use it only for a provider that cannot be put right."
        ),
        type=Bool(),
        json_path="oidc.skip_issuer_checks",
        env="CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS",
        flag="dangerous-oidc-skip-issuer-checks",
        yaml="dangerousSkipIssuerChecks",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
)
