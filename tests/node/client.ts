// A client of the types that openapi-typescript makes of docs/openapi*.yml. The test compiles it,
// runs it against a server, and reads what it prints.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };
const [baseUrl, wire, email, password] = process.argv.slice(2) as [string, string, string, string];
const anonymous = createClient<paths>({ baseUrl, headers: { "Coderapi-Wire-Format": wire } });

// What an operation answers in case of success; everything else ends the program.
function good<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.url}: ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

const build = good(await anonymous.GET("/api/v2/buildinfo"));
const methods = good(await anonymous.GET("/api/v2/users/authmethods"));
const login = good(await anonymous.POST("/api/v2/users/login", { body: { email, password } }));
const client = createClient<paths>({
  baseUrl,
  headers: { "Coder-Session-Token": login.session_token, "Coderapi-Wire-Format": wire },
});

const me: components["schemas"]["codersdk.User"] = good(
  await client.GET("/api/v2/users/{user}", { params: { path: { user: "me" } } }),
);
const found = good(await client.GET("/api/v2/users", { params: { query: { q: "status:active role:owner", limit: 5 } } }));
const made = good(
  await client.POST("/api/v2/users/{user}/keys/tokens", {
    params: { path: { user: me.username } },
    body: { token_name: "typescript", lifetime: 3_600_000_000_000, scopes: ["coder:all"] },
  }),
);
const tokens = good(
  await client.GET("/api/v2/users/{user}/keys/tokens", {
    params: { path: { user: "me" }, query: { include_expired: true } },
  }),
);
const policy = good(
  await client.GET("/api/coderapi/v1/users/{user}/token-policy", {
    params: { path: { user: "me" } },
  }),
);
const checked = good(
  await client.POST("/api/v2/authcheck", {
    body: { checks: { mine: { object: { resource_type: "user", owner_id: me.id }, action: "read" } } },
  }),
);
const reported = [];
const violation = { "csp-report": { "document-uri": "https://coder.example.com/", "line-number": 3 } };
const report = { type: "csp-violation", body: { documentURL: "https://coder.example.com/" } };
for (const body of [violation, report, [report, report]]) {
  reported.push(good(await client.POST("/api/v2/csp/reports", { body })));
}
const config = good(await client.GET("/api/v2/deployment/config"));
const experiments = good(await client.GET("/api/v2/experiments"));
const safe = good(await client.GET("/api/v2/experiments/available"));
const deleted = await client.DELETE("/api/v2/users/{user}/keys/{key_id}", {
  params: { path: { user: "me", key_id: made.key.slice(0, 10) } },
});
const refused = await client.GET("/api/v2/users/{user}", { params: { path: { user: "nobody" } } });

console.log(
  JSON.stringify({
    version: build.version,
    password: methods.password.enabled,
    username: me.username,
    roles: me.roles.map((role) => role.name),
    count: found.count,
    names: tokens?.map((token) => token.token_name),
    limits: policy.limits.map((limit) => limit.name),
    mine: checked["mine"],
    reported,
    options: config.options.length,
    experiments,
    safe,
    deleted: deleted.response.status,
    refused: refused.error?.message,
  }),
);
