"""Flags, environment, files and defaults become one configuration, or clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from options.catalogue import CATALOGUE
from options.configuration import Configuration, ConfigurationError, check, load
from options.option import Option, ValueSource, by_file_variable
from options.redaction import redacted, snapshot
from options.rendering import config_document
from options.sources.flags import parse_flags, unknown_flag
from options.start import computed_defaults, load_for_start
from options.values.addresses import HostPort
from options.written_config import yaml_document
from tests.support.option_sources import load_file, parsed
from tests.support.samples import SECRETS


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "coder.yaml"


def given(line: str) -> Configuration:
    environ, flags = parsed(line)
    return load(environ, flags=flags)


def errors_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(environ)
    return str(raised.value).splitlines()


def file_errors(path: Path, content: str | bytes) -> list[str]:
    """Returns a file's errors without its path. The start and --check must report the same."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    lines = errors_of({"CODER_CONFIG_PATH": str(path)})
    assert [str(error) for error in check([str(path)])] == lines
    return [line.removeprefix(f"{path}:") for line in lines]


def test_defaults_apply_without_sources() -> None:
    configuration = load({})
    assert configuration["http_address"] == "127.0.0.1:3000"
    assert configuration.sources["http_address"] is ValueSource.DEFAULT
    assert configuration["access_url"] == configuration.option("Access URL").type.zero
    assert configuration.sources["access_url"] is ValueSource.UNSET
    assert configuration.warnings == ()


def test_flags_override_environment_file_and_defaults(config_file: Path) -> None:
    config_file.write_text(
        "cacheDir: file\nwgtunnelHost: file\nsshKeygenAlgorithm: rsa4096\n", encoding="utf-8"
    )
    missing = str(config_file.with_name("missing.yaml"))
    configuration = load(
        {"CODER_CONFIG_PATH": missing, "CODER_CACHE_DIRECTORY": "env", "WGTUNNEL_HOST": "env"},
        flags=[("config", str(config_file)), ("cache-dir", "flag")],
    )
    paths = ("cache_directory", "wgtunnel_host", "ssh_keygen_algorithm", "pg_auth")
    assert [configuration[path] for path in paths] == ["flag", "env", "rsa4096", "password"]
    assert [configuration.sources[path] for path in paths] == ["flag", "env", "yaml", "default"]
    assert [configuration.places[path] for path in paths] == [
        "--cache-dir",
        "WGTUNNEL_HOST",
        f"{config_file}:3:21",
        "",
    ]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("CODER_PG_AUTH=", {"pg_auth": "password"}),
        ("CODER_CACHE_DIRECTORY=x coder_cache_directory=last", {"cache_directory": "last"}),
        ("HOMEBREW_CODER_CACHE_DIRECTORY=x", {"cache_directory": "x"}),
        ("HOMEBREW_CODER_PG_AUTH=awsiamrds CODER_PG_AUTH=", {"pg_auth": "password"}),
        ("CODER_LOG_FILTER=x --log-filter=y -lz,w", {"logging.log_filter": ["x", "y", "z", "w"]}),
        ("CODER_LOG_FILTER=x --log-filter=", {"logging.log_filter": None}),
        (
            "CODER_OIDC_GROUP_MAPPING='{a: 1, b: 1}' --oidc-group-mapping='b: 2'",
            {"oidc.group_mapping": {"a": "1", "b": "2"}},
        ),
        ("CODER_NOTIFICATIONS_EMAIL_FROM=a@b", {"notifications.email.from": "a@b"}),
        ("CODER_TELEMETRY=false CODER_TELEMETRY_ENABLE=0", {"telemetry.enable": False}),
        ("CODER_EMAIL_AUTH_PASSWORD_FILE=/x", {"notifications.email.auth.password_file": "/x"}),
        ("CODER_EMAIL_AUTH_PASSWORD_FILE=/x", {"notifications.email.auth.password": ""}),
        ("CODER_ADDRESS=h:1", {"http_address": "h:1", "tls.address": HostPort()}),
        ("CODER_ADDRESS=h:1 --tls-enable", {"http_address": "", "tls.address": HostPort("h", "1")}),
        ("CODER_DANGEROUS_DISABLE_RATE_LIMITS=true", {"rate_limit.api": -1}),
    ],
)
def test_environment_and_flags_make_values(line: str, values: dict[str, object]) -> None:
    configuration = given(line)
    assert {path: configuration[path] for path in values} == values


def test_file_applies_only_without_stronger_sources(config_file: Path) -> None:
    content = "introspection: {logging: {filter: [file]}}\nnotifications: {email: {from: file@x}}\n"
    assert load_file(config_file, content)["logging.log_filter"] == ["file"]
    weaker = load_file(config_file, content, CODER_LOG_FILTER="env", CODER_EMAIL_FROM="env@x")
    assert weaker["logging.log_filter"] == ["env"]
    assert weaker.sources["logging.log_filter"] is ValueSource.ENV
    assert weaker["notifications.email.from"] == "env@x"
    secure = load_file(config_file, "networking: {accessURL: 'https://a.example'}")
    assert secure.value("Secure Auth Cookie") is True


UNKNOWN = "is unknown and ignored; did you mean"
GATEWAY = "CODER_AI_GATEWAY"
WARNINGS = {
    "--address=:1": "--address is deprecated; use --http-address and --tls-address instead",
    "CODER_ALLOW_WORKSPACE_RENAMES=true": "CODER_ALLOW_WORKSPACE_RENAMES is deprecated and ignored",
    "CODER_ACESS_URL=MARKER": f"CODER_ACESS_URL {UNKNOWN} CODER_ACCESS_URL?",
    "CODER_EXTERNAL_AUTH_0_IDD=MARKER": f"CODER_EXTERNAL_AUTH_0_IDD {UNKNOWN} "
    "CODER_EXTERNAL_AUTH_0_ID?",
    "CODER_AIBRIDGE_PROVIDER_0_TYPE=a": "CODER_AIBRIDGE_PROVIDER_<n>_<KEY> is deprecated; use "
    f"{GATEWAY}_PROVIDER_<n>_<KEY> instead",
    f"CODER_AIBRIDGE_OPENAI_KEY=MARKER {GATEWAY}_OPENAI_KEY=MARKER2": "CODER_AIBRIDGE_OPENAI_KEY "
    f"is deprecated and ignored, because {GATEWAY}_OPENAI_KEY sets the same value",
}


@pytest.mark.parametrize(("line", "warning"), WARNINGS.items())
def test_deprecated_and_unknown_names_are_warnings(line: str, warning: str) -> None:
    assert given(line).warnings == (warning,)


@pytest.mark.parametrize(
    ("line", "default", "value"),
    [
        ("", "false", False),
        ("CODER_ACCESS_URL=http://a.example", "false", False),
        ("CODER_ACCESS_URL=https://a.example", "true", True),
        ("CODER_ACCESS_URL=http://a.example --access-url=https://a.example", "true", True),
        ("CODER_ACCESS_URL=https://a.example CODER_SECURE_AUTH_COOKIE=false", "true", False),
        ("CODER_SECURE_AUTH_COOKIE=true", "false", True),
        ("CODER_TLS_ENABLE=true", "true", True),
        ("CODER_TLS_ENABLE=true CODER_ACCESS_URL=http://a.example", "false", False),
    ],
)
def test_secure_cookie_follows_the_access_url(line: str, default: str, value: bool) -> None:
    configuration = given(line)
    assert configuration.option("Secure Auth Cookie").default == default
    assert configuration.value("Secure Auth Cookie") is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("127.0.0.1", ["127.0.0.1/32"]),
        ("::1,10.0.0.1/8", ["::1/128", "10.0.0.1/8"]),
        ("10.0.0.0/255.0.0.0", ["10.0.0.0/8"]),
    ],
)
def test_trusted_origins_have_the_form_that_coder_accepts(text: str, value: list[str]) -> None:
    assert load({"CODER_PROXY_TRUSTED_ORIGINS": text})["proxy_trusted_origins"] == value


def test_ai_providers_come_from_numbered_variables(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("MARKER-file\n")
    environ = {
        "CODER_AI_GATEWAY_PROVIDER_0_TYPE": "openai",
        "CODER_AI_GATEWAY_PROVIDER_0_NAME": "main",
        "CODER_AI_GATEWAY_PROVIDER_0_BASE_URL": "https://u:MARKER@a.example",
        "CODER_AI_GATEWAY_PROVIDER_0_KEYS": "MARKER-one,MARKER-two",
        "CODER_AI_GATEWAY_PROVIDER_1_BEDROCK_REGION": "eu-central-1",
        "CODER_AI_GATEWAY_PROVIDER_1_BEDROCK_ACCESS_KEY_SECRET_FILE": str(tmp_path / "key"),
    }
    configuration = load(environ)
    bridge = config_document(configuration, wire_format="coderd")["ai"]["bridge"]
    assert bridge["providers"] == [
        {"type": "openai", "name": "main", "base_url": "https://u:xxxxx@a.example"},
        {"type": "", "name": "", "base_url": "", "bedrock_region": "eu-central-1"},
    ]
    assert "providers" not in config_document(configuration)["ai"]["bridge"]
    assert "providers" not in config_document(load({}), wire_format="coderd")["ai"]["bridge"]
    assert configuration.places["ai.bridge.providers"] == "CODER_AI_GATEWAY_PROVIDER_0_*"
    assert {"MARKER-one", "MARKER-two", "MARKER-file"} <= set(configuration.secrets())
    stored = snapshot(configuration, key="k")
    assert "MARKER" not in f"{stored}{redacted(configuration).values}{yaml_document(configuration)}"
    assert "ai.bridge.providers" in stored.secrets


def test_deprecated_option_in_a_file_is_named_by_its_path(config_file: Path) -> None:
    (warning,) = load_file(config_file, "introspection: {logging: {verbose: true}}").warnings
    assert warning.startswith("introspection.logging.verbose is deprecated")
    assert "introspection.logging.filter" in warning


@pytest.mark.parametrize(
    "name",
    [
        *("CODER_URL", "CODER_SESSION_TOKEN", "CODER_CONFIG_DIR", "CODER_AGENT_TOKEN"),
        *("CODER_WORKSPACE_NAME", "CODER_TLS_REDIRECT_HTTP", "CODER_PG_CONNECTION_URL_FILE"),
        "HOMEBREW_PREFIX",
    ],
)
def test_foreign_variables_and_new_names_are_no_warnings(name: str) -> None:
    assert load({name: ""}).warnings == ()
    assert load({"CODER_EMAIL_FROM": "a"}).warnings == ()


@pytest.mark.parametrize(("variable", "secret"), by_file_variable(CATALOGUE).items())
def test_secret_is_read_from_a_file(variable: str, secret: Option, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"text\r\n")
    configuration = load({variable: str(path)})
    assert configuration[secret.json_path] in ("text", ["text"])
    assert configuration.places[secret.json_path] == variable


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "cannot be read"), (b"", "empty"), (b"\xff", "UTF-8")]
)
@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("CODER_SCIM_AUTH_HEADER_FILE", "SCIM API Key"),
        ("CODER_EXTERNAL_AUTH_0_CLIENT_SECRET_FILE", "External Auth Providers"),
    ],
)
def test_unusable_secret_file_is_an_error(
    content: bytes | None, problem: str, variable: str, option: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    (error,) = errors_of({variable: str(path)})
    assert error.startswith(f"{variable}: {option}: the file {path} ")
    assert problem in error


def test_external_providers_come_from_both_numbered_families(config_file: Path) -> None:
    environ = {f"CODER_EXTERNAL_AUTH_{number}_ID": f"new{number}" for number in range(11)}
    environ |= parsed(
        "CODER_GITAUTH_0_ID=old CODER_GITAUTH_0_SCOPES='a b' CODER_GITAUTH_0_DEVICE_FLOW=true "
        "CODER_GITAUTH_0_PKCE_METHODS=S256 coder_gitauth_0_client_secret=s"
    )[0]
    configuration = load_file(config_file, "externalAuthProviders: [{id: file}]", **environ)
    file, *new, old = configuration["external_auth"]
    assert [each["id"] for each in (file, *new)] == ["file", *(f"new{n}" for n in range(11))]
    assert new[0]["scopes"] is None
    read = {"id": "old", "scopes": ["a", "b"], "device_flow": True, "client_secret": "s"}
    assert old.items() >= {**read, "code_challenge_methods_supported": ["S256"]}.items()
    alone = given("CODER_GITAUTH_0_ID=x")
    assert alone.sources["external_auth"] is ValueSource.UNSET
    assert alone.places["external_auth"] == "CODER_GITAUTH_0_*"


PROVIDERS = "External Auth Providers:"
MISTAKES = {
    "CODER_EXTERNAL_AUTH_1_ID=x": f"CODER_EXTERNAL_AUTH_1_*: {PROVIDERS} provider",
    "CODER_GITAUTH_X=x": f"CODER_GITAUTH_X: {PROVIDERS} has no provider number",
    "CODER_GITAUTH_X_ID=x": "has no provider number; accepted: CODER_GITAUTH_<n>",
    "CODER_EXTERNAL_AUTH_0_NO_REFRESH=maybe": "'maybe' is not a boolean",
    "CODER_GITAUTH_0_CLIENT_SECRET=x CODER_GITAUTH_0_CLIENT_SECRET_FILE=y": "CODER_GITAUTH_0_"
    f"CLIENT_SECRET_FILE: {PROVIDERS} cannot be set together",
    "CODER_SCIM_AUTH_HEADER=x CODER_SCIM_AUTH_HEADER_FILE=y": "cannot be set together with "
    "CODER_SCIM_AUTH_HEADER_FILE; remove one of the two",
    "CODER_EMAIL_FROM=a CODER_NOTIFICATIONS_EMAIL_FROM=b": "differs from CODER_EMAIL_FROM, which "
    "sets the same value",
    "CODER_AI_GATEWAY_PROVIDER_0_TYPE=a CODER_AIBRIDGE_PROVIDER_0_TYPE=b": "CODER_AIBRIDGE_"
    "PROVIDER_<n>_<KEY>: AI Gateway Providers: cannot be used together with "
    "CODER_AI_GATEWAY_PROVIDER_<n>_<KEY>",
    "CODER_AI_GATEWAY_PROVIDER_1_KEY=MARKER": "AI Gateway Providers: provider 0 is missing",
    "CODER_CACHE_DIRECTORY=caf\udce9": "Cache Directory: 'caf\\udce9' is not UTF-8",
}


@pytest.mark.parametrize(("line", "wanted"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_mistake_in_the_environment_is_an_error(line: str, wanted: str) -> None:
    (error,) = errors_of(parsed(line)[0])
    assert wanted in error


@pytest.mark.parametrize(
    ("line", "settings", "rest"),
    [
        ("--access-url x", [("access-url", "x")], ""),
        ("--access-url=x=y", [("access-url", "x=y")], ""),
        ("--access-url=", [("access-url", "")], ""),
        ("--access-url --verbose", [("access-url", "--verbose")], ""),
        ("--access-url", [("access-url", None)], ""),
        ("--tls-enable false", [("tls-enable", "true")], "false"),
        ("--tls-enable=false", [("tls-enable", "false")], ""),
        ("-v", [("verbose", "true")], ""),
        ("-vc f", [("verbose", "true"), ("config", "f")], ""),
        ("-cf", [("config", "f")], ""),
        ("-c=f", [("config", "f")], ""),
        ("-a :1 -l x", [("address", ":1"), ("log-filter", "x")], ""),
        *[
            (text, [], text)
            for text in ("--access x", "--c x", "server --no-color -h", "-- -v", "-")
        ],
        ("-l x --settings=s -l y", [("log-filter", "x"), ("log-filter", "y")], "--settings=s"),
    ],
)
def test_flags_are_parsed_as_in_coder(
    line: str, settings: list[tuple[str, str | None]], rest: str
) -> None:
    result = parse_flags(line.split())
    assert (result.settings, " ".join(result.rest)) == (settings, rest)


def test_unknown_flag_is_an_error_with_the_nearest_one() -> None:
    error = str(unknown_flag("--scim-auth-heder=MARKER"))
    assert "--scim-auth-heder" in error
    assert "--scim-auth-header?" in error
    assert "MARKER" not in error


def test_errors_of_all_sources_are_raised_together(config_file: Path) -> None:
    config_file.write_text("pgAuth: x\nunknown: 1\n", encoding="utf-8")
    environ, flags = parsed(
        f"CODER_CONFIG_PATH={config_file} CODER_TLS_ENABLE=yes CODER_SESSION_DURATION=5 "
        "CODER_EXTERNAL_AUTH_1_ID=x CODER_ACESS_URL=x --access-url=::"
    )
    flags += [("nope", "x"), ("cache-dir", None)]
    flags += [("session-duration", "5h")]  # The error in the environment is reported anyway.
    with pytest.raises(ConfigurationError) as raised:
        load(environ, flags=flags)
    assert [error.place for error in raised.value.errors] == [
        *("CODER_TLS_ENABLE", "CODER_SESSION_DURATION", "CODER_EXTERNAL_AUTH_1_*"),
        *("--access-url", "--nope", "--cache-dir"),
        *(f"{config_file}:1:9", f"{config_file}:2:1"),
    ]
    assert len(raised.value.warnings) == 1
    assert "'yes' is not a boolean; accepted: true or false" in str(raised.value)
    assert "CODER_SESSION_DURATION: Session Duration: '5' lacks a unit" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "error_text"),
    [
        *[(text, "1:1: the file must contain a mapping") for text in ("", "# a\n", "- a\n", "x\n")],
        (b"a: \xff\n", " is not UTF-8 text (line 1)"),
        (bytes(range(256)), " is not UTF-8 text (line 2)"),
        ("a: \x07\n", r"1:4: the character '\x07' is not allowed"),
        (b"a: b\n" * 300_000, " the file is larger than 1 MiB"),
        (
            "pgAuth: password\npgAuth: password\n",
            "2:1: duplicate key 'pgAuth'; it is already set on line 1",
        ),
        ("{cacheDir: &x a, wgtunnelHost: *x}\n", "aliases are not supported"),
        ("pgAuth: !!binary password\n", "1:9: type tags are not supported"),
        ("pgAuth: password\n---\na: b\n", "2:1: not valid YAML"),
        ("networking:\n\taccessURL: x\n", "2:1: not valid YAML"),
        ("a: [b\n", "2:1: not valid YAML"),
        ("[" * 100_000, "1:1001: not valid YAML"),
        ("{a: " * 60 + "}" * 60, "1:201: the value is nested deeper than 50 levels"),
        ("? [a]\n: b\n", "1:3: a key must be a string"),
        ("<<: {a: b}\n", "1:1: '<<' is not an option"),
        ('wgtunnelHost: "a\\0b"\n', "1:15: a NUL character"),
        ("networking:\n  acessURL: https://x\n", "did you mean networking.accessURL?"),
        ("networkign:\n  accessURL: https://x\n", "1:1: 'networkign' is not an option; did you"),
        ("accessUrl: https://x\n", "1:1: 'accessUrl' is not an option"),
        ("maxTokenLifetime: 7d\n", "did you mean networking.http.maxTokenLifetime?"),
        ("networking.accessURL: x\n", "must be written as nested keys"),
        ("networking: x\n", "1:13: networking is a group of options"),
        ("networking:\n  accessURL: ::x\n", "2:14: Access URL: '::x' has no scheme"),
        ("networking:\n  accessURL: [a]\n", "2:14: Access URL: is a list"),
        ("networking:\n  accessURL: {a: b}\n", "2:14: Access URL: is a mapping"),
        ("autobuildPollInterval:\n", "1:1: Autobuild Poll Interval: '' is not a duration"),
        ("pgConnMaxOpen: 0\n", "1:16: Postgres Connection Max Open: '0' is out of range"),
        (
            "externalAuthProviders: [{device_flow: perhaps}]\n",
            "1:39: External Auth Providers: 'perhaps'",
        ),
        ("scimAPIKey: MARKER\n", "use CODER_SCIM_AUTH_HEADER_FILE or --scim-auth-header"),
        ("oidc:\n  clientSecret: MARKER\n", "use CODER_OIDC_CLIENT_SECRET_FILE"),
        ("externalAuthProviders: {id: MARKER}\n", "1:24: External Auth Providers: is not"),
        ("tls:\n  enable: true\n", "1:1: 'tls' is not an option; did you mean networking.tls?"),
    ],
)
def test_mistake_in_a_file_is_an_error_with_its_place(
    content: str | bytes, error_text: str, config_file: Path
) -> None:
    (error,) = file_errors(config_file, content)
    assert error_text in error
    assert "MARKER" not in error


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        (error,) = errors_of({"CODER_CONFIG_PATH": str(path)})
        assert error.startswith(f"{path}: the file cannot be read")


def test_empty_groups_and_a_byte_order_mark_are_accepted(config_file: Path) -> None:
    content = b"\xef\xbb\xbfnetworking:\noidc: ~\ncacheDir: x\n"
    assert load_file(config_file, content)["cache_directory"] == "x"


@pytest.mark.parametrize("secret", SECRETS, ids=lambda option: option.name)
def test_no_error_and_no_repr_contains_a_secret(secret: Option) -> None:
    configuration = load({secret.env: "MARKER"})
    assert "MARKER" not in repr(configuration)
    with pytest.raises(ConfigurationError) as raised:
        load({secret.env: "MARKER\udcff", "CODER_TLS_ENABLE": "x"})
    assert "MARKER" not in f"{raised.value} {raised.value!r} {raised.value.errors}"


@pytest.mark.parametrize(
    "text", ["https://u:MARKER@h:x/", "https://u:MARK MARKER@h/", "1:a:MARKER@h:1"]
)
def test_no_error_contains_a_password(text: str) -> None:
    for name in (
        *("CODER_ACCESS_URL", "CODER_TLS_ENABLE", "CODER_PPROF_ADDRESS", "CODER_SESSION_DURATION"),
        *("CODER_PROVISIONER_TYPES", "CODER_PG_AUTH", "CODER_API_RATE_LIMIT"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            load({name: text})
        assert "MARKER" not in f"{raised.value} {raised.value!r}"


@pytest.mark.parametrize(
    ("line", "redirects"),
    [
        ("CODER_TLS_REDIRECT_HTTP=1", True),
        ("CODER_TLS_REDIRECT_HTTP_TO_HTTPS=true", True),
        ("CODER_TLS_REDIRECT_HTTP_TO_HTTPS=false", False),
        ("--tls-redirect-http-to-https", True),
        ("", False),
    ],
)
def test_old_redirect_option_sets_the_new_one_with_tls(line: str, redirects: bool) -> None:
    assert given(f"{line} --tls-enable")["redirect_to_access_url"] is redirects
    assert given(line)["redirect_to_access_url"] is False


def test_computed_and_replaced_values_keep_their_source() -> None:
    configuration = load({}, defaults=computed_defaults({"HOME": "/home/x"}))
    assert str(configuration["docs_url"]) == "https://coder.com/docs/@v2.34.1"
    assert configuration["cache_directory"] == "/home/x/.cache/coder"
    assert configuration["update_check"] is True
    replaced = load({}).replace({"cache_directory": "/x"})
    assert replaced["cache_directory"] == "/x"
    for found, path in ((configuration, "update_check"), (replaced, "cache_directory")):
        assert found.sources[path] is ValueSource.DEFAULT


TLS = "--tls-enable CODER_TLS_CERT_FILE=a CODER_TLS_KEY_FILE=b"
MAIL = "CODER_EMAIL_SMARTHOST=mail:25 CODER_EMAIL_FROM=a@b CODER_EMAIL_"
UNSUPPORTED = {
    "CODER_PG_AUTH=awsiamrds": "Postgres Auth: 'awsiamrds' is not supported",
    "CODER_PG_CONNECTION_URL=host": "Postgres Connection URL: is not accepted; accepted: a URL",
    "CODER_PG_CONN_MAX_IDLE=11": "Max Idle: '11' is more than the limit of 10 open con",
    "CODER_HTTP_ADDRESS=nonsense": "HTTP Address: 'nonsense' is not an address",
    "CODER_HTTP_ADDRESS=localhost:70000": "HTTP Address: 'localhost:70000'",
    "--prometheus-enable --prometheus-address=h:": "Prometheus Address: 'h:' is not an",
    "CODER_STRICT_TRANSPORT_SECURITY_OPTIONS=forever": "Strict-Transport-Security Options",
    "CODER_LOGGING_JSON=/none/there": "JSON Log Location: '/none/there' is not writable",
    "CODER_EMAIL_SMARTHOST=mail:25": "Email: From Address: is required",
    "CODER_EMAIL_SMARTHOST=m:smtp CODER_EMAIL_FROM=a@b": "Smarthost: 'm:smtp' is not an",
    f"{MAIL}HELLO=we": "Email: Hello: 'we' is not supported",
    f"{MAIL}AUTH_IDENTITY=a": "Email Auth: Identity: 'a' is not supported",
    f"{MAIL}AUTH_PASSWORD_FILE=/x": "Password File: '/x' cannot be read",
    f"{MAIL}TLS_SERVERNAME=a": "Email TLS: Server Name: 'a' is not supported",
    f"{MAIL}TLS_SKIPVERIFY=true": "(Insecure): 'true' is not supported",
    f"{MAIL}TLS_CACERTFILE=/a": "Authority File: '/a' is not supported",
    f"{MAIL}TLS_CERTFILE=/a": "Certificate File: '/a' is not supported",
    f"{MAIL}TLS_CERTKEYFILE=/a": "Key File: '/a' is not supported",
    f"{TLS} CODER_TLS_CERT_FILE=": "TLS Certificate Files: is required",
    f"{TLS} CODER_TLS_KEY_FILE=b,c": "TLS Key Files: 'b,c' names more than one file",
    f"{TLS} CODER_TLS_MIN_VERSION=tls10": "TLS Minimum Version: 'tls10'",
    f"{TLS} CODER_TLS_CIPHERS=TLS_RSA_X": "TLS Ciphers: 'TLS_RSA_X' is not supported",
    f"{TLS} CODER_TLS_ALLOW_INSECURE_CIPHERS=1": "TLS Allow Insecure Ciphers: 'true' is not",
    f"{TLS} CODER_TLS_CLIENT_AUTH=request": "TLS Client Auth: 'request' is not supported",
    f"{TLS} CODER_TLS_CLIENT_AUTH=require-and-verify": "TLS Client CA Files: is required",
    f"{TLS} CODER_TLS_ADDRESS=localhost:https": "TLS Address: 'localhost:https' is not",
    # Neither Coder's server starts with these.
    "CODER_SAMESITE_AUTH_COOKIE=strict": "CODER_SAMESITE_AUTH_COOKIE: SameSite Auth Cookie: "
    "'strict' is not one of the choices",
    "CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY=owner": "CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY: "
    "Prometheus Aggregate Agent Stats By: 'owner' is not accepted",
}


@pytest.mark.parametrize(("line", "wanted"), UNSUPPORTED.items())
def test_start_fails_with_an_unsupported_value_of_an_option(line: str, wanted: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        started(line)
    (error,) = raised.value.errors
    assert (wanted in str(error), "MARKER" in str(error)) == (True, False)


def started(line: str) -> Configuration:
    environ, flags = parsed(line)
    return load_for_start({"HOME": "/none", **environ}, flags=flags)


def test_options_of_tls_are_checked_only_while_it_is_enabled() -> None:
    assert started(TLS)["tls.enable"] is True
    ciphers = "TLS_RSA_WITH_AES_128_CBC_SHA"
    assert started(f"CODER_TLS_CIPHERS={ciphers}")["tls.supported_ciphers"] == [ciphers]
